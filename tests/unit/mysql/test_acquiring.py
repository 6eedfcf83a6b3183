"""What acquire() returns: to await, to drive by hand, to use as a block."""

import asyncio

import pytest

from tests.support.fake import FakeDriver
from tests.support.pools import borrow, open_pool


async def test_acquire_is_a_coroutine_that_can_be_driven_by_hand() -> None:
    async with open_pool(FakeDriver()) as pool:
        pool.release(await borrow(pool))
        acquiring = pool.acquire()
        with pytest.raises(StopIteration) as end:
            acquiring.send(None)
        pool.release(end.value.value)
        waiting = pool.acquire()
        connection = await borrow(pool)
        waiting.send(None)
        with pytest.raises(KeyError):
            waiting.throw(KeyError())
        closing = pool.acquire()
        closing.send(None)
        closing.close()
        pool.release(connection)


async def test_acquire_that_is_never_awaited_costs_nothing() -> None:
    async with open_pool(FakeDriver()) as pool:
        pool.acquire()
        pool.acquire().close()
        assert pool.stats().acquired == 0
        task = asyncio.create_task(pool.acquire())
        pool.release(await task)


async def test_block_that_is_left_twice_gives_back_once() -> None:
    async with open_pool(FakeDriver()) as pool:
        block = pool.acquire()
        await block.__aenter__()
        for _ in range(2):
            await block.__aexit__(None, None, None)
        assert pool.stats().released == 1


async def test_exception_in_the_block_gives_the_connection_back() -> None:
    async with open_pool(FakeDriver()) as pool:
        with pytest.raises(KeyError):
            async with pool.acquire():
                raise KeyError
        assert pool.freesize == 1
