"""Run a coroutine and cancel it at its k-th suspension, for k = 1, 2, … until it ends first."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Moment(Enum):
    """Where, at one suspension, the cancellation strikes."""

    # While what is awaited is still open.
    SUSPENDED = "suspended"
    # It has its result, but the task has not run yet: the window in which resources get lost.
    SETTLED = "settled"


class CancelledAt(Generic[T]):
    """Await *work*; at its suspension number *k* the running task is cancelled at *moment*."""

    def __init__(self, work: Awaitable[T], *, k: int, moment: Moment) -> None:
        self._work = work
        self._k = k
        self._moment = moment
        self.reached = False

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = self._work.__await__()
        resume: Callable[[], Any] = partial(next, steps)
        suspensions = 0
        while True:
            try:
                awaited = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what *work* returns
            suspensions += 1
            if suspensions == self._k:
                self._strike(awaited)
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  # passed on into *work*
                resume = partial(steps.throw, error)
            else:
                resume = partial(next, steps)

    def _strike(self, awaited: object) -> None:
        self.reached = True
        task = asyncio.current_task()
        assert task is not None
        if self._moment is Moment.SETTLED and isinstance(awaited, asyncio.Future):
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


Mark = Callable[[Awaitable[Any]], CancelledAt[Any]]


async def cancel_everywhere(
    scenario: Callable[[Mark], Coroutine[Any, Any, None]], *, moment: Moment, limit: int = 200
) -> int:
    """Run *scenario* with a growing k until its marked part ends before suspension k; tell k - 1.

    The scenario gets a function that marks the part to be cancelled: ``mark(pool.acquire())``. It
    is called anew for each k, builds its own world, and asserts that the world is healthy after.
    """
    for k in range(1, limit):
        marked: list[CancelledAt[Any]] = []
        mark = partial(_mark, marked, k, moment)
        await asyncio.get_running_loop().create_task(scenario(mark))
        assert marked, "the scenario marked nothing"
        if not any(one.reached for one in marked):
            return k - 1
    message = f"still not at the end after {limit} suspensions"
    raise AssertionError(message)


def _mark(
    marked: list[CancelledAt[Any]], k: int, moment: Moment, work: Awaitable[Any]
) -> CancelledAt[Any]:
    marked.append(CancelledAt(work, k=k, moment=moment))
    return marked[-1]
