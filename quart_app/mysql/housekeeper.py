"""The pool's clock: one task that looks at every idle and every lent connection once a second.

It does no I/O and closes nothing by itself: it tells the pool, which decides in plain methods.
"""

import asyncio
import logging

from quart_app.mysql import lifetime
from quart_app.mysql.leaks import readable
from quart_app.mysql.lookout import SILENCE, Lookout
from quart_app.mysql.slot import Slot
from quart_app.mysql.tended import TendedStock

log = logging.getLogger("quart_app.mysql")

TICK_MAX = 1.0
TICK_MIN = 0.05
# The loop was blocked if a nap lasted this much longer than asked for.
STARVED = 1.0


class Housekeeper:
    """Retires what is too old, has pinged what is due, reports leaks and a blocked loop."""

    def __init__(self, pool: TendedStock) -> None:
        self._pool = pool
        self._task: asyncio.Task[None]  # from start() on
        self._lookout = Lookout(pool)
        self.leaks = 0

    def start(self) -> None:
        """Begin, as a task of the pool's own, until stop()."""
        self._task = self._pool.spawn(self._run(), "housekeeper")

    def stop(self) -> None:
        """End, once started. Waits for nothing: there is no I/O in this task."""
        self._task.cancel()

    async def _run(self) -> None:
        time = self._pool.time
        while True:
            due = time() + self._pause(time())
            await asyncio.sleep(due - time())
            late = time() - due
            if late > STARVED:
                log.warning("pool %s: the event loop was blocked for %.1f s", self._pool.name, late)
            try:
                self.tick(time())
            except Exception:
                log.exception("pool %s: upkeep failed; it goes on", self._pool.name)

    def _pause(self, now: float) -> float:
        """Sleep until something is due, within bounds."""
        longest = SILENCE if self._pool.driver.has_choice() else TICK_MAX
        due = [
            min(slot.ping_at, slot.idle_since + slot.recycle)
            if slot.recycled_by_clock
            else slot.ping_at
            for slot in self._pool.idle_slots()
        ]
        return max(TICK_MIN, min([longest, *(when - now for when in due)]))

    def tick(self, now: float) -> None:
        """Look at everything once. Waits for nothing."""
        pool = self._pool
        for slot in pool.idle_slots():
            if not pool.retire_if_unfit(slot, now) and now >= slot.ping_at:
                lifetime.arm_ping(slot, pool.config, now, pool.rng)
                pool.ping_soon(slot)
        if pool.driver.preferred_due(now):
            pool.go_home_soon()
        self._lookout.look(now)
        if pool.config.leak_threshold:
            for slot in pool.lent_slots():
                self._look_for_leak(slot, now)

    def _look_for_leak(self, slot: Slot, now: float) -> None:
        """Report a loan that lasts too long; end it if its borrower is gone and uses it no more."""
        pool, threshold = self._pool, self._pool.config.leak_threshold
        held = now - slot.borrowed_at
        if held < threshold:
            return
        if not slot.reported:
            slot.reported = True
            self.leaks += 1
            trace = readable(slot.trace)
            pool.observer.leaked(held=held, trace=trace)
            log.warning("pool %s: a connection is out for %.0f s, by:\n%s", pool.name, held, trace)
        unused = now - slot.held().last_command_at >= threshold
        if unused and (slot.borrower is None or slot.borrower.done()):
            log.warning("pool %s: its borrower has ended; the connection is closed", pool.name)
            pool.reclaim(slot)
