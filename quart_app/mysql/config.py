"""What can be set, with the reason for each knob. Values only: nothing here does I/O.

A knob is here because two sane installations need two values. Missing on purpose: a validation query
(COM_PING and the socket's own state answer better), FIFO checkout, a retry count (the deadline is the
limit), a pool per thread, growth steps.
"""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum


class TLSMode(Enum):
    """What is demanded of TLS, by the names of MySQL's own clients (``--ssl-mode``)."""

    DISABLED = "disabled"
    PREFERRED = "preferred"
    REQUIRED = "required"
    VERIFY_CA = "verify-ca"
    VERIFY_IDENTITY = "verify-identity"


PasswordSource = str | Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server listens. *unix_socket* wins over *host* and *port*."""

    host: str = "localhost"
    port: int = 3306
    unix_socket: str | None = None

    def __str__(self) -> str:
        return self.unix_socket or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectConfig:
    """How one connection is made and set up."""

    endpoints: tuple[Endpoint, ...] = (Endpoint(),)
    user: str | None = None
    # A string, or an async callable asked once per connect: tokens that expire, passwords that rotate.
    password: PasswordSource = field(default="", repr=False)
    database: str | None = None
    charset: str = "utf8mb4"
    autocommit: bool | None = True
    # One deadline, in seconds, over resolving, TCP, TLS, authentication and session set-up.
    connect_timeout: float = 3.0
    tls_mode: TLSMode = TLSMode.PREFERRED
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = field(default=None, repr=False)
    # An own context replaces the four above; TLS is then demanded.
    tls_context: ssl.SSLContext | None = field(default=None, repr=False)
    # The server's RSA key (PEM): caching_sha2_password without TLS then trusts no key off the wire.
    server_public_key: bytes | None = field(default=None, repr=False)
    # Of several endpoints take any, read-only ones too, in turn: for a pool that only reads.
    any_role: bool = False
    # Run on every new connection, after our own set-up and again after a reset.
    init_command: str | None = None
    # Entered around every statement with its text (driver/watched.py): slow-query log, tracing.
    watch: Callable[[bytes], AbstractContextManager[object]] | None = field(
        default=None, repr=False
    )
    # The rest of aiomysql's keywords (cursorclass, conv, sql_mode, local_infile …), passed through.
    options: dict[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """How many connections are held, for how long, and who waits how long for one. Seconds."""

    name: str = "mysql"
    # Kept open while idle: the first requests after a quiet night find a connection.
    minsize: int = 1
    # The limit; 0 means none, as in aiomysql. A small pool is a fast pool.
    maxsize: int = 10
    # Callers that may queue; the next one gets TooManyRequests at once.
    max_waiting: int = 1000
    acquire_timeout: float = 5.0
    # A ping at checkout or by keepalive may take this long.
    probe_timeout: float = 1.0
    # Checkout trusts a connection used within this time; an older one is pinged first.
    probe_after_idle: float = 1.0
    # Idle seconds after which a connection is replaced, as in aiomysql. None: derived from the
    # server's wait_timeout (80% of it, 240 s at most). -1: never. Below 1: seen at checkout only.
    pool_recycle: float | None = None
    # Age after which a connection is replaced, less up to 20% of jitter. 0: never.
    max_lifetime: float = 1800.0
    # Every idle connection is pinged this often, give or take 10%. 0: never.
    keepalive: float = 60.0
    # A statement may take this long where no nearer deadline is ambient; of rows read one by one, each
    # may. None: for ever, as in aiomysql.
    statement_timeout: float | None = None
    # A connection out for longer is reported with its borrower's stack. 0: never.
    leak_threshold: float = 60.0
    # close() waits this long for borrowers, then closes their connections under them.
    close_timeout: float = 10.0

    def __post_init__(self) -> None:
        faults = [fault for broken, fault in self._checks() if broken]
        if faults:
            raise ValueError("; ".join(faults))

    def _checks(self) -> list[tuple[bool, str]]:
        return [
            (self.minsize < 0, "minsize should be zero or greater"),
            (self.maxsize < 0, "maxsize should be zero or greater"),
            (0 < self.maxsize < self.minsize, "maxsize should be not less than minsize"),
            (self.max_waiting < 0, "max_waiting should be zero or greater"),
            (self.acquire_timeout <= 0, "acquire_timeout should be greater than zero"),
            (self.probe_timeout <= 0, "probe_timeout should be greater than zero"),
            (self.max_lifetime < 0, "max_lifetime should be zero or greater"),
            (self.keepalive < 0, "keepalive should be zero or greater"),
            (self.close_timeout < 0, "close_timeout should be zero or greater"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How work is tried again: until the deadline, with jitter between. Seconds."""

    # The deadline of work that runs under no other.
    timeout: float = 10.0
    wait_initial: float = 0.01
    wait_max: float = 1.0
