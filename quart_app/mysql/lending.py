"""Lending: who borrows gets the connection used last, or waits, first come, first served.

It makes and mends none (tended.py), and never lends one it knows to be dead. A caller only ever
awaits a future, or the ping of a connection that has been idle for long.
"""

import random
from asyncio import current_task
from typing import Any

from quart_app.mysql import deadline, lifetime
from quart_app.mysql.acquiring import Acquiring
from quart_app.mysql.config import PoolConfig
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import PoolTimeout, TooManyRequests
from quart_app.mysql.leaks import borrowed_from
from quart_app.mysql.observer import Observer
from quart_app.mysql.slot import Driver, Slot, SlotState
from quart_app.mysql.stock import IN_USE, OPEN
from quart_app.mysql.tended import TendedStock
from quart_app.mysql.waiters import wait


class Lender(TendedStock):
    """Lends what is in stock, takes it back, and counts."""

    def __init__(
        self,
        config: PoolConfig,
        driver: Driver,
        *,
        observer: Observer | None,
        rng: random.Random | None,
    ) -> None:
        super().__init__(config, driver, observer=observer, rng=rng)
        self._observed = observer is not None
        self._acquired = self._waited = self._timeouts = self._rejected = 0
        self._wait_seconds = self._usage_seconds = 0.0

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
            reason = lifetime.why_unfit(slot, self.generation, now)
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

    # -- waiting ------------------------------------------------------------------------------

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

    # -- refusing -----------------------------------------------------------------------------

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

    def _give_up(self, started: float, until: float) -> PoolTimeout:
        waited = self.time() - started
        self._timeouts += 1
        self.observer.timed_out(waited=waited)
        error = self._timeout_error(waited, limit=max(0.0, until - started))
        error.__cause__ = self._filler.last_failure
        return error

    def _timeout_error(self, waited: float, *, limit: float) -> PoolTimeout:
        failure = self._filler.last_failure
        why = f"; last connect failure: {failure}" if failure else ""
        return PoolTimeout(
            f"pool {self.name!r}: no connection after {waited:.2f} s"
            f" (limit {limit:g} s, {self._sizes()}){why}"
        )
