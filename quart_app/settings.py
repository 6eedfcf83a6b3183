"""Everything that can be set, from the environment into one typed, frozen object.

Unlike most settings modules it stops the start with *all* faults listed, unknown names among them,
and never prints a value: a wrong one may be a password in the wrong place.
"""

import difflib
import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from quart_app.database_url import parse_database_url
from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.tokens import Tokens, parse_tokens

PREFIX = "QUART_APP_"
_BIND = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/,]+):[0-9]{1,5}|unix:/\S+|fd://[0-9]+")
_POOL = PoolConfig()
# No server takes more: the largest value of max_connections.
MAX_CONNECTIONS = 100_000
NEVER = -1  # aiomysql's word for it


class SettingsError(Exception):
    """The environment does not make settings; *faults* tells everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"{len(faults)} wrong setting{'s'[: len(faults) > 1]}:\n{lines}")


class LogFormat(Enum):
    """AUTO is CONSOLE where a person looks on, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(Enum):
    """The least severe message that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _parse_bind(text: object) -> object:
    if not isinstance(text, str):
        return text
    binds = tuple(part.strip() for part in text.split(","))
    if not all(_BIND.fullmatch(bind) for bind in binds):
        message = "should be HOST:PORT (several by commas), as in 127.0.0.1:8000 or [::]:8000"
        raise ValueError(message)
    return binds


def _secret_parser(parse: Callable[[str], object]) -> Callable[[object], object]:
    """Make the validator of a secret: *parse* of a text or a file's text; objects pass."""

    def validate(value: object) -> object:
        if isinstance(value, _UnreadableFile):
            message = f"the file named by its _FILE variable cannot be read ({value})"
            raise ValueError(message)  # noqa: TRY004 - pydantic collects ValueErrors
        return parse(value) if isinstance(value, str) else value

    return validate


def _tokens_of(text: str) -> Tokens:
    file = text.file if isinstance(text, _FileText) else None
    return replace(parse_tokens(text), file=file)


class Settings(BaseSettings):
    """The settings, as fields; the reason for each of the pool's is in mysql/config.py. Seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        validate_default=True,
        validate_by_name=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )
    # May also be given as a file to read, NAME_FILE=/run/secrets/...
    secrets: ClassVar[tuple[str, ...]] = ("database", "replica_url", "tokens")
    # Each must be less than the next, or an outer limit cuts off what an inner one would explain.
    budget: ClassVar[tuple[str, ...]] = (
        "probe_timeout",
        "connect_timeout",
        "acquire_timeout",
        "request_timeout",
        "graceful_timeout",
        "shutdown_timeout",
    )

    database: Annotated[
        InstanceOf[ConnectConfig], NoDecode, BeforeValidator(_secret_parser(parse_database_url))
    ] = Field(validation_alias="DATABASE_URL")

    # Servers to read from, as DATABASE_URL; none: everything is read from the writer.
    replica_url: Annotated[
        InstanceOf[ConnectConfig] | None,
        NoDecode,
        BeforeValidator(_secret_parser(parse_database_url)),
    ] = Field(default=None, repr=False)

    # The pool, by aiomysql's names where it has them.
    # At least one: readiness is told from connections that are there.
    minsize: PositiveInt = _POOL.minsize
    maxsize: Annotated[PositiveInt, Field(le=MAX_CONNECTIONS)] = _POOL.maxsize
    max_waiting: NonNegativeInt = _POOL.max_waiting
    # None: derived from the server's wait_timeout.
    pool_recycle: float | None = _POOL.pool_recycle
    max_lifetime: NonNegativeFloat = _POOL.max_lifetime
    keepalive: NonNegativeFloat = _POOL.keepalive
    leak_threshold: NonNegativeFloat = _POOL.leak_threshold

    # The budget, in order.
    probe_timeout: PositiveFloat = _POOL.probe_timeout
    connect_timeout: PositiveFloat = ConnectConfig().connect_timeout
    acquire_timeout: PositiveFloat = _POOL.acquire_timeout
    # Every request is answered within it, one way or the other.
    request_timeout: PositiveFloat = 10.0
    # Requests in flight may take this long after SIGTERM; then they are cancelled.
    graceful_timeout: PositiveFloat = 15.0
    # The app's own closing (pool, connections) may take this long after them.
    shutdown_timeout: PositiveFloat = 20.0
    # After SIGTERM /health/ready says 503 this long before the port closes, so that load balancers
    # look elsewhere first.
    drain_delay: NonNegativeFloat = 1.0

    bind: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_bind)] = ("127.0.0.1:8000",)
    workers: PositiveInt = 1
    # How many containers of this kind there may be at once; only to compare with max_connections.
    instances: PositiveInt = 1
    # The largest request body that is read.
    max_content_length_bytes: PositiveInt = 1024 * 1024
    # An Idempotency-Key and its answer are kept this long; a client that is still trying after a
    # day has other troubles.
    idempotency_keep: PositiveFloat = 24 * 3600.0

    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.AUTO
    # One line for every answered request.
    access_log: bool = True

    # OpenTelemetry spans, to where the OTEL_... variables say; needs quart-app[otel].
    tracing: bool = False
    # Statements that take this long are logged, without their values. 0: none.
    slow_query: NonNegativeFloat = 1.0

    tokens: Annotated[InstanceOf[Tokens], NoDecode, BeforeValidator(_secret_parser(_tokens_of))] = (
        Field(default=Tokens(), repr=False)
    )

    @classmethod
    def from_env(cls) -> Self:
        """Read the environment. Raises SettingsError that lists every fault at once."""
        faults = _unknown_names(os.environ) + _given_twice(os.environ)
        try:
            settings = cls()  # type: ignore[call-arg] # the environment gives what is required
        except ValidationError as exc:
            faults += [_fault(error) for error in exc.errors()]
            raise SettingsError(faults) from None
        if faults:
            raise SettingsError(faults)
        return settings

    @property
    def connect(self) -> ConnectConfig:
        """How the engine connects."""
        return replace(self.database, connect_timeout=self.connect_timeout)

    @property
    def replicas(self) -> ConnectConfig | None:
        """How the engine connects to servers that are only read from."""
        url = self.replica_url
        return None if url is None else replace(url, connect_timeout=self.connect_timeout)

    @property
    def pool(self) -> PoolConfig:
        """How the engine pools."""
        return PoolConfig(
            minsize=self.minsize,
            maxsize=self.maxsize,
            max_waiting=self.max_waiting,
            pool_recycle=self.pool_recycle,
            max_lifetime=self.max_lifetime,
            keepalive=self.keepalive,
            leak_threshold=self.leak_threshold,
            probe_timeout=self.probe_timeout,
            acquire_timeout=self.acquire_timeout,
            # A read that is stuck on a dead connection has the other half for another one.
            statement_timeout=self.request_timeout / 2,
        )

    @field_validator("tracing")
    @classmethod
    def _can_trace(cls, value: bool) -> bool:
        if value and importlib.util.find_spec("opentelemetry") is None:
            message = "needs more to be installed: pip install 'quart-app[otel]'"
            raise ValueError(message)
        return value

    @field_validator("pool_recycle")
    @classmethod
    def _is_a_time_or_never(cls, value: float | None) -> float | None:
        if value is None or value > 0 or value == NEVER:
            return value
        raise ValueError(f"should be greater than 0, or {NEVER}: never")

    @field_validator("maxsize")
    @classmethod
    def _holds_minsize(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("minsize", 0):
            message = f"should be not less than {PREFIX}MINSIZE"
            raise ValueError(message)
        return value

    @field_validator(*budget[1:])
    @classmethod
    def _keeps_order(cls, value: float, info: ValidationInfo) -> float:
        place = cls.budget.index(str(info.field_name))
        before = [name for name in cls.budget[:place] if name in info.data]
        if before and value <= info.data[before[-1]]:
            message = f"should be greater than {env_name(before[-1])} ({info.data[before[-1]]:g} s)"
            raise ValueError(message)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then files it names; no .env file is looked for."""
        return (init_settings, env_settings, _SecretFiles(settings_cls))


class _FileText(str):
    """The text of a file, which says where it came from."""

    __slots__ = ("file",)
    file: Path

    def __new__(cls, file: Path) -> Self:
        self = super().__new__(cls, file.read_text(encoding="utf-8").strip())
        self.file = file
        return self


class _UnreadableFile(str):
    """Stands for the text of a file that cannot be read: the field's own parser reports it."""

    __slots__ = ()


class _SecretFiles(EnvSettingsSource):
    """Values from the files named by ``NAME_FILE`` variables."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - pydantic's signature
        field_name: str,
    ) -> tuple[object, str, bool]:
        key = env_name(field_name)
        path = os.environ.get(f"{key}_FILE") if field_name in Settings.secrets else None
        if path is None:
            return None, key, False
        try:
            return _FileText(Path(path)), key, False
        except (OSError, UnicodeDecodeError) as exc:
            return _UnreadableFile(type(exc).__name__), key, False


def env_name(field: str) -> str:
    """Tell the environment variable behind a field of Settings."""
    alias = (
        Settings.model_fields[field].validation_alias if field in Settings.model_fields else None
    )
    return alias if isinstance(alias, str) else f"{PREFIX}{field.upper()}"


def _known_names() -> set[str]:
    names = {env_name(field) for field in Settings.model_fields}
    return names | {f"{env_name(field)}_FILE" for field in Settings.secrets}


def _unknown_names(environ: Mapping[str, str]) -> list[str]:
    known = {name.removeprefix(PREFIX) for name in _known_names() if name.startswith(PREFIX)}
    faults = []
    for name in sorted(environ):
        short = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and short not in known:
            near = difflib.get_close_matches(short, known, n=1)
            hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            faults.append(f"{name}: unknown{hint}")
    return faults


def _given_twice(environ: Mapping[str, str]) -> list[str]:
    names = [env_name(field) for field in Settings.secrets]
    both = [name for name in names if name in environ and f"{name}_FILE" in environ]
    return [f"{name}: given twice, also as {name}_FILE" for name in both]


def _fault(error: ErrorDetails) -> str:
    field = str(error["loc"][0]) if error["loc"] else "settings"
    name = env_name(field) if field in Settings.model_fields else field
    if error["type"] == "missing":
        return f"{name}: is required, as in mysql://user:password@host/database"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}"
