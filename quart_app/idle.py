"""When a connection without a request under way ends: hardly ever is a timer set for it.

Hypercorn makes two tasks for each request to watch the time after it, and ends them before the
next. Here a request only notes the time; the timer looks at that when it fires, and waits for the
rest.
"""

import asyncio
from collections.abc import Callable

from quart_app.mysql.timers import TICK, Cancellable, Timers

# Connections wait equally long, one more or less: those of a worker share a timer of the loop's.
_WAITING = Timers()


class IdleTimer:
    """Calls *expired* once, when a connection has been idle for *patience()* seconds.

    ``restart`` and ``stop`` are what Hypercorn calls; it takes this for a task.
    """

    def __init__(self, patience: Callable[[], float], expired: Callable[[], None]) -> None:
        self._patience = patience
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._until: float | None = None  # None: not idle
        self._timer: Cancellable | None = None
        self._due = 0.0

    async def restart(self, *_: object) -> None:
        """Be idle from now on."""
        self._start(self._patience())

    async def stop(self) -> None:
        """Have a request under way."""
        self._until = None

    def hurry(self, seconds: float) -> None:
        """If idle, expire in *seconds* at the latest."""
        if self._until is not None and self._until > self._loop.time() + seconds:
            self._start(seconds)

    def close(self) -> None:
        """Expire no more."""
        self._until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, seconds: float) -> None:
        self._until = self._loop.time() + seconds
        if self._timer is None or self._due > self._until:
            self._arm(self._until)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = when, _WAITING.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._until is None:
            return
        if self._until > self._loop.time() + TICK:
            self._arm(self._until)
        else:
            self._until = None
            self._expired()
