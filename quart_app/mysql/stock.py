"""What a pool has: its slots, where each of them is, and every move from one place to another.

It lends to nobody (lending.py) and awaits nothing: plain methods decide and move all state between
two awaits, so there is no lock. Whatever comes back, clean, dirty or broken, comes by ``give_back``.
"""

import asyncio
import logging
import random
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextvars import Context
from enum import Enum
from functools import partial
from typing import Any

from quart_app.mysql import lifetime
from quart_app.mysql.config import PoolConfig
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import ConnectError, PoolClosed
from quart_app.mysql.observer import Observer
from quart_app.mysql.slot import Driver, Slot, SlotState
from quart_app.mysql.waiters import Waiters

log = logging.getLogger("quart_app.mysql")


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


class Stock(ABC):
    """A fixed number of slots; each is empty, being filled, idle, lent, or being looked after.

    What takes a round trip it only asks for: whoever fills and cleans (tended.py) says how.
    """

    def __init__(
        self,
        config: PoolConfig,
        driver: Driver,
        *,
        observer: Observer | None,
        rng: random.Random | None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.observer = observer or Observer()
        self.driver = driver
        self.rng = rng or random.Random()  # noqa: S311 # jitter, no secret
        self.time: Callable[[], float]  # the loop's, from open() on
        self.generation = 0
        self._loop: asyncio.AbstractEventLoop
        self._state = PoolState.NEW
        self._minsize, self._maxsize = config.minsize, config.maxsize
        self._slots: list[Slot] = [Slot(number) for number in range(self._maxsize)]
        self._empty: list[Slot] = list(reversed(self._slots))
        self._idle: dict[Slot, None] = {}  # in the order of their return; the last goes first
        self._lent: dict[Connection, Slot] = {}
        self._terminated: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._leaving: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters = Waiters()
        self._emptied: asyncio.Future[None] | None = None
        self._evictions: dict[str, int] = {}

    # -- what there is ------------------------------------------------------------------------

    @property
    def minsize(self) -> int:
        return self._minsize

    @property
    def maxsize(self) -> int | None:
        return self._maxsize or None

    @property
    def size(self) -> int:
        """Connections there are, and those being opened, as aiomysql counts them."""
        return self.filled_or_filling()

    def filled_or_filling(self) -> int:
        """How many slots are not empty."""
        return len(self._slots) - len(self._empty)

    @property
    def freesize(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    @property
    def closed(self) -> bool:
        return self._state is PoolState.CLOSED

    @property
    def is_open(self) -> bool:
        return self._state is PoolState.OPEN

    def idle_slots(self) -> list[Slot]:
        """The slots that may be retired or pinged."""
        return list(self._idle)

    def lent_slots(self) -> list[Slot]:
        """The slots that are out on loan."""
        return list(self._lent.values())

    def filled_slots(self) -> list[Slot]:
        """The slots that have a connection."""
        return [slot for slot in self._slots if slot.connection is not None]

    def _sizes(self) -> str:
        return (
            f"total={self.filled_or_filling()}, active={len(self._lent)}, idle={len(self._idle)},"
            f" waiting={len(self._waiters)}"
        )

    def _assume_open(self) -> None:
        if self._state is not PoolState.OPEN:
            raise self._closed_error()

    def _closed_error(self) -> PoolClosed:
        return PoolClosed(f"pool {self.name!r} is {self._state.value}")

    # -- the one way back ---------------------------------------------------------------------

    def give_back(self, slot: Slot) -> None:
        """Return capacity: every path of every borrower and every reset ends here."""
        self._give_back(slot, slot.held(), self.time())

    def _give_back(self, slot: Slot, connection: Connection, now: float) -> None:
        condition = connection.condition()
        wanted = self._state is OPEN and slot.generation == self.generation
        if condition is UNUSABLE or not wanted or now >= slot.expires_at:
            reason = (
                connection.evicted or lifetime.why_unfit(slot, self.generation, now) or "unusable"
            )
            self.retire(slot, reason)
            self.grow()
        elif condition is CLEAN:
            slot.idle_since = slot.proved_at = now
            self._make_idle(slot)
        else:
            slot.move(SlotState.RESETTING)
            self._reset_soon(slot, condition)

    def put_back(self, slot: Slot) -> None:
        """Make a RESERVED slot idle again: it was looked at, not used."""
        self._put_back(slot, self.time())

    def _put_back(self, slot: Slot, now: float) -> None:
        reason = lifetime.why_unfit(slot, self.generation, now)
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
        if emptied is not None and not emptied.done() and not self.filled_or_filling():
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

    # -- going --------------------------------------------------------------------------------

    def retire(self, slot: Slot, reason: str) -> None:
        """Close a slot's connection; the slot is empty at once, the goodbye goes by itself."""
        connection, slot.connection = slot.held(), None
        slot.move(SlotState.CLOSING)
        connection.on_lost = None
        connection.returned = True
        self._evictions[reason] = self._evictions.get(reason, 0) + 1
        self.observer.evicted(reason=reason)
        if connection.orphaned:
            self._kill_soon(slot, connection)
        connection.quit()
        self._leaving = [one for one in self._leaving if not one.gone]
        self._leaving.append(connection)
        self.put_empty(slot)

    def _on_lost(self, slot: Slot, connection: Connection) -> None:
        """Called by the socket itself: an idle connection goes at once, a busy one on release."""
        if slot.connection is connection and slot.state is SlotState.IDLE and slot in self._idle:
            del self._idle[slot]
            self.retire(slot, "lost")
            self.grow()

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

    def _clear(self, reason: str) -> None:
        while self._idle:
            slot, _ = self._idle.popitem()
            self.retire(slot, reason)
        self.grow()

    # -- growing: asked by filler.py ----------------------------------------------------------

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

    # -- asked of whoever tends it ------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run *work* as a task of the pool, away from the caller's deadline and context."""
        task = self._loop.create_task(work, name=f"{self.name}-{name}", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @abstractmethod
    def grow(self) -> None:
        """Match what is there with what is wanted; called after every loss and every failure."""

    @abstractmethod
    def _reset_soon(self, slot: Slot, condition: Condition) -> None:
        """Clean the session of a RESETTING slot in a task of its own, which gives it back."""

    @abstractmethod
    def _kill_soon(self, slot: Slot, connection: Connection) -> None:
        """End on the server, in a task of its own, what *connection*, once of *slot*, was doing."""
