"""The pool as a whole: opened, resized, checked, and what it tells."""

import asyncio

import pytest

from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Condition
from quart_app.mysql.errors import (
    PoolClosed,
)
from quart_app.mysql.observer import Observer
from quart_app.mysql.pool import Pool
from quart_app.mysql.slot import SlotState
from tests.support.fake import HANG, FakeDriver, fail, slow
from tests.support.invariants import assert_closed, assert_consistent, assert_healthy
from tests.support.pools import borrow, hold, make_pool, open_pool


def now() -> float:
    return asyncio.get_running_loop().time()


# -- opening ---------------------------------------------------------------------------------------


async def test_pool_that_is_not_open_lends_nothing() -> None:
    driver = FakeDriver()
    pool = make_pool(driver)
    with pytest.raises(PoolClosed, match="new"):
        await pool.acquire()
    with pytest.raises(PoolClosed):
        async with pool.acquire():
            pass
    pool.close()
    await pool.wait_closed()
    with pytest.raises(PoolClosed):
        await pool.open()
    with pytest.raises(RuntimeError):
        await pool.acquire()


async def test_pool_is_a_context_manager() -> None:
    driver = FakeDriver()
    async with make_pool(driver) as pool:
        await hold(pool, 0)
        assert_healthy(pool, driver)
    assert_closed(pool, driver)


async def test_open_pool_is_a_block_too() -> None:
    async with open_pool(FakeDriver()) as pool:
        async with pool as entered:
            assert entered is pool
        assert pool.closed


async def test_ready_means_that_there_is_a_connection() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(1)
    async with open_pool(driver, minsize=1) as pool:
        seen = [pool.ready]
        await pool.wait()
        seen.append(pool.ready)
        assert pool.slot_states() == [SlotState.IDLE]
    assert [*seen, pool.ready] == [False, True, False]


# -- for operators ---------------------------------------------------------------------------------


@pytest.mark.row("U")
async def test_rotated_password_is_the_next_connects() -> None:
    pool = Pool(ConnectConfig(password="old"), PoolConfig(minsize=0))
    await pool.open()
    pool.rotate("new")
    assert isinstance(pool.driver, MySQLDriver)
    assert pool.driver.config.password == "new"  # noqa: S105  # no password
    assert pool.generation == 1
    await pool.close()


async def test_growing_lets_waiters_in() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        waiter = asyncio.create_task(borrow(pool))
        await asyncio.sleep(0.1)
        pool.resize(minsize=0, maxsize=2)
        other = await waiter
        assert_consistent(pool)
        pool.release(connection)
        pool.release(other)


async def test_shrinking_closes_idle_now_and_lent_on_release() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=0, maxsize=6) as pool:
        connections = [await borrow(pool) for _ in range(6)]
        for connection in connections[:3]:
            pool.release(connection)
        pool.resize(minsize=0, maxsize=2)
        assert_consistent(pool)
        for connection in connections[3:]:
            pool.release(connection)
        assert pool.size <= 2
        assert pool.maxsize == 2
        assert len(driver.open) == pool.size
        driver.most_open = 0


async def test_shrinking_while_connecting_keeps_to_the_new_size() -> None:
    driver = FakeDriver()
    driver.connects.extend([slow(1), slow(1), fail(OSError(), delay=1), fail(OSError(), delay=1)])
    driver.connect_always = slow(1)
    async with open_pool(driver, minsize=4, maxsize=4) as pool:
        await asyncio.sleep(0.5)
        pool.resize(minsize=1, maxsize=1)
        await asyncio.sleep(20)
        assert_consistent(pool)
        assert len(pool._slots) == 1
        assert len(driver.open) == 1
        driver.most_open = 0


async def test_shrinking_while_pinging_and_resetting_keeps_to_the_new_size() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=4, maxsize=4, keepalive=0) as pool:
        await pool.wait()
        driver.probe = slow(0.5)
        check = asyncio.create_task(pool.check())
        await asyncio.sleep(0.1)
        pool.resize(minsize=1, maxsize=1)
        await check
        assert_consistent(pool)
        assert len(driver.open) == 1
        driver.most_open = 0


@pytest.mark.parametrize(("minsize", "maxsize"), [(3, 2), (-1, 2), (0, -1)])
async def test_impossible_sizes_are_refused(minsize: int, maxsize: int) -> None:
    async with open_pool(FakeDriver(), minsize=1, maxsize=4) as pool:
        await pool.wait()
        with pytest.raises(ValueError, match="size"):
            pool.resize(minsize=minsize, maxsize=maxsize)
        assert (pool.minsize, pool.maxsize) == (1, 4)


async def test_pool_grown_to_unlimited_and_back() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=1) as pool:
        pool.resize(minsize=0, maxsize=0)
        connections = [await borrow(pool) for _ in range(5)]
        pool.resize(minsize=0, maxsize=2)
        for connection in connections:
            pool.release(connection)
        assert_consistent(pool)
        assert pool.size <= 2
        driver.most_open = 0


async def test_check_counts_the_living_and_replaces_the_dead() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=3, maxsize=3, probe_timeout=0.5) as pool:
        await pool.wait()
        driver.opened[1].probes.append(HANG)
        began = now()
        assert await pool.check() == 2
        assert now() - began == 0.5
        await pool.wait()
        assert pool.freesize == 3


# -- telling ---------------------------------------------------------------------------------------


class Recorder(Observer):
    def __init__(self) -> None:
        self.events: list[str] = []

    def acquired(self, *, waited: float) -> None:
        self.events.append(f"acquired after {waited:g}")

    def released(self, *, used: float) -> None:
        self.events.append(f"released after {used:g}")

    def connected(self, *, took: float) -> None:
        self.events.append(f"connected in {took:g}")

    def evicted(self, *, reason: str) -> None:
        self.events.append(f"evicted: {reason}")

    def connect_failed(self, *, error: Exception, took: float) -> None:
        self.events.append(f"failed in {took:g}: {error}")


async def test_observer_is_told_what_happens_in_order() -> None:
    driver, observer = FakeDriver(), Recorder()
    driver.connects.extend([fail(OSError("x"), delay=0.5), slow(1)])
    async with open_pool(driver, observer=observer) as pool:
        await hold(pool, 2)
    assert observer.events[0].startswith("failed in 0.5")
    assert observer.events[1] == "connected in 1"
    assert observer.events[2].startswith("acquired after 1.5")
    assert observer.events[3:] == ["released after 2", "evicted: closed"]


async def test_stats_count_and_time_everything() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(0.5)
    async with open_pool(driver, name="cities", maxsize=2) as pool:
        await asyncio.gather(hold(pool, 1), hold(pool, 1), hold(pool, 1))
        stats = pool.stats()
        assert (stats.name, stats.minsize, stats.maxsize) == ("cities", 0, 2)
        assert (stats.total, stats.active, stats.idle, stats.waiting) == (2, 0, 2, 0)
        assert (stats.acquired, stats.released, stats.connects) == (3, 3, 2)
        assert stats.connect_seconds == 1.0
        assert stats.usage_seconds == 3.0
        assert stats.wait_seconds == 0.5 + 0.5 + 1.5
        assert stats.waited == 3
        assert stats.last_failure is None


async def test_state_is_readable() -> None:
    async with open_pool(FakeDriver(), name="cities", maxsize=2) as pool:
        assert repr(pool) == "<Pool 'cities' open total=0, active=0, idle=0, waiting=0>"
        connection = await borrow(pool)
        assert repr(pool) == "<Pool 'cities' open total=1, active=1, idle=0, waiting=0>"
        assert_consistent(pool)
        pool.release(connection)
    assert repr(pool) == "<Pool 'cities' closed total=0, active=0, idle=0, waiting=0>"


async def test_clear_ends_what_is_being_reset_once_it_is() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, maxsize=2) as pool:
        async with pool.acquire() as connection:
            driver.opened[0].needs = Condition.DIRTY
        await pool.clear()
        await asyncio.sleep(0.1)
        assert connection.closed
        assert pool.freesize == 1, "the minimum is there again"
