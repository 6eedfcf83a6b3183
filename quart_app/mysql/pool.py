"""The pool: lends connections, and never hangs, leaks, or knowingly lends a dead one.

How it differs from the obvious: there is no lock and no condition. Plain methods decide and move all
state between two awaits; connecting (filler.py), pinging, resetting and killing (upkeep.py) happen in
tasks of the pool's own. A caller only ever awaits a future, and every way back is ``give_back``.
"""

import asyncio
import logging
import random
import weakref
from asyncio import current_task
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import replace
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Self

from quart_app.mysql import deadline, lifetime
from quart_app.mysql.acquiring import Acquiring, Closing
from quart_app.mysql.config import ConnectConfig, PasswordSource, PoolConfig
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import ConnectError, PoolClosed, PoolTimeout, TooManyRequests
from quart_app.mysql.filler import Filler
from quart_app.mysql.housekeeper import Housekeeper
from quart_app.mysql.leaks import borrowed_from
from quart_app.mysql.observer import Observer, PoolStats
from quart_app.mysql.slot import Driver, Slot, SlotState
from quart_app.mysql.upkeep import Upkeep
from quart_app.mysql.waiters import Waiters, wait

log = logging.getLogger("quart_app.mysql")

# After the last connection is told goodbye, sockets and tasks get this long to be gone.
GOODBYE = 1.0


class PoolState(Enum):
    """NEW -> OPEN -> CLOSING -> CLOSED; NEW -> CLOSED."""

    NEW = "new"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


# On the path of every loan an attribute of an Enum class costs more than the decision it serves.
OPEN = PoolState.OPEN
IDLE, IN_USE = SlotState.IDLE, SlotState.IN_USE
CLEAN, UNUSABLE = Condition.CLEAN, Condition.UNUSABLE


class Pool:
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
        self.config = config or PoolConfig()
        self.name = self.config.name
        self.observer = observer or Observer()
        self.driver: Driver = driver or MySQLDriver(
            connect or ConnectConfig(), statement_timeout=self.config.statement_timeout
        )
        self.rng = rng or random.Random()  # noqa: S311 # jitter, no secret
        self.generation = 0
        self._state = PoolState.NEW
        self._observed = observer is not None
        self._minsize, self._maxsize = self.config.minsize, self.config.maxsize
        self._slots: list[Slot] = [Slot(number) for number in range(self._maxsize)]
        self._empty: list[Slot] = list(reversed(self._slots))
        self._idle: dict[Slot, None] = {}  # in the order of their return; the last goes first
        self._lent: dict[Connection, Slot] = {}
        self._terminated: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._leaving: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters = Waiters()
        self._emptied: asyncio.Future[None] | None = None
        self._filler = Filler(self)
        self._upkeep = Upkeep(self)
        self._housekeeper = Housekeeper(self)
        self._acquired = self._waited = self._timeouts = self._rejected = 0
        self._wait_seconds = self._usage_seconds = 0.0
        self._evictions: dict[str, int] = {}

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

    # -- lending ------------------------------------------------------------------------------

    def acquire(self, *, timeout: float | None = None) -> Acquiring:
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
        now = self.time()
        used = now - slot.borrowed_at
        self._usage_seconds += used
        if self._observed:
            self.observer.released(used=used)
        connection.returned = True
        connection.expendable = False
        slot.borrower = None
        self._give_back(slot, connection, now)

    def take_idle_or_none(self) -> Connection | None:
        """Lend the connection that came back last, if its server need not be asked first."""
        if self._state is not OPEN:
            raise self._closed_error()
        now = self.time()
        while self._idle:
            slot, _ = self._idle.popitem()
            connection = slot.connection
            if now < slot.fresh_until and connection is not None and connection.is_alive():
                return self._lend(slot, connection, now, 0.0)
            reason = self._why_unfit(slot, now)
            if reason is None:
                self.keep_for_a_ping(slot)
                return None
            self.retire(slot, reason)
        return None

    def keep_for_a_ping(self, slot: Slot) -> None:
        """Have an idle slot be the next one reserved: its server must be asked first."""
        self._idle[slot] = None

    async def wait_for_one(self, timeout: float | None) -> Connection:
        """Lend a connection that must first be pinged, waited for, or made."""
        self._assume_open()
        started = self.time()
        limit = self.config.acquire_timeout if timeout is None else timeout
        until = deadline.nearer(started + limit, deadline.current())
        assert until is not None  # at least our own limit is there
        had_a_turn = False
        while True:
            if self.time() >= until:  # before a connection is pinged for a time it cannot keep
                raise self._give_up(started, until)
            slot = self._reserve_idle_or_none()
            if slot is None:
                slot = await self._wait_turn(started, until, first=had_a_turn)
            had_a_turn = True
            if not slot.held().is_alive():  # it died between the hand-off and our turn
                self.retire(slot, "lost")
                self.grow()
            elif await self._prove(slot, until):
                if not self.is_open:
                    self.retire(slot, "closed")
                    raise self._closed_error()
                now = self.time()
                return self._lend(slot, slot.held(), now, now - started)

    async def _wait_turn(self, started: float, until: float, *, first: bool) -> Slot:
        self._assume_servable(first=first)
        waiter = self._waiters.join(first=first)
        self._waited += 1
        try:
            self.grow()
            slot = await wait(waiter, until=until)
        except TimeoutError:
            raise self._give_up(started, until) from self._filler.last_failure
        except BaseException:
            # Handed over and cancelled in the same breath: the slot is ours to give back.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise
        finally:
            self._waiters.leave(waiter)
        return slot

    def _give_up(self, started: float, until: float) -> PoolTimeout:
        waited = self.time() - started
        self._timeouts += 1
        self.observer.timed_out(waited=waited)
        error = self._timeout_error(waited, limit=max(0.0, until - started))
        error.__cause__ = self._filler.last_failure
        return error

    def _reserve_idle_or_none(self) -> Slot | None:
        self._assume_open()
        if not self._idle:
            return None
        slot, _ = self._idle.popitem()
        slot.move(SlotState.RESERVED)
        return slot

    async def _prove(self, slot: Slot, until: float) -> bool:
        """Ping what has been idle for long. False: it was dead, and its slot is free again."""
        if slot.state is not SlotState.RESERVED:
            return True
        if self.time() - slot.proved_at <= self.config.probe_after_idle:
            return True
        patient = until - self.time() >= self.config.probe_timeout
        if await self._upkeep.ping(slot, until=until):
            return True
        if patient:  # who gives less time than an answer may take has proved nothing of the others
            self.retire_unproven()
        return False

    def _lend(self, slot: Slot, connection: Connection, now: float, waited: float) -> Connection:
        slot.state = IN_USE  # from IDLE, RESERVED or a hand-off; no move(): every loan comes here
        slot.borrowed_at = now
        if self.config.leak_threshold:
            slot.borrower = current_task()
            slot.trace = borrowed_from(4)
            slot.reported = False
        connection.returned = False
        self._lent[connection] = slot
        self._acquired += 1
        self._wait_seconds += waited
        if self._observed:
            self.observer.acquired(waited=waited)
        return connection

    # -- the one way back ---------------------------------------------------------------------

    def give_back(self, slot: Slot) -> None:
        """Return capacity: every path of every borrower and every reset ends here."""
        self._give_back(slot, slot.held(), self.time())

    def _give_back(self, slot: Slot, connection: Connection, now: float) -> None:
        condition = connection.condition()
        wanted = self._state is OPEN and slot.generation == self.generation
        if condition is UNUSABLE or not wanted or now >= slot.expires_at:
            reason = connection.evicted or self._why_unfit(slot, now) or "unusable"
            self.retire(slot, reason)
            self.grow()
        elif condition is CLEAN:
            slot.idle_since = slot.proved_at = now
            self._make_idle(slot)
        else:
            slot.move(SlotState.RESETTING)
            self.spawn(self._upkeep.reset(slot, condition), f"reset-{slot.number}")

    def put_back(self, slot: Slot) -> None:
        """Make a RESERVED slot idle again: it was looked at, not used."""
        self._put_back(slot, self.time())

    def _put_back(self, slot: Slot, now: float) -> None:
        reason = self._why_unfit(slot, now)
        if reason is None and self.is_open:
            self._make_idle(slot)
        else:
            self.retire(slot, reason or "closed")
            self.grow()

    def put_connected(self, slot: Slot, connection: Connection, generation: int) -> None:
        """Fill a CONNECTING slot. A connection begun before a drain is of that generation."""
        now = self.time()
        surplus = slot.number >= self._maxsize > 0
        slot.connection, slot.generation = connection, -1 if surplus else generation
        slot.idle_since = slot.proved_at = now
        lifetime.arm(slot, self.config, connection.server.wait_timeout, now, self.rng)
        connection.returned = True
        connection.on_lost = partial(self._on_lost, slot, connection)
        slot.move(SlotState.IDLE)
        self._put_back(slot, now)  # by the same clock: it has been idle for no time, not for a tick

    def put_empty(self, slot: Slot) -> None:
        """Free a slot whose connect failed, or whose connection is closed."""
        slot.move(SlotState.EMPTY)
        if slot.number < self._maxsize or not self._maxsize:
            self._empty.append(slot)
        else:
            self._slots.remove(slot)
        emptied = self._emptied
        if emptied is not None and not emptied.done() and not self._filled_or_filling():
            emptied.set_result(None)

    def _make_idle(self, slot: Slot) -> None:
        """Hand a clean connection to whoever waits longest, or keep it."""
        if self._waiters.queue:
            slot.state = IN_USE
            if self._waiters.hand(slot):
                return
        slot.state = IDLE
        slot.fresh_until = slot.proved_at + slot.trust
        self._idle[slot] = None

    def retire(self, slot: Slot, reason: str) -> None:
        """Close a slot's connection; the slot is empty at once, the goodbye goes by itself."""
        connection, slot.connection = slot.held(), None
        slot.move(SlotState.CLOSING)
        connection.on_lost = None
        connection.returned = True
        self._evictions[reason] = self._evictions.get(reason, 0) + 1
        self.observer.evicted(reason=reason)
        if connection.orphaned:
            self.spawn(self._upkeep.kill(connection), f"kill-{slot.number}")
        connection.quit()
        self._leaving = [one for one in self._leaving if not one.gone]
        self._leaving.append(connection)
        self.put_empty(slot)

    def _why_unfit(self, slot: Slot, now: float) -> str | None:
        """Tell why this connection should not be lent again; None if it may."""
        connection = slot.held()
        if not connection.is_alive():
            return "cancelled" if connection.orphaned else "lost"
        if slot.generation != self.generation:
            return "drained"
        if now >= slot.expires_at:
            return "max_lifetime"
        if slot.state is SlotState.IDLE and now - slot.idle_since > slot.recycle:
            return "pool_recycle"
        return None

    def _on_lost(self, slot: Slot, connection: Connection) -> None:
        """Called by the socket itself: an idle connection goes at once, a busy one on release."""
        if slot.connection is connection and slot.state is SlotState.IDLE and slot in self._idle:
            del self._idle[slot]
            self.retire(slot, "lost")
            self.grow()

    # -- growing: asked by filler.py ----------------------------------------------------------

    def grow(self) -> None:
        """Match what is there with what is wanted; called after every loss and every failure."""
        self._filler.grow()

    def has_room(self) -> bool:
        """Whether one more connection may be made."""
        if not self._empty and not self._maxsize:
            slot = Slot(len(self._slots))
            self._slots.append(slot)
            self._empty.append(slot)
        return bool(self._empty)

    def take_empty(self) -> Slot:
        """An empty slot, to be filled; has_room() said that there is one."""
        return self._empty.pop()

    def fail_waiters(self, error: ConnectError) -> None:
        """Have everybody who waits raise *error*: nothing they could wait for will come."""
        self._waiters.fail(error)

    # -- upkeep: asked by housekeeper.py ------------------------------------------------------

    def idle_slots(self) -> list[Slot]:
        """The slots that may be retired or pinged."""
        return list(self._idle)

    def lent_slots(self) -> list[Slot]:
        """The slots that are out on loan."""
        return list(self._lent.values())

    def filled_slots(self) -> list[Slot]:
        """The slots that have a connection."""
        return [slot for slot in self._slots if slot.connection is not None]

    def retire_if_unfit(self, slot: Slot, now: float) -> bool:
        """Close an idle connection that is too old or dead."""
        reason = self._why_unfit(slot, now)
        if reason == "pool_recycle" and not slot.recycled_by_clock:
            reason = None
        if reason is not None:
            del self._idle[slot]
            self.retire(slot, reason)
            self.grow()
        return reason is not None

    def retire_unproven(self) -> None:
        """A ping was not answered: what has been idle as long is taken for dead as well.

        When packets vanish silently they vanish for all; each would cost its caller a ping.
        """
        now = self.time()
        for slot in self.idle_slots():
            if now - slot.proved_at > self.config.probe_after_idle:
                del self._idle[slot]
                self.retire(slot, "ping failed")
        self.grow()

    def ping_soon(self, slot: Slot) -> "asyncio.Task[None]":
        """Ping an idle connection in a task of its own; it is RESERVED meanwhile."""
        del self._idle[slot]
        slot.move(SlotState.RESERVED)
        return self.spawn(self._upkeep.keep_alive(slot), f"ping-{slot.number}")

    def go_home_soon(self) -> None:
        """Look, in a task of its own, whether the preferred server is back."""
        self.spawn(self._upkeep.go_home(), "go-home")

    def reclaim(self, slot: Slot) -> None:
        """Take back a loan whose borrower is gone."""
        connection = slot.held()
        del self._lent[connection]
        self._terminated.add(connection)
        connection.returned = True
        connection.evict("leaked")
        slot.borrower = None
        self.give_back(slot)

    # -- for operators ------------------------------------------------------------------------

    def invalidate(self, reason: str, *, connection: Connection | None = None) -> None:
        """Let no connection of now be lent again: idle ones go now, lent ones on release.

        With *connection*, only if that one is of the present generation: of many requests that
        find the same fault, the first replaces the connections, the others are late.
        """
        slot = self._lent.get(connection) if connection is not None else None
        if slot is not None and slot.generation != self.generation:
            return
        log.warning("pool %s: all connections are replaced: %s", self.name, reason)
        self.drain()

    def drain(self) -> None:
        """Replace every connection: after a rotated password, or for a new address."""
        self.generation += 1
        self._clear("drained")

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

    def _clear(self, reason: str) -> None:
        while self._idle:
            slot, _ = self._idle.popitem()
            self.retire(slot, reason)
        self.grow()

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
        if not self._filled_or_filling():
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

    def _filled_or_filling(self) -> int:
        return len(self._slots) - len(self._empty)

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
        return self._filled_or_filling()

    @property
    def freesize(self) -> int:
        return len(self._idle)

    @property
    def live(self) -> int:
        """Connections there are: idle, lent, or being looked after."""
        return self._filled_or_filling() - len(self._filler.connecting)

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    @property
    def closed(self) -> bool:
        return self._state is PoolState.CLOSED

    @property
    def is_open(self) -> bool:
        return self._state is PoolState.OPEN

    @property
    def ready(self) -> bool:
        """Whether a caller may hope for a connection now: open, and not known to be cut off."""
        return self.is_open and self.live > 0

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
            total=self._filled_or_filling(),
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

    def _sizes(self) -> str:
        return (
            f"total={self._filled_or_filling()}, active={len(self._lent)}, idle={len(self._idle)},"
            f" waiting={len(self._waiters)}"
        )

    # -- small change -------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run *work* as a task of the pool, away from the caller's deadline and context."""
        task = self._loop.create_task(work, name=f"{self.name}-{name}", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _assume_open(self) -> None:
        if self._state is not PoolState.OPEN:
            raise self._closed_error()

    def _assume_servable(self, *, first: bool) -> None:
        """Raise at once where waiting is known to be in vain, or the queue is full."""
        self._assume_open()
        refusal = self._filler.refusal()
        if refusal is not None:
            raise refusal
        if not first and len(self._waiters) >= self.config.max_waiting + self._room():
            self._rejected += 1
            self.observer.rejected()
            raise TooManyRequests(f"pool {self.name!r}: too many callers wait ({self._sizes()})")

    def _room(self) -> int:
        """How many callers can be served by connections to come: these do not queue."""
        return len(self._empty) + len(self._filler.connecting) + (self._maxsize == 0)

    def _closed_error(self) -> PoolClosed:
        return PoolClosed(f"pool {self.name!r} is {self._state.value}")

    def _timeout_error(self, waited: float, *, limit: float) -> PoolTimeout:
        failure = self._filler.last_failure
        why = f"; last connect failure: {failure}" if failure else ""
        return PoolTimeout(
            f"pool {self.name!r}: no connection after {waited:.2f} s"
            f" (limit {limit:g} s, {self._sizes()}){why}"
        )
