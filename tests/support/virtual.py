"""An event loop whose clock jumps: a test of a five-minute timeout ends in a millisecond.

When nothing is ready the clock is set to the next timer. When there is no timer either, no callback
can ever run again: that is a deadlock, and the run fails at once with what every task waits for. No
selector, no sockets, no threads: connections go to the loop's in-memory network (``memory.py``).
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from tests.support.memory import MemoryNetwork

T = TypeVar("T")


class DeadlockError(AssertionError):
    """Every task waits and nothing is scheduled: in real time this would hang for ever."""


class _Jump:
    """Stands where the selector is: instead of sleeping until the next timer, goes there."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise DeadlockError(_describe_tasks(self._loop))
        if timeout > 0:
            self._loop.jump()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Virtual time, starting at 1000 (so that a forgotten zero shows)."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._selector = _Jump(self)
        self.network = MemoryNetwork(self)
        self.unhandled: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        """Seconds on the virtual clock."""
        return self._now

    def jump(self) -> None:
        """Set the clock to the next timer."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # BaseEventLoop's heap
        self._now = max(self._now, heapq.nsmallest(1, scheduled)[0].when())

    async def create_connection(  # type: ignore[override]  # the few arguments that our code uses
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str | None = None,
        port: int | None = None,
        **_: object,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect in memory."""
        return await self.network.connect(protocol_factory, (host, port))

    async def create_unix_connection(  # type: ignore[override]  # as above
        self, protocol_factory: Callable[[], asyncio.Protocol], path: str | None = None, **_: object
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect in memory."""
        return await self.network.connect(protocol_factory, path)

    def run_in_executor(self, *_: object) -> NoReturn:
        """Refuse: a thread knows nothing of virtual time."""
        message = "a unit test starts no threads"
        raise AssertionError(message)

    def _process_events(self, event_list: list[object]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Nothing sleeps, so nothing has to be woken."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on a fresh virtual loop; an exception that nobody retrieved fails it as well."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        result = runner.run(work)
        assert not loop.unhandled, loop.unhandled
    return result


def _describe_tasks(loop: asyncio.AbstractEventLoop) -> str:
    lines = ["nothing can ever run again; waiting are:"]
    for task in asyncio.all_tasks(loop):
        frames = task.get_stack()
        place = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "?"
        lines.append(f"  {task.get_name()} in {task.get_coro()!r} at {place}")
    return "\n".join(lines)
