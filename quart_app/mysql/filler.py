"""The side of the pool that opens connections: how many are wanted, when, and what if it fails.

Connects run in tasks of their own, at the same time, outside any lock; a caller never pays
for one it does not need, and one that hangs holds up nobody else.
"""

import asyncio
import logging
from functools import partial

from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import (
    AccessDenied,
    ConnectError,
    PoolClosed,
    TLSRequired,
    UnknownDatabase,
)
from quart_app.mysql.gate import ConnectGate
from quart_app.mysql.slot import Slot, SlotState
from quart_app.mysql.stock import Stock

log = logging.getLogger("quart_app.mysql")

# The server knows us and says no: trying again changes nothing until somebody changes a setting.
REFUSALS = (AccessDenied, UnknownDatabase, TLSRequired)


class Filler:
    """Fills empty slots for those who wait, and up to the minimum."""

    def __init__(self, pool: Stock) -> None:
        self._pool = pool
        self.connecting: dict[Slot, asyncio.Task[None]] = {}
        self.gate = ConnectGate(pool.rng)
        self.timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer is; uvloop's has no when() if that is at once
        self.last_failure: ConnectError | None = None
        self.failing_since: float | None = None
        self.connects = 0
        self.connect_failures = 0
        self.connect_seconds = 0.0
        self._filled: asyncio.Future[None] | None = None

    def grow(self) -> None:
        """Begin as many connects as are wanted, there is room for, and the gate allows."""
        pool, gate = self._pool, self.gate
        while pool.is_open and self._wanted() and pool.has_room():
            running = len(self.connecting)
            waited_for = pool.waiting > running
            if not gate.may_start(pool.time(), running=running, wanted=waited_for):
                if running < gate.limit:
                    self._try_at(gate.opens_at(wanted=waited_for))
                return
            slot = pool.take_empty()
            slot.move(SlotState.CONNECTING)
            task = pool.spawn(self._connect(slot), f"connect-{slot.number}")
            self.connecting[slot] = task
            task.add_done_callback(partial(self._forget, slot))

    def stop(self) -> None:
        """Begin no more; end what is under way."""
        if self.timer is not None:
            self.timer.cancel()
        for task in list(self.connecting.values()):
            task.cancel()
        if self._filled is not None and not self._filled.done():
            self._filled.set_exception(PoolClosed(f"pool {self._pool.name!r} is closing"))
            self._filled.exception()  # nobody may be waiting any more

    async def wait(self) -> None:
        """Wait until the minimum is there; raises the first failure."""
        if self.live >= self._pool.minsize:
            return
        if self._filled is None:
            self._filled = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._filled)

    @property
    def live(self) -> int:
        """Connections there are: what is neither empty nor under way."""
        return self._pool.filled_or_filling() - len(self.connecting)

    def refusal(self) -> ConnectError | None:
        """The server's no, while it is pointless to wait: nothing live, and no new try soon."""
        pool, error = self._pool, self.last_failure
        if error is None or not self.gate.refused or self.live or self.connecting:
            return None
        return again(error) if pool.time() < self.gate.opens_at(wanted=True) else None

    def _wanted(self) -> bool:
        connecting, pool = len(self.connecting), self._pool
        return pool.waiting > connecting or pool.minsize > self.live + connecting

    def _try_at(self, when: float) -> None:
        if self.timer is not None:
            if self._due <= when:
                return
            self.timer.cancel()
        self._due = when
        self.timer = asyncio.get_running_loop().call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self.timer = None
        self.grow()

    async def _connect(self, slot: Slot) -> None:
        pool = self._pool
        started, generation = pool.time(), pool.generation
        try:
            connection = await pool.driver.connect()
        except Exception as exc:  # noqa: BLE001 # whatever it is, the slot must come back
            self._failed(slot, exc, started)
        else:
            self._succeeded(slot, connection, pool.time() - started, generation)

    def _succeeded(self, slot: Slot, connection: Connection, took: float, generation: int) -> None:
        pool = self._pool
        del self.connecting[slot]
        self.gate.succeeded()
        self.connects += 1
        self.connect_seconds += took
        pool.observer.connected(took=took)
        self._note_recovery()
        if connection.switched:
            pool.invalidate("another server is in use")
            generation = pool.generation
        pool.put_connected(slot, connection, generation)
        if self._filled is not None and self.live >= pool.minsize:
            self._settle(None)
        self.grow()

    def _failed(self, slot: Slot, exc: Exception, began: float) -> None:
        pool = self._pool
        now = pool.time()
        del self.connecting[slot]
        pool.put_empty(slot)
        error = exc if isinstance(exc, ConnectError) else _as_connect_error(exc)
        refused = isinstance(error, REFUSALS)
        self.connect_failures += 1
        pool.observer.connect_failed(error=error, took=now - began)
        self._note_failure(error)
        self.gate.failed(now, began=began, refused=refused)
        if self._filled is not None:
            self._settle(error)
        if refused and not self.live:
            pool.fail_waiters(again(error))
        self.grow()

    def _forget(self, slot: Slot, task: asyncio.Task[None]) -> None:
        """Free the slot of a connect that was cancelled, perhaps before it had begun."""
        if self.connecting.get(slot) is task:
            del self.connecting[slot]
            self._pool.put_empty(slot)

    def _settle(self, error: ConnectError | None) -> None:
        filled, self._filled = self._filled, None
        if filled is None or filled.done():
            return
        if error is None:
            filled.set_result(None)
        else:
            filled.set_exception(again(error))
            filled.exception()  # nobody may be waiting any more

    def _note_failure(self, error: ConnectError) -> None:
        """One line when it begins or changes its kind, none for each attempt."""
        before, self.last_failure = self.last_failure, error
        if self.failing_since is None:
            self.failing_since = self._pool.time()
        if before is None or type(before) is not type(error) or before.errno != error.errno:
            hint = "check the settings" if isinstance(error, REFUSALS) else "trying on"
            where = self._pool.driver.describe()
            log.warning("pool %s: no connection to %s: %s; %s", self._pool.name, where, error, hint)

    def _note_recovery(self) -> None:
        since, self.failing_since, self.last_failure = self.failing_since, None, None
        if since is not None:
            after = self._pool.time() - since
            self._pool.observer.recovered(after=after)
            where = self._pool.driver.describe()
            log.warning("pool %s: connected to %s after %.1f s", self._pool.name, where, after)


def again(error: ConnectError) -> ConnectError:
    """A copy to raise once more: one exception object raised twice grows its traceback."""
    copy = type(error)(str(error), errno=error.errno, sqlstate=error.sqlstate)
    copy.__cause__ = error.__cause__
    return copy


def _as_connect_error(exc: Exception) -> ConnectError:
    error = ConnectError(f"cannot connect: {type(exc).__name__}")
    error.__cause__ = exc
    return error
