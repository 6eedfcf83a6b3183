"""An asyncio.Event that takes room for those who wait for it only once somebody does.

Each connection and each request has some, and hardly one is ever waited for.
"""

import asyncio


class Flag:
    """Set, or not; may be waited for."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: asyncio.Event | None = None

    def is_set(self) -> bool:
        """Tell whether it is."""
        return self._is_set

    def set(self) -> None:
        """Let all go on who wait."""
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        """Have it not set any more."""
        self._is_set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> None:
        """Wait until it is set."""
        if not self._is_set:
            self._event = self._event or asyncio.Event()
            await self._event.wait()
