"""Waiters are served first come, first served, and each once."""

import asyncio

import pytest

from quart_app.mysql.errors import (
    PoolClosed,
)
from quart_app.mysql.slot import Slot
from quart_app.mysql.waiters import Waiters, _expire, wait


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.row("B")
async def test_waiters_are_served_in_order_and_those_who_left_are_passed_over() -> None:
    waiters = Waiters()
    first, second, third = (waiters.join(first=False) for _ in range(3))
    urgent = waiters.join(first=True)
    first.cancel()
    for slot, waiter in [(Slot(0), urgent), (Slot(1), second), (Slot(2), third)]:
        assert waiters.hand(slot)
        assert waiter.result() is slot
    assert not waiters.hand(Slot(3))
    waiters.leave(third)
    assert len(waiters) == 0


@pytest.mark.row("Q")
async def test_failure_reaches_every_waiter_once() -> None:
    waiters = Waiters()
    gone, there = waiters.join(first=False), waiters.join(first=False)
    gone.cancel()
    waiters.fail(PoolClosed("closed"))
    assert isinstance(there.exception(), PoolClosed)
    assert len(waiters) == 0


@pytest.mark.row("C")
async def test_wait_ends_at_its_time_or_with_a_slot() -> None:
    waiters, began = Waiters(), now()
    with pytest.raises(TimeoutError):
        await wait(waiters.join(first=False), until=began + 2)
    assert now() - began == 2
    waiters = Waiters()
    slot, waiter = Slot(0), waiters.join(first=False)
    asyncio.get_running_loop().call_later(1, waiters.hand, slot)
    assert await wait(waiter, until=now() + 2) is slot
    await asyncio.sleep(5)


async def test_waiter_that_was_served_in_time_stays_served() -> None:
    waiters, slot = Waiters(), Slot(0)
    waiter = waiters.join(first=False)
    waiters.hand(slot)
    _expire(waiter)
    assert waiter.result() is slot
