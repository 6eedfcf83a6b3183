"""Many waits on one timer: what is due is called, in time, once; what was called off is not."""

import asyncio
import gc
import weakref
from contextlib import suppress
from functools import partial

import pytest

from quart_app.mysql.timers import Cancellable, Timers
from tests.support import virtual


@pytest.fixture(name="timers")
def _timers() -> Timers:
    return Timers()


class Log:
    """Who was called, and when."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.calls: list[tuple[str, float]] = []

    def at(self, seconds: float) -> float:
        return self._began + seconds

    def note(self, name: str) -> None:
        self.calls.append((name, self._loop.time() - self._began))


def _timers_of_the_loop() -> int:
    loop = asyncio.get_running_loop()
    return sum(not each.cancelled() for each in loop._scheduled)  # type: ignore[attr-defined]


async def test_each_is_called_when_it_is_due(timers: Timers) -> None:
    log = Log()
    for name, seconds in (("a", 1.0), ("b", 1.0), ("c", 2.5)):
        timers.call_at(log.at(seconds), partial(log.note, name))
    await asyncio.sleep(10)
    assert log.calls == [("a", 1.0), ("b", 1.0), ("c", 2.5)]


async def test_all_of_them_take_one_timer_of_the_loop(timers: Timers) -> None:
    log = Log()
    for number in range(100):
        timers.call_at(log.at(10 + number), lambda: None)
    assert _timers_of_the_loop() == 1


async def test_what_is_called_off_is_not_called(timers: Timers) -> None:
    log = Log()
    first, second = (timers.call_at(log.at(1), partial(log.note, name)) for name in "ab")
    timers.call_at(log.at(2), partial(log.note, "c"))
    first.cancel()
    second.cancel()
    second.cancel()
    await asyncio.sleep(10)
    assert log.calls == [("c", 2.0)]


async def test_one_called_off_by_another_that_is_due_with_it_is_not_called(timers: Timers) -> None:
    log = Log()
    others: list[Cancellable] = []
    timers.call_at(log.at(1), lambda: [each.cancel() for each in others])
    others.append(timers.call_at(log.at(1), partial(log.note, "other")))
    await asyncio.sleep(10)
    assert log.calls == []


async def test_one_that_is_due_before_those_begun_earlier_is_in_time(timers: Timers) -> None:
    log = Log()
    timers.call_at(log.at(5), partial(log.note, "late"))
    timers.call_at(log.at(1), partial(log.note, "soon"))
    timers.call_at(log.at(2), partial(log.note, "never")).cancel()
    await asyncio.sleep(10)
    assert log.calls == [("soon", 1.0), ("late", 5.0)]


async def test_a_callback_may_begin_the_next_wait(timers: Timers) -> None:
    log = Log()
    begin = partial(timers.call_at, log.at(1.5), partial(log.note, "next"))
    timers.call_at(log.at(1), begin)
    await asyncio.sleep(10)
    assert log.calls == [("next", 1.5)]


async def test_after_all_is_over_shorter_waits_share_a_timer_again(timers: Timers) -> None:
    log = Log()
    timers.call_at(log.at(100), lambda: None)
    await asyncio.sleep(101)
    for _ in range(3):
        timers.call_at(log.at(102), partial(log.note, "x"))
    assert _timers_of_the_loop() == 1
    await asyncio.sleep(5)
    assert log.calls == [("x", 102.0)] * 3


def test_loops_that_take_turns_have_timers_of_their_own(timers: Timers) -> None:
    async def begin(log: list[str], name: str) -> None:
        when = asyncio.get_running_loop().time() + 10
        timers.call_at(when, partial(log.append, name))

    log: list[str] = []
    first, second = virtual.VirtualLoop(), virtual.VirtualLoop()
    for loop, name in ((first, "first"), (second, "second")):
        loop.run_until_complete(begin(log, name))
    for loop, name in ((first, "also first"), (second, "also second")):
        loop.run_until_complete(begin(log, name))
        loop.run_until_complete(asyncio.sleep(20))
        loop.close()
    assert log == ["first", "also first", "second", "also second"]


def test_loops_are_not_kept() -> None:
    timers = Timers()

    async def use() -> None:
        timers.call_at(asyncio.get_running_loop().time() + 1, list)

    def used() -> weakref.ref[virtual.VirtualLoop]:
        loop = virtual.VirtualLoop()
        loop.run_until_complete(use())
        loop.close()
        return weakref.ref(loop)

    first, _ = used(), used()
    gc.collect()
    assert first() is None


async def test_a_callback_that_raises_harms_no_other(timers: Timers) -> None:
    log = Log()
    timers.call_at(log.at(1), partial(int, "no number"))
    timers.call_at(log.at(1), partial(log.note, "other"))
    loop = asyncio.get_running_loop()
    assert isinstance(loop, virtual.VirtualLoop)
    await asyncio.sleep(2)
    assert log.calls == [("other", 1.0)]
    (unhandled,) = loop.unhandled
    assert isinstance(unhandled["exception"], ValueError)
    loop.unhandled.clear()


async def test_a_long_wait_that_was_called_off_does_not_part_the_next(timers: Timers) -> None:
    log = Log()
    timers.call_at(log.at(1), partial(log.note, "first"))
    await asyncio.sleep(2)
    timers.call_at(log.at(1000), partial(log.note, "never")).cancel()
    for _ in range(3):
        timers.call_at(log.at(3), partial(log.note, "soon"))
    await asyncio.sleep(5)
    assert log.calls == [("first", 1.0), *[("soon", 3.0)] * 3]


async def test_a_block_that_takes_too_long_is_ended(timers: Timers) -> None:
    began = asyncio.get_running_loop().time()
    limit = timers.limit(2)
    with pytest.raises(TimeoutError) as raised, limit:
        await asyncio.sleep(60)
    assert limit.expired
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    assert asyncio.get_running_loop().time() == began + 2
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_block_in_time_is_left_alone(timers: Timers) -> None:
    limit = timers.limit(2)
    with limit:
        await asyncio.sleep(1)
    await asyncio.sleep(10)
    assert not limit.expired


async def test_an_error_that_comes_with_the_end_of_the_time_stands(timers: Timers) -> None:
    async def fail_when_cancelled() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError from None

    with pytest.raises(ValueError, match=r"^$"), timers.limit(2):
        await fail_when_cancelled()


async def test_a_block_that_ends_in_spite_of_it_goes_on(timers: Timers) -> None:
    limit = timers.limit(2)
    with limit, suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    assert limit.expired
    await asyncio.sleep(1)


async def test_cancelling_from_outside_is_no_timeout(timers: Timers) -> None:
    async def work() -> None:
        with timers.limit(2):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_from_outside_wins_where_both_come_at_once(timers: Timers) -> None:
    async def work() -> None:
        with timers.limit(2):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    timers.call_at(asyncio.get_running_loop().time() + 2, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
