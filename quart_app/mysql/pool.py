"""The pool: lends connections, and never hangs, leaks, or knowingly lends a dead one.

How it differs from the obvious: there is no lock and no condition. Plain methods decide and move all
state between two awaits; connecting, pinging, resetting and killing happen in tasks of the pool's own,
which report back through one method, ``_give_back``. A caller only ever awaits a future.
"""

import asyncio
import logging
import random
import sys
import weakref
from collections.abc import Coroutine, Generator
from contextvars import Context
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Self

from quart_app.mysql import deadline, lifetime
from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import (
    AccessDenied,
    ConnectError,
    DatabaseError,
    PoolClosed,
    PoolTimeout,
    TLSRequired,
    TooManyRequests,
    UnknownDatabase,
)
from quart_app.mysql.gate import ConnectGate
from quart_app.mysql.housekeeper import Housekeeper
from quart_app.mysql.observer import Observer, PoolStats
from quart_app.mysql.slot import Driver, Slot, SlotState, Trace
from quart_app.mysql.waiters import Waiters, wait

log = logging.getLogger("quart_app.mysql")

# The server knows us and says no: trying again changes nothing until somebody changes a setting.
REFUSALS = (AccessDenied, UnknownDatabase, TLSRequired)
TRACE_DEPTH = 8
# After terminate(), sockets get this long to be gone from the loop.
GOODBYE = 1.0


class PoolState(Enum):
    """NEW -> OPEN -> CLOSING -> CLOSED; NEW -> CLOSED."""

    NEW = "new"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Pool:
    """A fixed number of slots, filled with connections as they are needed.

    Arguments:
        *connect*: how a connection is made.
        *config*: sizes and times.
        *observer*: is told what happens.
        *driver*: stands in for MySQL in unit tests.
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
        self.config = config or PoolConfig()
        self.name = self.config.name
        self.observer = observer or Observer()
        self._driver: Driver = driver or MySQLDriver(
            connect or ConnectConfig(), statement_timeout=self.config.statement_timeout
        )
        self.rng = rng or random.Random()  # noqa: S311 # jitter, no secret
        self._state = PoolState.NEW
        self._minsize, self._maxsize = self.config.minsize, self.config.maxsize
        self._slots: list[Slot] = [Slot(number) for number in range(self._maxsize)]
        self._empty: list[Slot] = list(reversed(self._slots))
        self._idle: dict[Slot, None] = {}  # in the order of their return; the last goes first
        self._lent: dict[Connection, Slot] = {}
        self._terminated: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._connecting: dict[Slot, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters = Waiters()
        self._gate = ConnectGate(self.rng)
        self._gate_timer: asyncio.TimerHandle | None = None
        self._last_failure: ConnectError | None = None
        self._failing_since: float | None = None
        self._filled: asyncio.Future[None] | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._housekeeper = Housekeeper(self)
        self._generation = 0
        self._counts = dict.fromkeys(
            ("acquired", "released", "waited", "timeouts", "rejected", "connects")
            + ("connect_failures", "pings", "resets", "kills", "leaks"),
            0,
        )
        self._seconds = dict.fromkeys(("wait", "usage", "connect"), 0.0)
        self._evictions: dict[str, int] = {}

    # -- opening ------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Begin to fill the pool, in the background. Waits for nothing; wait() does.

        A server that is down is no error here: the pool heals when it comes up.
        """
        if self._state is not PoolState.NEW:
            raise PoolClosed(f"pool {self.name!r} was opened before")
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._state = PoolState.OPEN
        self._housekeeper.start()
        self._balance()
        return self

    async def wait(self, *, timeout: float | None = None) -> None:
        """Wait until *minsize* connections are there.

        Raises the first connect failure, or PoolTimeout after *timeout* seconds. The pool stays
        open either way.
        """
        self._assume_open()
        if self._live() >= self._minsize:
            return
        if self._filled is None:
            self._filled = self._loop.create_future()
        started = self._time()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._filled)
        except TimeoutError:
            raise self._timeout_error(self._time() - started) from self._last_failure

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

    # -- lending ------------------------------------------------------------------------------

    def acquire(self, *, timeout: float | None = None) -> "Acquiring":
        """Borrow a connection: ``await`` it, or use it with ``async with`` to have it released.

        Waits for at most *timeout* seconds (``acquire_timeout`` by default), or until the ambient
        deadline. Raises PoolTimeout, TooManyRequests, PoolClosed; ConnectError at once if the
        server refuses us. Cancelled, it leaves nothing borrowed.
        """
        return Acquiring(self, timeout)

    def release(self, connection: Connection) -> Any:
        """Take *connection* back. Waits for nothing: what must be cleaned up is, in the background.

        Raises ValueError for a connection that is not out on loan.
        """
        slot = self._lent.pop(connection, None)
        if slot is None:
            if connection in self._terminated:
                self._terminated.discard(connection)
                return
            raise ValueError(f"{connection!r} is not on loan from pool {self.name!r}")
        now = self._time()
        used = now - slot.borrowed_at
        self._counts["released"] += 1
        self._seconds["usage"] += used
        self.observer.released(used=used)
        connection.returned = True
        slot.borrower, slot.trace = None, ()
        self._give_back(slot, now)

    def _take_idle_or_none(self) -> Connection | None:
        """Lend the connection that came back last, if nobody has to ask the server first."""
        if self._state is not PoolState.OPEN:
            raise self._closed_error()
        now = self._time()
        while self._idle:
            slot, _ = self._idle.popitem()
            reason = self._why_unfit(slot, now)
            if reason is not None:
                self._retire(slot, reason)
            elif now - slot.proved_at > self.config.probe_after_idle:
                self._idle[slot] = None
                return None
            else:
                return self._lend(slot, now, 0.0)
        return None

    async def _acquire(self, timeout: float | None) -> Connection:
        connection = self._take_idle_or_none()
        if connection is not None:
            return connection
        started = self._time()
        until = deadline.nearer(
            started + (self.config.acquire_timeout if timeout is None else timeout),
            deadline.current(),
        )
        assert until is not None  # one of the two is always there
        had_a_turn = False
        while True:
            slot = self._reserve_idle_or_none() or await self._wait_turn(
                started, until, first=had_a_turn
            )
            had_a_turn = True
            if await self._prove(slot, until):
                now = self._time()
                return self._lend(slot, now, now - started)

    async def _wait_turn(self, started: float, until: float, *, first: bool) -> Slot:
        self._assume_servable()
        if not first and len(self._waiters) >= self.config.max_waiting:
            self._counts["rejected"] += 1
            self.observer.rejected()
            raise TooManyRequests(f"pool {self.name!r}: too many callers wait ({self._sizes()})")
        waiter = self._waiters.join(first=first)
        self._counts["waited"] += 1
        try:
            self._grow()
            slot = await wait(waiter, until=until)
        except TimeoutError:
            waited = self._time() - started
            self._counts["timeouts"] += 1
            self.observer.timed_out(waited=waited)
            raise self._timeout_error(waited) from self._last_failure
        except BaseException:
            # Handed over and cancelled in the same breath: the slot is ours to give back.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result(), self._time())
            raise
        finally:
            self._waiters.leave(waiter)
        if not slot.held().is_alive():  # it died between the hand-off and our turn
            self._retire(slot, "lost")
            return await self._wait_turn(started, until, first=True)
        return slot

    def _reserve_idle_or_none(self) -> Slot | None:
        """Take the idle connection used last for a ping."""
        if self._state is not PoolState.OPEN:
            raise self._closed_error()
        if not self._idle:
            return None
        slot, _ = self._idle.popitem()
        slot.move(SlotState.RESERVED)
        return slot

    async def _prove(self, slot: Slot, until: float) -> bool:
        """Ping what has been idle for long. False: it was dead, and its slot is free again."""
        if slot.state is not SlotState.RESERVED:
            return True
        fresh = self._time() - slot.proved_at <= self.config.probe_after_idle
        if fresh or await self.ping(slot, until=until):
            return True
        self._retire_unproven()
        return False

    def _lend(self, slot: Slot, now: float, waited: float) -> Connection:
        connection = slot.held()
        if slot.state is not SlotState.IN_USE:
            slot.move(SlotState.IN_USE)
        slot.borrowed_at, slot.reported = now, False
        if self.config.leak_threshold:
            task = asyncio.current_task()
            slot.borrower = weakref.ref(task) if task is not None else None
            slot.trace = _trace()
        connection.returned = False
        self._lent[connection] = slot
        self._counts["acquired"] += 1
        self._seconds["wait"] += waited
        self.observer.acquired(waited=waited)
        return connection

    # -- the one way back ---------------------------------------------------------------------

    def _give_back(self, slot: Slot, now: float) -> None:
        """Return capacity: every path of every borrower, ping and reset ends here."""
        reason = self._why_unfit(slot, now)
        condition = slot.held().condition() if reason is None else Condition.UNUSABLE
        if condition is Condition.UNUSABLE or self._state is not PoolState.OPEN:
            self._retire(slot, reason or slot.held().evicted or "unusable")
            self._balance()
        elif condition is Condition.CLEAN:
            slot.idle_since = slot.proved_at = now
            self._make_idle(slot)
        else:
            slot.move(SlotState.RESETTING)
            self._spawn(self._reset(slot, condition), f"reset-{slot.number}")

    def _make_idle(self, slot: Slot) -> None:
        """Hand a clean connection to whoever waits longest, or keep it."""
        if slot.state is not SlotState.IDLE:
            slot.move(SlotState.IDLE)
        if len(self._waiters):
            slot.move(SlotState.IN_USE)
            if self._waiters.hand(slot):
                return
            slot.move(SlotState.IDLE)
        self._idle[slot] = None

    def _retire(self, slot: Slot, reason: str) -> None:
        """Close a slot's connection; the slot is empty at once, the goodbye goes by itself."""
        connection, slot.connection = slot.held(), None
        slot.move(SlotState.CLOSING)
        connection.on_lost = None
        connection.returned = True
        self._evictions[reason] = self._evictions.get(reason, 0) + 1
        self.observer.evicted(reason=reason)
        if connection.orphaned:
            self._spawn(self._kill(connection), f"kill-{slot.number}")
        connection.quit()
        slot.move(SlotState.EMPTY)
        if slot.number < self._maxsize or not self._maxsize:
            self._empty.append(slot)
        else:
            self._slots.remove(slot)
        self._note_emptied()

    def _why_unfit(self, slot: Slot, now: float) -> str | None:
        """Tell why this connection should not be lent again; None if it may."""
        connection = slot.held()
        if not connection.is_alive():
            return "cancelled" if connection.orphaned else "lost"
        if slot.generation != self._generation or slot.number >= self._maxsize > 0:
            return "drained"
        if now >= slot.expires_at:
            return "max_lifetime"
        if slot.state is SlotState.IDLE and now - slot.idle_since > slot.recycle:
            return "pool_recycle"
        return None

    def _on_lost(self, slot: Slot, connection: Connection) -> None:
        """Called by the socket itself: an idle connection goes at once, a busy one on release."""
        if slot.connection is connection and slot.state is SlotState.IDLE:
            self._idle.pop(slot, None)
            self._retire(slot, "lost")
            self._balance()

    # -- growing ------------------------------------------------------------------------------

    def _balance(self) -> None:
        """Match what is there with what is wanted; called after every loss and every failure."""
        if self._state is PoolState.OPEN:
            self._grow()

    def _grow(self) -> None:
        """Begin as many connects as are wanted and the gate allows."""
        while (wanted := self._wanted()) and self._has_room():
            waited_for = len(self._waiters) > len(self._connecting)
            now = self._time()
            if not self._gate.may_start(now, running=len(self._connecting), wanted=waited_for):
                if len(self._connecting) < self._gate.limit:
                    self._set_gate_timer(self._gate.opens_at(wanted=waited_for))
                return
            assert wanted > 0
            self._begin_connect()

    def _wanted(self) -> int:
        connecting = len(self._connecting)
        for_waiters = len(self._waiters) - connecting
        for_minimum = self._minsize - self._live() - connecting
        return max(for_waiters, for_minimum, 0)

    def _has_room(self) -> bool:
        if not self._empty and not self._maxsize:
            slot = Slot(len(self._slots))
            self._slots.append(slot)
            self._empty.append(slot)
        return bool(self._empty)

    def _set_gate_timer(self, when: float) -> None:
        if self._gate_timer is not None:
            if self._gate_timer.when() <= when and not self._gate_timer.cancelled():
                return
            self._gate_timer.cancel()
        self._gate_timer = self._loop.call_at(when, self._on_gate_timer)

    def _on_gate_timer(self) -> None:
        self._gate_timer = None
        self._balance()

    def _begin_connect(self) -> None:
        slot = self._empty.pop()
        slot.move(SlotState.CONNECTING)
        self._connecting[slot] = self._spawn(self._connect(slot), f"connect-{slot.number}")

    async def _connect(self, slot: Slot) -> None:
        started, generation = self._time(), self._generation
        try:
            connection = await self._driver.connect()
        except Exception as exc:  # noqa: BLE001 # whatever it is, the slot must come back
            self._connect_failed(slot, exc, self._time() - started)
        except BaseException:
            del self._connecting[slot]
            self._forget_connect(slot)
            raise
        else:
            del self._connecting[slot]
            self._connected(slot, connection, started, generation)

    def _connected(
        self, slot: Slot, connection: Connection, started: float, generation: int
    ) -> None:
        now = self._time()
        self._gate.succeeded()
        self._counts["connects"] += 1
        self._seconds["connect"] += now - started
        self.observer.connected(took=now - started)
        self._note_recovered(now)
        slot.connection, slot.generation = connection, generation
        slot.idle_since = slot.proved_at = now
        lifetime.arm(slot, self.config, connection.server.wait_timeout, now, self.rng)
        connection.returned = True
        connection.on_lost = partial(self._on_lost, slot, connection)
        slot.move(SlotState.IDLE)
        if self._state is PoolState.OPEN and connection.is_alive():
            self._make_idle(slot)
        else:
            self._retire(slot, "closed" if self._state is not PoolState.OPEN else "lost")
        if self._filled is not None and self._live() >= self._minsize:
            self._settle_filled(None)
        self._balance()

    def _connect_failed(self, slot: Slot, exc: Exception, took: float) -> None:
        del self._connecting[slot]
        error = exc if isinstance(exc, ConnectError) else ConnectError(f"cannot connect: {exc!r}")
        error.__cause__ = error.__cause__ or (exc if exc is not error else None)
        self._forget_connect(slot)
        now = self._time()
        refused = isinstance(error, REFUSALS)
        self._counts["connect_failures"] += 1
        self.observer.connect_failed(error=error, took=took)
        self._note_failure(error, now)
        self._gate.failed(now, refused=refused)
        if self._filled is not None:
            self._settle_filled(error)
        if refused and not self._live():
            self._waiters.fail(_again(error))
        self._balance()

    def _forget_connect(self, slot: Slot) -> None:
        slot.move(SlotState.EMPTY)
        self._empty.append(slot)
        self._note_emptied()

    def _settle_filled(self, error: ConnectError | None) -> None:
        filled, self._filled = self._filled, None
        if filled is not None and not filled.done():
            if error is None:
                filled.set_result(None)
            else:
                filled.set_exception(_again(error))
                filled.exception()  # nobody may be waiting any more

    def _note_failure(self, error: ConnectError, now: float) -> None:
        """One line when it begins or changes its kind, none for each attempt."""
        before, self._last_failure = self._last_failure, error
        if self._failing_since is None:
            self._failing_since = now
        if before is None or type(before) is not type(error) or before.errno != error.errno:
            hint = "check the settings" if isinstance(error, REFUSALS) else "trying on"
            log.warning(
                "pool %s: no connection to %s: %s; %s",
                self.name,
                self._driver.describe(),
                error,
                hint,
            )

    def _note_recovered(self, now: float) -> None:
        since, self._failing_since, self._last_failure = self._failing_since, None, None
        if since is not None:
            self.observer.recovered(after=now - since)
            log.warning(
                "pool %s: connected to %s again after %.1f s",
                self.name,
                self._driver.describe(),
                now - since,
            )

    # -- upkeep -------------------------------------------------------------------------------

    async def ping(self, slot: Slot, *, until: float | None = None) -> bool:
        """Ask a RESERVED slot's server for a sign of life. False: none came, and it is retired.

        Waits for ``probe_timeout``. Cancelled, it retires the connection: an answer may be on
        its way.
        """
        connection = slot.held()
        connection.returned = False
        self._counts["pings"] += 1
        try:
            with deadline.until(until), deadline.within(self.config.probe_timeout):
                await connection.probe()
        except Exception:  # noqa: BLE001 # any failure means: not this one
            connection.orphaned = False  # a ping leaves nothing running
            self._retire(slot, "ping failed")
            self._balance()
            return False
        except BaseException:
            connection.orphaned = False
            self._retire(slot, "cancelled")
            self._balance()
            raise
        connection.returned = True
        slot.proved_at = self._time()
        return True

    def _retire_unproven(self) -> None:
        """A ping was not answered: what has been idle as long is as dead (product.md, row 5)."""
        now = self._time()
        for slot in list(self._idle):
            if now - slot.proved_at > self.config.probe_after_idle:
                del self._idle[slot]
                self._retire(slot, "ping failed")
        self._balance()

    def idle_slots(self) -> list[Slot]:
        """For the housekeeper: the slots it may retire or have pinged."""
        return list(self._idle)

    def lent_slots(self) -> list[Slot]:
        """For the housekeeper: the slots that are out on loan."""
        return list(self._lent.values())

    def retire_if_unfit(self, slot: Slot, now: float) -> bool:
        """For the housekeeper: close an idle connection that is too old or dead."""
        reason = self._why_unfit(slot, now)
        if reason is not None:
            del self._idle[slot]
            self._retire(slot, reason)
            self._balance()
        return reason is not None

    def ping_soon(self, slot: Slot) -> None:
        """For the housekeeper: ping an idle connection in a task of its own."""
        self._reserve(slot)
        self._spawn(self._keep_alive(slot), f"ping-{slot.number}")

    async def _keep_alive(self, slot: Slot) -> None:
        if not await self.ping_and_return(slot):
            self._retire_unproven()

    def report_leak(self, held: float, trace: str) -> None:
        """For the housekeeper: a loan has lasted too long."""
        self._counts["leaks"] += 1
        self.observer.leaked(held=held, trace=trace)
        log.warning("pool %s: a connection is out for %.0f s, by:\n%s", self.name, held, trace)

    def reclaim(self, slot: Slot) -> None:
        """For the housekeeper: its borrower is gone; the capacity comes back."""
        connection = slot.held()
        log.warning("pool %s: a leaked connection is closed (%s)", self.name, self._sizes())
        del self._lent[connection]
        self._terminated.add(connection)
        connection.evict("leaked")
        self._give_back(slot, self._time())

    async def _reset(self, slot: Slot, condition: Condition) -> None:
        connection = slot.held()
        connection.returned = False
        self._counts["resets"] += 1
        try:
            with deadline.within(self.config.probe_timeout):
                if condition is Condition.SNAPSHOT:
                    await connection.rollback()
                else:
                    await connection.reset()
        except Exception:  # noqa: BLE001 # any failure means: not this one
            connection.evict("reset failed")
        except BaseException:
            connection.evict("closed")
            raise
        finally:
            connection.returned = True
            connection.orphaned = False  # a reset leaves nothing running
            self._finish_reset(slot)

    def _finish_reset(self, slot: Slot) -> None:
        connection = slot.held()
        if connection.condition() is not Condition.CLEAN:
            connection.evict(connection.evicted or "reset failed")
        self._give_back(slot, self._time())

    async def _kill(self, connection: Connection) -> None:
        try:
            await self._driver.kill(connection)
        except DatabaseError as exc:
            log.warning("pool %s: could not end an abandoned statement: %s", self.name, exc)
            self.observer.killed(done=False)
        else:
            self._counts["kills"] += 1
            self.observer.killed(done=True)

    def invalidate(self, reason: str) -> None:
        """Let no connection of now be lent again: idle ones go now, lent ones on release."""
        log.warning("pool %s: all connections are replaced: %s", self.name, reason)
        self.drain()

    def drain(self) -> None:
        """Replace every connection, without a word: after a rotated password, or for a new address."""
        self._generation += 1
        self._clear("drained")

    def _clear(self, reason: str) -> None:
        while self._idle:
            slot, _ = self._idle.popitem()
            self._retire(slot, reason)
        self._balance()

    async def clear(self) -> None:
        """Close all idle connections, as aiomysql's pool does."""
        self._clear("cleared")

    async def check(self) -> int:
        """Ping every idle connection now; returns how many answered. Bounded by probe_timeout."""
        slots = list(self._idle)
        for slot in slots:
            self._reserve(slot)
        return sum(await asyncio.gather(*(self.ping_and_return(slot) for slot in slots)))

    def _reserve(self, slot: Slot) -> None:
        del self._idle[slot]
        slot.move(SlotState.RESERVED)

    async def ping_and_return(self, slot: Slot) -> bool:
        """Ping a RESERVED slot for the housekeeper and make it idle again, no fresher than it was."""
        if not await self.ping(slot):
            return False
        now = self._time()
        reason = self._why_unfit(slot, now)
        if reason is None and self._state is PoolState.OPEN:
            self._make_idle(slot)
        else:
            self._retire(slot, reason or "closed")
            self._balance()
        return True

    def resize(self, *, minsize: int, maxsize: int) -> None:
        """Change the sizes; what is too much goes, the lent ones on release."""
        PoolConfig(name=self.name, minsize=minsize, maxsize=maxsize)
        self._minsize, self._maxsize = minsize, maxsize
        present = {slot.number for slot in self._slots}
        for number in range(maxsize):
            if number not in present:
                slot = Slot(number)
                self._slots.append(slot)
                self._empty.append(slot)
        if maxsize:
            self._drop_surplus()
        self._balance()

    def _drop_surplus(self) -> None:
        for slot in [slot for slot in self._empty if slot.number >= self._maxsize]:
            self._empty.remove(slot)
            self._slots.remove(slot)
        for slot in [slot for slot in self._idle if slot.number >= self._maxsize]:
            del self._idle[slot]
            self._retire(slot, "drained")

    # -- closing ------------------------------------------------------------------------------

    def close(self) -> "Closing":
        """Refuse new borrowers and let everybody who waits know. May be awaited; see wait_closed().

        Idempotent. Lent connections are closed as they come back.
        """
        if self._state in (PoolState.NEW, PoolState.OPEN):
            fresh = self._state is PoolState.NEW
            self._state = PoolState.CLOSED if fresh else PoolState.CLOSING
            if not fresh:
                self._begin_close()
        return Closing(self)

    def _begin_close(self) -> None:
        self._housekeeper.stop()
        if self._gate_timer is not None:
            self._gate_timer.cancel()
        self._waiters.fail(self._closed_error())
        for task in list(self._connecting.values()):
            task.cancel()
        while self._idle:
            slot, _ = self._idle.popitem()
            self._retire(slot, "closed")

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
            log.debug("pool %s: closed", self.name)

    async def _wait_emptied(self) -> None:
        if not self._lent and not self._busy():
            return
        if self._emptied is None:
            self._emptied = self._loop.create_future()
        done, _ = await asyncio.wait([self._emptied], timeout=self.config.close_timeout)
        if not done:
            log.warning("pool %s: closed under its borrowers (%s)", self.name, self._sizes())
            self.terminate()

    async def _wait_tasks(self) -> None:
        """Give pings, resets and kills their bounded time, and sockets a turn of the loop."""
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self.config.probe_timeout + GOODBYE)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=GOODBYE)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def terminate(self) -> None:
        """Close every connection now, lent ones too; their borrowers' next statement raises."""
        self.close()
        for connection, slot in list(self._lent.items()):
            del self._lent[connection]
            self._terminated.add(connection)
            connection.abort()
            self._retire(slot, "terminated")
        for task in list(self._tasks):
            task.cancel()

    def _busy(self) -> bool:
        return len(self._empty) < len(self._slots)

    def _note_emptied(self) -> None:
        emptied = self._emptied
        if emptied is not None and not emptied.done() and not self._lent and not self._busy():
            emptied.set_result(None)

    # -- telling ------------------------------------------------------------------------------

    @property
    def minsize(self) -> int:
        return self._minsize

    @property
    def maxsize(self) -> int | None:
        return self._maxsize or None

    @property
    def size(self) -> int:
        """Connections there are, and those being opened, as aiomysql counts them."""
        return self._live() + len(self._connecting)

    @property
    def freesize(self) -> int:
        return len(self._idle)

    @property
    def closed(self) -> bool:
        return self._state is PoolState.CLOSED

    @property
    def ready(self) -> bool:
        """Whether a caller may hope for a connection now: open, and not known to be cut off."""
        return self._state is PoolState.OPEN and bool(self._live())

    def stats(self) -> PoolStats:
        """The pool at this moment."""
        counts, seconds = self._counts, self._seconds
        return PoolStats(
            name=self.name,
            minsize=self._minsize,
            maxsize=self._maxsize,
            total=self.size,
            active=len(self._lent),
            idle=len(self._idle),
            waiting=len(self._waiters),
            connecting=len(self._connecting),
            generation=self._generation,
            wait_seconds=seconds["wait"],
            usage_seconds=seconds["usage"],
            connect_seconds=seconds["connect"],
            evictions=dict(self._evictions),
            last_failure=str(self._last_failure) if self._last_failure else None,
            **counts,
        )

    def __repr__(self) -> str:
        return f"<Pool {self.name!r} {self._state.value} {self._sizes()}>"

    def _live(self) -> int:
        return len(self._slots) - len(self._empty) - len(self._connecting)

    def _sizes(self) -> str:
        return (
            f"total={self.size}, active={len(self._lent)}, idle={len(self._idle)},"
            f" waiting={len(self._waiters)}"
        )

    # -- small change -------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run *work* as a task of the pool, away from the caller's deadline and context."""
        task = self._loop.create_task(work, name=f"{self.name}-{name}", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _assume_open(self) -> None:
        if self._state is not PoolState.OPEN:
            raise self._closed_error()

    def _assume_servable(self) -> None:
        """Raise at once where waiting is known to be in vain."""
        self._assume_open()
        error = self._last_failure
        if error is not None and self._gate.refused and not self._live() and not self._connecting:
            if self._time() < self._gate.opens_at(wanted=True):
                raise _again(error) from error.__cause__

    def _closed_error(self) -> PoolClosed:
        return PoolClosed(f"pool {self.name!r} is {self._state.value}")

    def _timeout_error(self, waited: float) -> PoolTimeout:
        why = f"; last connect failure: {self._last_failure}" if self._last_failure else ""
        return PoolTimeout(
            f"pool {self.name!r}: no connection after {waited:.2f} s"
            f" (limit {self.config.acquire_timeout:g} s, {self._sizes()}){why}"
        )


class Acquiring(Coroutine[Any, Any, Connection]):
    """A connection on its way: awaitable once, a coroutine for tasks, an async context manager."""

    __slots__ = ("_connection", "_coroutine", "_pool", "_timeout")

    def __init__(self, pool: Pool, timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._connection: Connection | None = None
        self._coroutine: Coroutine[Any, Any, Connection] | None = None

    def _started(self) -> Coroutine[Any, Any, Connection]:
        if self._coroutine is None:
            self._coroutine = self._pool._acquire(self._timeout)  # noqa: SLF001 # one with the pool
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, Connection]:
        return self._started().__await__()

    __iter__ = __await__

    def send(self, value: Any) -> Any:
        return self._started().send(value)

    def throw(self, *exc: Any) -> Any:
        return self._started().throw(*exc)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    async def __aenter__(self) -> Connection:
        connection = self._pool._take_idle_or_none()  # noqa: SLF001 # the free path, no coroutine
        if connection is None:
            connection = await self._pool._acquire(self._timeout)  # noqa: SLF001 # one with the pool
        self._connection = connection
        return connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)


class Closing:
    """What close() returns: await it to wait until the pool is closed, or do not."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __await__(self) -> Generator[Any, Any, None]:
        return self._pool.wait_closed().__await__()


def _trace() -> Trace:
    """Where the borrower stands, cheaply: code and position, made readable only if it is needed."""
    frame = sys._getframe(3)  # noqa: SLF001 # traceback's own way costs twenty times as much
    found = []
    for _ in range(TRACE_DEPTH):
        found.append((frame.f_code, frame.f_lasti))
        if frame.f_back is None:
            break
        frame = frame.f_back
    return tuple(found)


def _again(error: ConnectError) -> ConnectError:
    """A copy to raise once more: one exception object raised twice grows its traceback."""
    again = type(error)(str(error), errno=error.errno, sqlstate=error.sqlstate)
    again.__cause__ = error.__cause__
    return again
