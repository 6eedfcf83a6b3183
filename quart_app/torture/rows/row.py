"""A row of the table: a fault, how it is played, and what is promised while it lasts."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from quart_app.torture.faults import Faults
from quart_app.torture.outcome import Kind, Outcome
from quart_app.torture.scene import Bench, Scene

Promise = Mapping[Kind, frozenset[Outcome]]
Play = Callable[[Scene, "Row"], Awaitable[None]]

OK = frozenset((Outcome.OK,))
OR_UNKNOWN = OK | {Outcome.UNKNOWN}
OR_DENIED = OK | {Outcome.UNAVAILABLE, Outcome.TIMEOUT}
OR_503 = OR_DENIED | OR_UNKNOWN
ALL_OK: Promise = dict.fromkeys(Kind, OK)
# A COMMIT or a plain write that was under way when the server went: nobody can know, and it is said.
HELD: Promise = {**ALL_OK, Kind.W: OR_UNKNOWN, Kind.T: OR_UNKNOWN}
# Nothing hangs, nothing is done twice; but a request may come to its deadline.
IN_TIME: Promise = dict.fromkeys(Kind, OR_503)

REQUEST_TIMEOUT = 10.0
# What an answer at the deadline may be late by, on a busy machine.
LATE = 2.0


@asynccontextmanager
async def as_it_is(_faults: Faults) -> AsyncGenerator[None, None]:
    """The server with its own settings."""
    yield


async def nothing(_faults: Faults) -> str:
    """Any server will do."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault and its promise.

    *number* is the row in the table of promises, with a letter where one has several parts.
    """

    number: str
    title: str
    play: Play
    promise: Promise = field(default_factory=lambda: ALL_OK)
    # No answer takes longer than this.
    longest: float = REQUEST_TIMEOUT + LATE
    settings: Mapping[str, str] = field(default_factory=dict)
    # Whether the program reaches the server through the proxy.
    through_proxy: bool = False
    # How the server is set up before the program starts.
    server: Callable[[Faults], AbstractAsyncContextManager[None]] = as_it_is
    # What it takes and is not here, in words: then the row is not played.
    missing: Callable[[Faults], Awaitable[str]] = nothing
    # The row is given up after this long.
    timeout: float = 120.0
    # Part of a quick run.
    quick: bool = True

    def url(self, bench: Bench) -> str:
        """What the program connects to."""
        return (
            bench.faults.through(bench.database_url) if self.through_proxy else bench.database_url
        )
