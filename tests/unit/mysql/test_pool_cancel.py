"""Cancellation at every await of every operation, while pending and in the instant after it settled."""

import asyncio
import random
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import pytest

from quart_app.mysql.driver import Condition
from quart_app.mysql.pool import Pool
from tests.support.fake import FakeConnection, FakeDriver, refused, slow
from tests.support.invariants import assert_closed, assert_consistent, assert_healthy
from tests.support.pools import borrow, make_pool, open_pool
from tests.support.stepping import Mark, Moment, cancel_everywhere

MOMENTS = pytest.mark.parametrize("moment", Moment)


async def settle(pool: Pool, driver: FakeDriver) -> None:
    """Let everything in the background end, prove that the pool still lends, and check it."""
    await asyncio.sleep(30)
    connections = [await borrow(pool) for _ in range(pool.maxsize or 1)]
    for connection in connections:
        assert connection.is_alive()
        pool.release(connection)
    assert_healthy(pool, driver)


async def borrow_and_return(pool: Pool) -> None:
    connection = await borrow(pool)
    pool.release(connection)


async def attempt(mark: Mark, pool: Pool) -> None:
    """Acquire, marked; give back what was got."""
    try:
        connection = await mark(pool.acquire())
    except asyncio.CancelledError:
        return
    pool.release(connection)


@MOMENTS
async def test_acquire_that_connects(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        driver.connect_always = slow(0.1)
        async with open_pool(driver) as pool:
            await attempt(mark, pool)
            await settle(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 1


@pytest.mark.row("B")
@MOMENTS
async def test_acquire_that_waits_for_another_borrower(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        async with open_pool(driver) as pool:
            connection = await borrow(pool)
            asyncio.get_running_loop().call_later(0.5, pool.release, connection)
            behind = asyncio.create_task(borrow_and_return(pool))
            await attempt(mark, pool)
            await behind
            await settle(pool, driver)
            assert len(driver.opened) == 1

    assert await cancel_everywhere(scenario, moment=moment) >= 1


@MOMENTS
async def test_acquire_that_pings(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        driver.probe = slow(0.1)
        async with open_pool(driver, keepalive=0) as pool:
            await borrow_and_return(pool)
            await asyncio.sleep(5)
            await attempt(mark, pool)
            await settle(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 1


@MOMENTS
async def test_acquire_that_pings_the_dead_and_then_connects(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        async with open_pool(driver, maxsize=2, keepalive=0) as pool:
            first, second = await borrow(pool), await borrow(pool)
            for connection in (first, second):
                connection.probes.append(refused())
                pool.release(connection)
            await asyncio.sleep(5)
            await attempt(mark, pool)
            await settle(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 2


@MOMENTS
async def test_acquire_that_waits_for_a_reset(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        async with open_pool(driver) as pool:
            connection = await borrow(pool)
            connection.needs = Condition.DIRTY
            connection.resets.append(slow(0.2))
            pool.release(connection)
            await attempt(mark, pool)
            await settle(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 1


@MOMENTS
async def test_block_that_queries(moment: Moment) -> None:
    async def block(pool: Pool) -> None:
        async with pool.acquire() as connection:
            assert isinstance(connection, FakeConnection)
            await connection.work(slow(0.1))
            await connection.work(slow(0.1))

    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        async with open_pool(driver) as pool:
            await asyncio.gather(mark_quietly(mark, block(pool)))
            await settle(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 2


async def mark_quietly(mark: Mark, work: Awaitable[Any]) -> None:
    with suppress(asyncio.CancelledError):
        await mark(work)


@MOMENTS
async def test_check(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        driver.probe = slow(0.1)
        async with open_pool(driver, minsize=3, maxsize=3) as pool:
            await pool.wait()
            await mark_quietly(mark, pool.check())
            await settle(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 1


@MOMENTS
async def test_wait_for_the_minimum(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        driver.connect_always = slow(0.1)
        async with open_pool(driver, minsize=2, maxsize=2) as pool:
            await mark_quietly(mark, pool.wait())
            await settle(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 1


@MOMENTS
@pytest.mark.parametrize("busy", [False, True])
async def test_open_and_close(moment: Moment, *, busy: bool) -> None:
    async def scenario(mark: Mark) -> None:
        driver = FakeDriver()
        driver.connect_always = slow(0.1)
        pool = make_pool(driver, minsize=2, maxsize=2, close_timeout=1)
        await mark_quietly(mark, open_use_close(pool, busy=busy))
        pool.close()
        await pool.wait_closed()
        await asyncio.sleep(1)
        assert_closed(pool, driver)

    assert await cancel_everywhere(scenario, moment=moment) >= 1


async def open_use_close(pool: Pool, *, busy: bool) -> None:
    async with pool:
        connection = await pool.acquire()
        if not busy:
            pool.release(connection)


async def test_twenty_thousand_random_cancellations_leave_the_pool_healthy() -> None:
    rng, driver = random.Random(1), FakeDriver()  # no secret

    async def block(pool: Pool) -> None:
        async with pool.acquire() as connection:
            assert isinstance(connection, FakeConnection)
            connection.needs = rng.choice(list(Condition)[:3])
            await connection.work(slow(rng.expovariate(100)))

    async def round_of(pool: Pool) -> None:
        tasks = [asyncio.create_task(block(pool)) for _ in range(100)]
        for task in tasks:
            asyncio.get_running_loop().call_later(rng.expovariate(20), task.cancel)
        await asyncio.wait(tasks)

    async with open_pool(driver, minsize=4, maxsize=8, leak_threshold=0) as pool:
        for _ in range(200):
            await round_of(pool)
            assert_consistent(pool)
        await settle(pool, driver)
        assert len(driver.killed) > 100
