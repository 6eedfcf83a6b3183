"""What the engine tells about itself: counters at any time, events as they happen.

Every method of an observer does nothing unless overridden. They are called on the loop, between two
awaits of the pool: they must not block and must not raise.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The pool at one moment, and its counts since it was opened. Seconds."""

    name: str
    minsize: int
    maxsize: int
    total: int
    active: int
    idle: int
    waiting: int
    connecting: int
    generation: int
    acquired: int
    released: int
    waited: int
    wait_seconds: float
    usage_seconds: float
    timeouts: int
    rejected: int
    connects: int
    connect_failures: int
    connect_seconds: float
    pings: int
    resets: int
    kills: int
    leaks: int
    evictions: dict[str, int] = field(default_factory=dict)
    last_failure: str | None = None


class Observer:
    """The events; a base to override from."""

    def acquired(self, *, waited: float) -> None:
        """A borrower got a connection after *waited* seconds."""

    def released(self, *, used: float) -> None:
        """A borrower gave it back after *used* seconds."""

    def connected(self, *, took: float) -> None:
        """A connection was opened in *took* seconds."""

    def connect_failed(self, *, error: Exception, took: float) -> None:
        """A connect failed after *took* seconds."""

    def evicted(self, *, reason: str) -> None:
        """A connection was closed by the pool."""

    def timed_out(self, *, waited: float) -> None:
        """A caller gave up waiting."""

    def rejected(self) -> None:
        """A caller was turned away: too many waiting."""

    def leaked(self, *, held: float, trace: str) -> None:
        """A connection has been out for *held* seconds; *trace* is where it was borrowed."""

    def killed(self, *, done: bool) -> None:
        """A statement nobody waits for any more was ended on the server, or could not be."""

    def retried(self, *, phase: str, attempt: int, waited: float, error: Exception) -> None:
        """Work is tried again (*attempt* 2 and up) after *error* in *phase*."""

    def batched(self, *, size: int) -> None:
        """*size* lookups went out in one statement."""

    def healed(self, *, after: float, error: Exception) -> None:
        """Work that met *error* was done again and succeeded, *after* seconds since it began."""

    def recovered(self, *, after: float) -> None:
        """The first connect after failures succeeded, *after* seconds since the first failure."""
