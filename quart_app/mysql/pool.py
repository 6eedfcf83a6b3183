"""The pool: lends connections, and never hangs, leaks, or knowingly lends a dead one.

Here: opening, closing, what operators may ask of it, and what it tells. It is built on lending.py
(who gets one), that on tended.py (what goes on by itself), and that on stock.py (where each slot is).
"""

import asyncio
import logging
import random
from dataclasses import replace
from types import TracebackType
from typing import Self

from quart_app.mysql.acquiring import Closing
from quart_app.mysql.config import ConnectConfig, PasswordSource, PoolConfig
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.errors import PoolClosed
from quart_app.mysql.housekeeper import Housekeeper
from quart_app.mysql.lending import Lender
from quart_app.mysql.observer import Observer, PoolStats
from quart_app.mysql.slot import Driver, Slot, SlotState
from quart_app.mysql.stock import PoolState

log = logging.getLogger("quart_app.mysql")

# After the last connection is told goodbye, sockets and tasks get this long to be gone.
GOODBYE = 1.0


class Pool(Lender):
    """A fixed number of slots, filled with connections as they are needed.

    Arguments:
        *connect*: how a connection is made.
        *config*: sizes and times.
        *observer*: is told what happens.
        *driver*: stands in for MySQL in unit tests.
        *rng*: where jitter comes from.
    """

    def __init__(
        self,
        connect: ConnectConfig | None = None,
        config: PoolConfig | None = None,
        *,
        observer: Observer | None = None,
        driver: Driver | None = None,
        rng: random.Random | None = None,
    ) -> None:
        config = config or PoolConfig()
        driver = driver or MySQLDriver(
            connect or ConnectConfig(), statement_timeout=config.statement_timeout
        )
        super().__init__(config, driver, observer=observer, rng=rng)
        self._housekeeper = Housekeeper(self)

    # -- opening ------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Begin to fill the pool, in the background. Waits for nothing; wait() does.

        A server that is down is no error here: the pool heals when it comes up.
        """
        if self._state is not PoolState.NEW:
            raise PoolClosed(f"pool {self.name!r} was opened before")
        self._loop = asyncio.get_running_loop()
        self.time = self._loop.time
        self._state = PoolState.OPEN
        self._housekeeper.start()
        self.grow()
        return self

    async def wait(self, *, timeout: float | None = None) -> None:
        """Wait until *minsize* connections are there.

        Raises the first connect failure, or PoolTimeout after *timeout* seconds. The pool stays
        open either way.
        """
        self._assume_open()
        started = self.time()
        try:
            async with asyncio.timeout(timeout):
                await self._filler.wait()
        except TimeoutError:
            error = self._timeout_error(self.time() - started, limit=timeout or 0.0)
            raise error from self._filler.last_failure

    async def __aenter__(self) -> Self:
        if self._state is PoolState.NEW:
            await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()

    # -- for operators ------------------------------------------------------------------------

    def rotate(self, password: PasswordSource) -> None:
        """Use *password* from now on; connections made with the old one are replaced."""
        assert isinstance(self.driver, MySQLDriver)  # a scripted driver has no password
        self.driver.config = replace(self.driver.config, password=password)
        self.drain()

    async def clear(self) -> None:
        """Close all idle connections, as aiomysql's pool does.

        Those being reset or pinged go when that has ended.
        """
        for slot in self._slots:
            if slot.state in {SlotState.RESERVED, SlotState.RESETTING}:
                slot.generation = -1  # of no generation: it goes when it comes back
        self._clear("cleared")

    async def check(self) -> int:
        """Ping every idle connection now, within ``probe_timeout``; returns how many answered."""
        self._assume_open()
        asked = [(slot, slot.held()) for slot in self.idle_slots()]
        if asked:
            await asyncio.wait([self.ping_soon(slot) for slot, _ in asked])
        return sum(1 for slot, connection in asked if slot.connection is connection)

    def resize(self, *, minsize: int, maxsize: int) -> None:
        """Change the sizes; what is too much goes, the lent ones on release."""
        PoolConfig(name=self.name, minsize=minsize, maxsize=maxsize)
        self._minsize, self._maxsize = minsize, maxsize
        present = {slot.number for slot in self._slots}
        fresh = [Slot(number) for number in range(maxsize) if number not in present]
        self._slots += fresh
        self._empty += fresh
        if maxsize:
            self._drop_surplus()
        self.grow()

    def _drop_surplus(self) -> None:
        for slot in [slot for slot in self._empty if slot.number >= self._maxsize]:
            self._empty.remove(slot)
            self._slots.remove(slot)
        for slot in [slot for slot in self._slots if slot.number >= self._maxsize]:
            slot.generation = -1  # of no generation: it goes when it comes back
            if slot in self._idle:
                del self._idle[slot]
                self.retire(slot, "drained")

    # -- closing ------------------------------------------------------------------------------

    def close(self) -> Closing:
        """Refuse new borrowers and let everybody who waits know. May be awaited; see wait_closed().

        Idempotent. Lent connections are closed as they come back.
        """
        if self._state is PoolState.NEW:
            self._state = PoolState.CLOSED
        elif self._state is PoolState.OPEN:
            self._state = PoolState.CLOSING
            self._housekeeper.stop()
            self._filler.stop()
            self._waiters.fail(self._closed_error())
            self._clear("closed")
        return Closing(self)

    async def wait_closed(self) -> None:
        """Wait until everything lent is back, ``close_timeout`` seconds at most, then end it.

        Raises RuntimeError before close(). Cancelled, it closes the lent connections at once.
        """
        if self._state is PoolState.CLOSED:
            return
        if self._state is not PoolState.CLOSING:
            raise RuntimeError(".wait_closed() should be called after .close()")
        try:
            await self._wait_emptied()
            await self._wait_tasks()
        finally:
            self.terminate()
            self._state = PoolState.CLOSED
        if self._tasks:  # cancelled just now
            await asyncio.wait(self._tasks, timeout=GOODBYE)
        await asyncio.gather(*(gone.wait_gone(GOODBYE) for gone in self._leaving))
        self._leaving.clear()

    async def _wait_emptied(self) -> None:
        if not self.filled_or_filling():
            return
        if self._emptied is None:
            self._emptied = self._loop.create_future()
        done, _ = await asyncio.wait([self._emptied], timeout=self.config.close_timeout)
        if not done:
            log.warning("pool %s: closed under its borrowers (%s)", self.name, self._sizes())

    async def _wait_tasks(self) -> None:
        """Let resets and kills end; they are bounded, and so is this."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.config.probe_timeout + GOODBYE)

    def terminate(self) -> None:
        """Close every connection now, lent ones too; their borrowers' next statement raises."""
        self.close()
        for connection, slot in list(self._lent.items()):
            del self._lent[connection]
            self._terminated.add(connection)
            connection.abort()
            self.retire(slot, "terminated")
        for slot in self._slots[:]:
            if slot.state in {SlotState.RESERVED, SlotState.RESETTING}:
                self.retire(slot, "terminated")
        for task in list(self._tasks):
            task.cancel()

    # -- telling ------------------------------------------------------------------------------

    def slot_states(self) -> list[SlotState]:
        """What each slot is at, in their order."""
        return [slot.state for slot in sorted(self._slots, key=lambda slot: slot.number)]

    def stats(self) -> PoolStats:
        """The pool at this moment."""
        filler, upkeep = self._filler, self._upkeep
        return PoolStats(
            name=self.name,
            minsize=self._minsize,
            maxsize=self._maxsize,
            total=self.filled_or_filling(),
            active=len(self._lent),
            idle=len(self._idle),
            waiting=len(self._waiters),
            connecting=len(filler.connecting),
            generation=self.generation,
            acquired=self._acquired,
            released=self._acquired - len(self._lent),
            waited=self._waited,
            wait_seconds=self._wait_seconds,
            usage_seconds=self._usage_seconds,
            timeouts=self._timeouts,
            rejected=self._rejected,
            connects=filler.connects,
            connect_failures=filler.connect_failures,
            connect_seconds=filler.connect_seconds,
            pings=upkeep.pings,
            resets=upkeep.resets,
            kills=upkeep.kills,
            leaks=self._housekeeper.leaks,
            evictions=dict(self._evictions),
            last_failure=str(filler.last_failure) if filler.last_failure else None,
        )

    def __repr__(self) -> str:
        return f"<Pool {self.name!r} {self._state.value} {self._sizes()}>"
