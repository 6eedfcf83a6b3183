"""The systems under test: which application, in which environment, behind which server."""

import contextlib
import hashlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from benchmarks.database import free_port
from benchmarks.environments import ROOT, program

STARTING = 20.0
STOPPING = 20.0
TOKEN = "benchmarks-only"  # noqa: S105 - opens nothing but the app that a benchmark starts
BACKLOG = "2048"  # a thousand clients connect at once; the kernel cuts it to somaxconn


class ServerKind(Enum):
    """What speaks HTTP."""

    UWSGI = "uWSGI"
    HYPERCORN = "Hypercorn"
    UVICORN = "Uvicorn"
    GRANIAN = "Granian"


class Family(Enum):
    """What is compared with what."""

    FLASK = "flask"
    ASYNC = "async"
    OURS = "ours"
    BARE = "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One row of the result."""

    name: str
    label: str
    family: Family
    environment: str
    server: ServerKind
    target: str
    most_clients: int = 1000
    settings: Mapping[str, str] = field(default_factory=dict)

    def command(self, port: int) -> list[str]:
        """Return what to start: one process that serves, quiet, on *port* of the loopback."""
        binary = str(program(self.environment, self.server.value.lower()))
        address = f"127.0.0.1:{port}"
        match self.server:
            case ServerKind.UWSGI:
                # One process of 16 threads, as in the original measurement; --http keeps clients'
                # connections alive, which --http-socket would not.
                options = "--master --need-app --die-on-term --lazy-apps --disable-logging"
                sizes = ["--processes", "1", "--threads", "16", "--listen", _uwsgi_backlog()]
                http = ["--http", address, "--http-keepalive=1"]
                return [binary, *http, *options.split(), *sizes, "--module", self.target]
            case ServerKind.HYPERCORN:
                options = f"-k uvloop -w 1 --log-level error --backlog {BACKLOG} -b {address}"
                return [binary, *options.split(), self.target]
            case ServerKind.UVICORN:
                options = "--loop uvloop --http httptools --log-level error --no-access-log"
                where = ["--host", "127.0.0.1", "--port", str(port), "--backlog", BACKLOG]
                return [binary, *options.split(), *where, self.target]
            case ServerKind.GRANIAN:
                options = "--interface asgi --loop uvloop --workers 1 --no-ws --log-level error"
                where = ["--host", "127.0.0.1", "--port", str(port), "--backlog", BACKLOG]
                return [binary, *options.split(), *where, self.target]


@dataclass(slots=True, kw_only=True)
class Running:
    """A system that was started; its processes share a session of their own."""

    system: System
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def session(self) -> int:
        """Return the id that all its processes share."""
        return self.process.pid

    @property
    def address(self) -> str:
        """Return where it serves."""
        return f"http://127.0.0.1:{self.port}"


class StartFailedError(Exception):
    """A system does not answer."""


@contextlib.contextmanager
def running(system: System, *, environment: Mapping[str, str], logs: Path) -> Iterator[Running]:
    """Start *system*, wait for its first good answer, stop it at the end."""
    port = free_port()
    log = logs / f"{system.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            system.command(port),
            cwd=ROOT,
            env=_environment(system, environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    started = Running(system=system, port=port, process=process, log=log)
    try:
        _wait_for_answer(started)
        yield started
    finally:
        _stop(process)


def _environment(system: System, database: Mapping[str, str]) -> dict[str, str]:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    tokens = {"QUART_APP_TOKENS": f"students:{digest},ops:{digest}"}
    paths = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **database, **tokens, **paths, **system.settings}


def settings_of_ours(database: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that our app runs in wherever it is measured."""
    return _environment(BY_NAME["ours-hypercorn"], database)


def _wait_for_answer(started: Running) -> None:
    deadline = time.monotonic() + STARTING
    failure: Exception | None = None
    while time.monotonic() < deadline and started.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{started.address}/?city=london", timeout=5):  # noqa: S310 - http, loopback
                return
        except OSError as error:
            failure = error
            time.sleep(0.05)
    tail = started.log.read_text(errors="replace")[-2000:]
    message = f"{started.system.name} does not answer ({failure}); the end of its log:\n{tail}"
    raise StartFailedError(message)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING)
            break


def _uwsgi_backlog() -> str:
    """Return the most that uWSGI accepts: it refuses to start above somaxconn."""
    most = Path("/proc/sys/net/core/somaxconn")
    return str(min(int(BACKLOG), int(most.read_text()) if most.exists() else 100))


def _flask(name: str, label: str, *, module: str | None = None, **settings: str) -> System:
    return System(
        name=f"flask-{name}",
        label=f"Flask, {label}",
        family=Family.FLASK,
        environment="flask",
        server=ServerKind.UWSGI,
        target=f"benchmarks.peers.{module or 'flask_' + name.replace('-', '_')}:app",
        # At 30 to 40 requests/s a thousand clients would wait half a minute for their first answer.
        most_clients=256 if name in {"per-query", "per-request"} else 1000,
        settings=settings,
    )


def _on_each(
    name: str, label: str, *, family: Family, environment: str, target: str, **settings: str
) -> list[System]:
    return [
        System(
            name=f"{name}-{server.value.lower()}",
            label=f"{label}, {server.value}",
            family=family,
            environment=environment,
            server=server,
            target=target,
            settings=settings,
        )
        for server in (ServerKind.HYPERCORN, ServerKind.UVICORN, ServerKind.GRANIAN)
    ]


SYSTEMS: tuple[System, ...] = (
    _flask("per-query", "connection per query"),
    _flask("per-request", "connection per request"),
    _flask("persistent-db", "PersistentDB"),
    _flask("sqlalchemy", "SQLAlchemy pool_recycle"),
    _flask(
        "sqlalchemy-ping", "SQLAlchemy pool_pre_ping", module="flask_sqlalchemy", PEER_PRE_PING="1"
    ),
    _flask("timer", "hourly timer class"),
    _flask("retry-cursor", "retry around cursor()"),
    *_on_each(
        "quart-aiomysql",
        "Quart + aiomysql",
        family=Family.ASYNC,
        environment="quart",
        target="benchmarks.peers.quart_aiomysql:app",
    ),
    *_on_each(
        "fastapi-asyncmy",
        "FastAPI + asyncmy",
        family=Family.ASYNC,
        environment="fastapi",
        target="benchmarks.peers.fastapi_asyncmy:app",
    ),
    *_on_each(
        "ours",
        "quart_app",
        family=Family.OURS,
        environment="ours",
        target="benchmarks.ours:app",
        QUART_APP_MAXSIZE="8",
        QUART_APP_ACCESS_LOG="false",  # the others write none
    ),
    System(
        name="bare-uwsgi",
        label="no framework, uWSGI",
        family=Family.BARE,
        environment="flask",
        server=ServerKind.UWSGI,
        target="benchmarks.peers.bare:wsgi",
    ),
    *_on_each(
        "bare",
        "no framework",
        family=Family.BARE,
        environment="quart",
        target="benchmarks.peers.bare:asgi",
    ),
    System(
        name="bare-ours-hypercorn",
        label="no framework, Hypercorn as mended",
        family=Family.BARE,
        environment="ours",
        server=ServerKind.HYPERCORN,
        target="benchmarks.mended:app",
    ),
)
BY_NAME = {system.name: system for system in SYSTEMS}
QUICK = (
    "flask-persistent-db",
    "quart-aiomysql-hypercorn",
    "fastapi-asyncmy-hypercorn",
    "fastapi-asyncmy-granian",
    "ours-hypercorn",
    "ours-granian",
    "bare-uwsgi",
    "bare-hypercorn",
    "bare-granian",
    "bare-ours-hypercorn",
)
