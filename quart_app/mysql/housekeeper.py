"""The pool's upkeep: one task that retires, pings, recovers what leaked, and notices a stuck loop.

It never connects and never closes by itself: it tells the pool, which decides in plain methods.
"""

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING

from quart_app.mysql import lifetime
from quart_app.mysql.slot import Slot, Trace

if TYPE_CHECKING:
    from quart_app.mysql.pool import Pool

log = logging.getLogger("quart_app.mysql")

TICK_MAX = 1.0
TICK_MIN = 0.05
# The loop was blocked if a nap lasted this much longer than asked for.
STARVED = 1.0


class Housekeeper:
    """Looks at every idle and every lent connection at least once a second."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, as a task of its own, until stop()."""
        self._task = asyncio.create_task(self._run(), name=f"{self._pool.name}-housekeeper")

    def stop(self) -> None:
        """End. Waits for nothing: there is no I/O in this task."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before, pause = loop.time(), self._pause(loop.time())
            await asyncio.sleep(pause)
            late = loop.time() - before - pause
            if late > STARVED:
                log.warning("pool %s: the event loop was blocked for %.1f s", self._pool.name, late)
            try:
                self._tick(loop.time())
            except Exception:
                log.exception("pool %s: upkeep failed; it goes on", self._pool.name)

    def _pause(self, now: float) -> float:
        """Sleep until something is due, within bounds."""
        due = [
            min(slot.ping_at, slot.idle_since + slot.recycle) for slot in self._pool.idle_slots()
        ]
        return max(TICK_MIN, min([TICK_MAX, *(when - now for when in due)]))

    def _tick(self, now: float) -> None:
        pool = self._pool
        for slot in pool.idle_slots():
            if not pool.retire_if_unfit(slot, now) and now >= slot.ping_at:
                lifetime.arm_ping(slot, pool.config, now, pool.rng)
                pool.ping_soon(slot)
        if pool.config.leak_threshold:
            for slot in pool.lent_slots():
                self._look_for_leak(slot, now)

    def _look_for_leak(self, slot: Slot, now: float) -> None:
        """Report a loan that lasts too long; end it if its borrower is gone and uses it no more."""
        threshold = self._pool.config.leak_threshold
        held = now - slot.borrowed_at
        if held < threshold:
            return
        if not slot.reported:
            slot.reported = True
            self._pool.report_leak(held, readable(slot.trace))
        borrower = slot.borrower() if slot.borrower is not None else None
        unused = now - slot.held().last_command_at >= threshold
        if unused and (borrower is None or borrower.done()):
            self._pool.reclaim(slot)


def readable(trace: Trace) -> str:
    """Print a borrower's stack the way Python does, innermost call last."""
    lines = []
    for code, last in reversed(trace):
        line = next((n for start, end, n in code.co_lines() if n and start <= last < end), 0)
        lines.append(traceback.FrameSummary(code.co_filename, line, code.co_name))
    return "".join(traceback.StackSummary.from_list(lines).format())
