"""Timers for many waits that are hardly ever waited out: one of the loop's stands for all of them.

Every request and every lookup has a deadline, and hardly one of them comes. A timer of the loop's for
each costs two microseconds and half a kilobyte. Where all are for about the same time from now, the
order of beginning is the order of ending: a wait is an entry in an ordered dict, and only the
first of them has a timer. A wait that would end before one begun earlier gets its own.
"""

import asyncio
from asyncio import current_task
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self
from weakref import WeakKeyDictionary

# uvloop's clock and its timers go by whole milliseconds: one may come half of it too early, and to wait
# for the rest would be hundreds of empty turns of the loop.
TICK = 0.001
NEVER = -1.0


class Cancellable(Protocol):
    """What is begun and may be called off."""

    def cancel(self) -> object: ...


class Wait:
    """One callback that is due some time."""

    __slots__ = ("_callback", "_waits", "when")

    def __init__(
        self, waits: "OrderedDict[Wait, None]", when: float, callback: Callable[[], object]
    ) -> None:
        self._waits, self.when = waits, when
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call; no harm if it was called. Lets go of the callback, which may know this."""
        self._waits.pop(self, None)
        self._callback = None

    def call(self) -> None:
        """Call, unless it was called off."""
        callback = self._callback
        self.cancel()
        if callback is not None:
            callback()


class Timers:
    """Calls back at a time of the running loop's clock, as ``loop.call_at`` does."""

    __slots__ = ("_by_loop", "_last")

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTimers] = (
            WeakKeyDictionary()
        )
        # One tuple, so that loops in several threads never see the one's half and the other's.
        self._last: tuple[asyncio.AbstractEventLoop | None, LoopTimers | None] = (None, None)

    def call_at(self, when: float, callback: Callable[[], object]) -> Cancellable:
        """Have *callback* called at *when*, unless what is returned is cancelled before."""
        loop = asyncio.get_running_loop()
        known, timers = self._last
        if known is not loop or timers is None:
            timers = self._by_loop.setdefault(loop, LoopTimers())
            self._last = (loop, timers)
        return timers.call_at(loop, when, callback)

    def limit(self, seconds: float) -> "Limit":
        """Have a block take *seconds* at most; see Limit."""
        return Limit(self, seconds)


class LoopTimers:
    """Those of one loop. It keeps nothing of the loop's, so the loop may go."""

    __slots__ = ("_fires_at", "_latest", "_waits")

    def __init__(self) -> None:
        self._fires_at = NEVER
        self._latest = 0.0
        self._waits: OrderedDict[Wait, None] = OrderedDict()

    def call_at(
        self, loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[], object]
    ) -> Cancellable:
        """As Timers.call_at()."""
        if not self._waits:
            self._latest = 0.0
        if when < max(self._latest, self._fires_at):
            return loop.call_at(when, callback)
        self._latest = when
        wait = Wait(self._waits, when, callback)
        self._waits[wait] = None
        if self._fires_at == NEVER:
            self._arm(loop, when)
        return wait

    def _arm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._fires_at = when
        loop.call_at(when, self._fire)

    def _fire(self) -> None:
        """Call what is due, and set the timer for the first that is not."""
        loop = asyncio.get_running_loop()
        self._fires_at, soon = NEVER, loop.time() + TICK
        due = []
        for wait in self._waits:
            if wait.when > soon:
                self._arm(loop, wait.when)
                break
            due.append(wait)
        for wait in due:  # one may call off the next
            try:
                wait.call()
            except Exception as exc:  # noqa: BLE001 # as the loop: the others are not to suffer for it
                loop.call_exception_handler({"message": "a timer's callback", "exception": exc})


class Limit:
    """A block that takes *seconds* at most: as asyncio.timeout, less the timer for each.

    Raises TimeoutError in place of the CancelledError that it ends the block with. A plain context
    manager, for one ``with`` each, in a task.
    """

    __slots__ = ("_cancelling", "_seconds", "_task", "_timers", "_wait", "expired")

    def __init__(self, timers: Timers, seconds: float) -> None:
        self._timers, self._seconds = timers, seconds
        self.expired = False

    def __enter__(self) -> Self:
        task = current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        when = task.get_loop().time() + self._seconds
        self._wait = self._timers.call_at(when, self._expire)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wait.cancel()
        if not self.expired:
            return
        # Somebody else cancels as well: then it is not ours to turn into an error.
        ours = self._task.uncancel() <= self._cancelling
        if ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def _expire(self) -> None:
        self.expired = True
        self._task.cancel()
