"""A driver without a server: connects, pings and resets go as a script says, in virtual time.

Every connection ever opened is remembered, so that a test can ask whether each was closed, and how.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from quart_app.mysql import deadline
from quart_app.mysql.driver import Condition, Connection, ServerInfo
from quart_app.mysql.errors import ConnectError, ConnectionLost, QueryTimeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one operation goes: it takes *delay* seconds, or for ever; then *error*, or success."""

    delay: float = 0.0
    hang: bool = False
    error: Exception | None = None

    async def happen(self) -> None:
        """Take the time; raise the error."""
        if self.hang:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error


FINE = Outcome()
HANG = Outcome(hang=True)


def slow(delay: float) -> Outcome:
    """Succeed after *delay* seconds."""
    return Outcome(delay=delay)


def fail(error: Exception, *, delay: float = 0.0) -> Outcome:
    """Fail with *error* after *delay* seconds."""
    return Outcome(error=error, delay=delay)


def refused() -> Outcome:
    """Fail as a connect to a port where nobody listens."""
    return fail(ConnectError("connection refused", errno=2003))


class FakeConnection(Connection):
    """A connection to nowhere, with the driver's manners: what is interrupted is closed."""

    def __init__(self, driver: "FakeDriver", number: int) -> None:
        super().__init__()
        self.driver = driver
        self.number = number
        self.needs = Condition.CLEAN
        self.probes: deque[Outcome] = deque()
        self.resets: deque[Outcome] = deque()
        self.probed_at: list[float] = []
        self.reset_count = 0
        self.rollback_count = 0
        self.ended: str | None = None
        self.lost = False

    def __repr__(self) -> str:
        return f"<FakeConnection {self.number} {self.ended or 'open'}>"

    @property
    def closed(self) -> bool:
        return self.ended is not None

    def is_alive(self) -> bool:
        return not self.closed and not self.lost

    def condition(self) -> Condition:
        if self.evicted is not None or not self.is_alive():
            return Condition.UNUSABLE
        return self.needs

    def die(self) -> None:
        """Have the server end the connection: the socket sees FIN, and says so."""
        self.lost = True
        self._report_lost()

    async def work(self, outcome: Outcome = FINE) -> None:
        """Do what a borrower does: a statement, under the ambient deadline."""
        if not self.is_alive():
            raise ConnectionLost("not connected", sent=False)
        try:
            async with asyncio.timeout_at(deadline.current()):
                await outcome.happen()
        except TimeoutError as exc:
            self._interrupt()
            raise QueryTimeout("deadline") from exc
        except asyncio.CancelledError:
            self._interrupt()
            raise

    async def probe(self) -> None:
        self.probed_at.append(asyncio.get_running_loop().time())
        await self.work(self.probes.popleft() if self.probes else self.driver.probe)

    async def reset(self) -> None:
        self.reset_count += 1
        await self.work(self.resets.popleft() if self.resets else FINE)
        self.needs = Condition.CLEAN

    async def rollback(self) -> None:
        self.rollback_count += 1
        await self.work(self.resets.popleft() if self.resets else FINE)
        self.needs = Condition.CLEAN

    def quit(self) -> None:
        self._end("quit")

    def abort(self) -> None:
        self._end("abort")

    def close(self) -> None:
        self._end("close")

    def _interrupt(self) -> None:
        self.orphaned = True
        self._end("abort")

    def _end(self, how: str) -> None:
        if self.ended is None:
            self.ended = how
            self._report_lost()


class FakeDriver:
    """Connects as told: *connects* one by one, then *connect_always* for ever. Bounded."""

    def __init__(self, *, connect_timeout: float = 3.0, wait_timeout: float = 28800.0) -> None:
        self.connect_timeout = connect_timeout
        self.server = ServerInfo(identity="fake", wait_timeout=wait_timeout, thread_id=1)
        self.connects: deque[Outcome] = deque()
        self.connect_always = FINE
        self.probe = FINE
        self.kill_always = FINE
        # Whether an abandoned statement is still there when its KILL comes.
        self.statements_last = True
        self.opened: list[FakeConnection] = []
        self.attempted_at: list[float] = []
        self.killed: list[Connection] = []
        # The next connect reaches another server than those before it did.
        self.switch_next = False
        self.home_due = self.home_is_back = False
        self.connecting = 0
        self.most_connecting = 0
        self.most_open = 0

    @property
    def open(self) -> list[FakeConnection]:
        """Connections that are not closed yet, on our side."""
        return [connection for connection in self.opened if not connection.closed]

    async def connect(self) -> Connection:
        """Open a connection as the script says."""
        self.attempted_at.append(asyncio.get_running_loop().time())
        outcome = self.connects.popleft() if self.connects else self.connect_always
        self.connecting += 1
        self.most_connecting = max(self.most_connecting, self.connecting)
        try:
            async with asyncio.timeout(self.connect_timeout):
                await outcome.happen()
        except TimeoutError as exc:
            raise ConnectError("timed out", errno=2003) from exc
        finally:
            self.connecting -= 1
        connection = FakeConnection(self, len(self.opened))
        connection.server = self.server
        connection.switched, self.switch_next = self.switch_next, False
        self.opened.append(connection)
        self.most_open = max(self.most_open, len(self.open))
        return connection

    async def kill(self, connection: Connection) -> bool:
        """Remember that the server was asked to end what *connection* did."""
        await self.kill_always.happen()
        self.killed.append(connection)
        return self.statements_last

    def preferred_due(self, now: float) -> bool:
        """Tell that it is time to look, as often as the script says: once."""
        due, self.home_due = self.home_due, False
        return due and now > 0

    async def return_to_preferred(self) -> bool:
        """Tell what the script says."""
        return self.home_is_back

    def has_choice(self) -> bool:
        """Tell that there is one server."""
        return False

    async def answers(self, connection: Connection) -> bool:
        """Fail: without a choice nobody may ask."""
        raise AssertionError(f"asked about {connection!r}")

    move_on = answers

    def describe(self) -> str:
        """Name the server."""
        return "fake"
