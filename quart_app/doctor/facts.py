"""What is known of a server and of us, as plain values: the rules' only input."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

NO_PROVIDER = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One server, as one connection saw it. Seconds; *variables* and *status* as the server names them.

    *skew*: the server's clock less ours. *members*: of a replication group, host and state; None if
    there is none or we may not look. *encryption*: the TLS version of our connection, or empty.
    """

    endpoint: str
    is_local: bool = False
    is_mariadb: bool = False
    version: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)
    encryption: str = ""
    offers_tls: bool = True
    auth_plugin: str = ""
    user_limit: int = 0
    connect_took: float = 0.0
    round_trips: tuple[float, ...] = ()
    skew: float | None = None
    members: tuple[tuple[str, str], ...] | None = None

    def number(self, name: str) -> float | None:
        """Tell a variable or a status value as a number; None if it is not there or not one."""
        text = self.variables.get(name, self.status.get(name, ""))
        try:
            return float(text)
        except ValueError:
            return None

    def is_on(self, name: str) -> bool:
        """Tell whether a switch is there and on."""
        return self.variables.get(name, "").upper() in ("ON", "1", "YES", "TRUE")

    @property
    def writable(self) -> bool:
        """Whether it takes writes from us, as far as can be told without one."""
        if self.clustered and self.status.get("wsrep_ready") != "ON":
            return False
        switches = ("read_only", "super_read_only", "offline_mode")
        # MariaDB 12 knows more kinds of read-only than ON.
        return all(self.variables.get(name, "OFF").upper() in ("OFF", "0") for name in switches)

    @property
    def clustered(self) -> bool:
        """Whether it is a node of a Galera cluster."""
        provider = self.variables.get("wsrep_provider", NO_PROVIDER).lower()
        return self.is_on("wsrep_on") and provider not in ("", NO_PROVIDER)

    @property
    def latency(self) -> float | None:
        """The median round trip."""
        return median(self.round_trips) if self.round_trips else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our side of it: the settings, and how many times the program runs."""

    replicas: int = 1
    workers: int = 1
    maxsize: int = 10
    pool_recycle: float | None = None
    keepalive: float = 60.0
    connect_timeout: float = 3.0
    request_timeout: float = 10.0
    max_content_length_bytes: int = 1024 * 1024
    verifies_tls: bool = False
    endpoints: int = 1

    @property
    def connections(self) -> int:
        """The most connections we open: every pool full, and one each to kill a lost statement."""
        return self.replicas * self.workers * (self.maxsize + 1)
