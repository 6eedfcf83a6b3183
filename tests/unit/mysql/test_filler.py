"""The filler: how many connects, when, and what if they fail."""

import asyncio
import logging
import random
from types import SimpleNamespace
from typing import cast

import pytest
import uvloop

from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import (
    AccessDenied,
    ConnectError,
    PoolClosed,
    PoolTimeout,
)
from quart_app.mysql.filler import Filler
from quart_app.mysql.pool import Pool
from tests.support.fake import FakeDriver, fail, refused, slow
from tests.support.pools import borrow, make_pool, open_pool


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.row("A")
async def test_minimum_is_opened_at_once_and_in_parallel() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(1)
    async with open_pool(driver, minsize=16, maxsize=16) as pool:
        began = now()
        await pool.wait()
        assert now() - began == 1
        assert driver.most_connecting == 16
        assert pool.size == pool.freesize == 16


async def test_one_prober_while_the_server_is_down_then_slow_start() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(0.01)
    async with open_pool(driver, minsize=32, maxsize=32, pool_recycle=-1) as pool:
        await pool.wait()
        driver.connect_always = refused()
        for connection in list(driver.opened):
            connection.die()
        await asyncio.sleep(60)
        tries = len(driver.attempted_at)
        driver.most_connecting = 0
        await asyncio.sleep(60)
        assert driver.most_connecting == 1
        assert len(driver.attempted_at) - tries <= 60 / 0.8 + 1, "1 s apart less jitter"
        driver.connect_always = slow(1)
        began = now()
        while pool.size < 32 or driver.connecting:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(0.1)
        assert now() - began < 1 + 6
        assert driver.most_connecting <= 32


async def test_connect_rate_stays_bounded_while_callers_wait() -> None:
    driver = FakeDriver()
    driver.connect_always = refused()
    async with open_pool(driver, maxsize=10, acquire_timeout=10) as pool:
        waiting = [asyncio.create_task(borrow(pool)) for _ in range(100)]
        await asyncio.wait(waiting)
        assert driver.most_connecting <= 10
        assert len(driver.attempted_at) <= 10 + 10 / 0.05 / 0.8 + 1
        for task in waiting:
            task.exception()


async def test_refusing_server_is_asked_seldom() -> None:
    driver = FakeDriver()
    driver.connect_always = fail(AccessDenied("no", errno=1045))
    async with open_pool(driver, minsize=1):
        await asyncio.sleep(300)
        assert len(driver.attempted_at) <= 18


async def test_failure_and_recovery_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    driver = FakeDriver()
    driver.connects.extend([refused()] * 20)
    with caplog.at_level(logging.WARNING):
        async with open_pool(driver, minsize=1) as pool:
            await asyncio.sleep(200)
            assert pool.freesize == 1
    assert len([r for r in caplog.records if "no connection to" in r.message]) == 1
    assert len([r for r in caplog.records if "connected to fake" in r.message]) == 1


def test_timer_that_is_due_at_once_can_be_moved_under_uvloop() -> None:
    """Uvloop gives a handle without when() for it; the second caller got an AttributeError."""

    async def main() -> None:
        filler = Filler(cast("Pool", SimpleNamespace(rng=random.Random(), is_open=False)))
        now = asyncio.get_running_loop().time()
        filler._try_at(now)
        filler._try_at(now - 1.0)
        await asyncio.sleep(0)
        assert filler.timer is None

    uvloop.run(main())


# -- waiting for the minimum -----------------------------------------------------------------------


async def test_wait_raises_the_first_failure_and_the_pool_heals() -> None:
    driver = FakeDriver()
    driver.connects.append(refused())
    async with open_pool(driver, minsize=1) as pool:
        with pytest.raises(ConnectError, match="refused"):
            await pool.wait()
        await pool.wait()
        assert pool.freesize == 1
        await pool.wait(timeout=0.1)


async def test_wait_ends_at_its_timeout() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(2)
    async with open_pool(driver, minsize=1) as pool:
        began = now()
        with pytest.raises(PoolTimeout, match=r"after 1\.00 s \(limit 1 s"):
            await pool.wait(timeout=1)
        assert now() - began == 1
        await pool.wait()


async def test_wait_that_is_over_before_the_failure_comes_is_left_alone() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(2)
    async with open_pool(driver, minsize=1, maxsize=1) as pool:
        waiting = [asyncio.create_task(pool.wait()) for _ in range(2)]
        await asyncio.sleep(1)
        waiting[0].cancel()
        await asyncio.sleep(3)
        assert waiting[1].done()
        assert waiting[1].exception() is None


async def test_connect_that_fails_as_the_pool_closes_is_told_to_nobody_again() -> None:
    class Stubborn(FakeDriver):
        async def connect(self) -> Connection:
            try:
                return await super().connect()
            except asyncio.CancelledError:
                raise ConnectError("cannot connect", errno=2003) from None

    driver = Stubborn()
    driver.connect_always = slow(1.0)
    pool = make_pool(driver, minsize=1)
    await pool.open()
    waiting = asyncio.create_task(pool.wait())
    await asyncio.sleep(0.5)
    pool.close()
    await pool.wait_closed()
    with pytest.raises(PoolClosed):
        await waiting


async def test_server_that_refused_many_at_once_is_asked_again_within_a_second() -> None:
    driver = FakeDriver()
    driver.connects.extend([fail(AccessDenied("no", errno=1045), delay=0.5)] * 10)
    async with open_pool(driver, maxsize=10) as pool:
        await asyncio.gather(*(borrow(pool) for _ in range(10)), return_exceptions=True)
        await asyncio.sleep(1.0)
        pool.release(await pool.acquire())
        assert len(driver.attempted_at) == 11
