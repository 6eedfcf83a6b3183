"""A stock and what tends it: tasks of the pool's own that connect, ping, reset and kill.

Here is only who is asked for what. How many connects, and when: filler.py; the round trips: upkeep.py;
who is due when: housekeeper.py.
"""

import asyncio
import random

from quart_app.mysql import lifetime
from quart_app.mysql.config import PoolConfig
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.filler import Filler
from quart_app.mysql.observer import Observer
from quart_app.mysql.slot import Driver, Slot, SlotState
from quart_app.mysql.stock import Stock
from quart_app.mysql.upkeep import Upkeep


class TendedStock(Stock):
    """A stock that fills, cleans and mends itself, whether anybody borrows or not."""

    def __init__(
        self,
        config: PoolConfig,
        driver: Driver,
        *,
        observer: Observer | None,
        rng: random.Random | None,
    ) -> None:
        super().__init__(config, driver, observer=observer, rng=rng)
        self._filler = Filler(self)
        self._upkeep = Upkeep(self)

    # -- what the stock asks for --------------------------------------------------------------

    def grow(self) -> None:
        """Match what is there with what is wanted; called after every loss and every failure."""
        self._filler.grow()

    def _reset_soon(self, slot: Slot, condition: Condition) -> None:
        self.spawn(self._upkeep.reset(slot, condition), f"reset-{slot.number}")

    def _kill_soon(self, slot: Slot, connection: Connection) -> None:
        self.spawn(self._upkeep.kill(connection), f"kill-{slot.number}")

    # -- upkeep: asked by housekeeper.py ------------------------------------------------------

    def retire_if_unfit(self, slot: Slot, now: float) -> bool:
        """Close an idle connection that is too old or dead."""
        reason = lifetime.why_unfit(slot, self.generation, now)
        if reason == "pool_recycle" and not slot.recycled_by_clock:
            reason = None
        if reason is not None:
            del self._idle[slot]
            self.retire(slot, reason)
            self.grow()
        return reason is not None

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

    # -- telling ------------------------------------------------------------------------------

    @property
    def live(self) -> int:
        """Connections there are: idle, lent, or being looked after."""
        return self._filler.live

    @property
    def ready(self) -> bool:
        """Whether a caller may hope for a connection now: open, and not known to be cut off."""
        return self.is_open and self.live > 0
