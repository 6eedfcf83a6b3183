"""How long a connection may live and be idle: by its numbers, and in a pool."""

import asyncio
import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_app.mysql import lifetime
from quart_app.mysql.config import PoolConfig
from quart_app.mysql.slot import Slot
from tests.support.fake import FakeDriver
from tests.support.pools import hold, open_pool

# -- numbers ---------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.floats(1, 1e6), st.floats(1, 1e6))
def test_jitter_only_shortens_lives_and_spreads_pings(
    seed: int, max_lifetime: float, keepalive: float
) -> None:
    slot, config = Slot(0), PoolConfig(max_lifetime=max_lifetime, keepalive=keepalive)
    lifetime.arm(slot, config, 28800, 1000, random.Random(seed))  # jitter
    assert 0.8 * max_lifetime <= slot.expires_at - 1000 + 1e-6
    assert slot.expires_at - 1000 <= max_lifetime + 1e-6
    assert 0.9 * keepalive <= slot.ping_at - 1000 + 1e-6
    assert slot.ping_at - 1000 <= 1.1 * keepalive + 1e-6


@pytest.mark.parametrize(
    ("pool_recycle", "wait_timeout", "seconds"),
    [
        (None, 28800, 240),
        (None, 10, 8),
        (None, 300, 240),
        (-1, 10, math.inf),
        (0, 10, 0),
        (77, 10, 77),
    ],
)
def test_idle_time_allowed(pool_recycle: float | None, wait_timeout: float, seconds: float) -> None:
    assert lifetime.recycle_after(pool_recycle, wait_timeout) == seconds


def test_zero_means_never() -> None:
    slot, config = Slot(0), PoolConfig(max_lifetime=0, keepalive=0)
    lifetime.arm(slot, config, 28800, 1000, random.Random(0))  # jitter
    assert (slot.expires_at, slot.ping_at) == (math.inf, math.inf)


# -- in a pool -------------------------------------------------------------------------------------


async def test_idle_connection_is_recycled_after_the_time_set() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, pool_recycle=30, keepalive=0) as pool:
        await pool.wait()
        await asyncio.sleep(29)
        assert not driver.opened[0].closed
        await asyncio.sleep(3)
        assert driver.opened[0].ended == "quit"
        assert pool.freesize == 1
        assert pool.stats().evictions == {"pool_recycle": 1}


async def test_recycling_follows_the_servers_wait_timeout() -> None:
    driver = FakeDriver(wait_timeout=10)
    async with open_pool(driver, minsize=1) as pool:
        await pool.wait()
        await asyncio.sleep(7.5)
        assert not driver.opened[0].closed
        await asyncio.sleep(2)
        assert driver.opened[0].closed


async def test_idle_time_counts_from_release_not_from_the_last_acquire() -> None:
    driver = FakeDriver()
    async with open_pool(driver, pool_recycle=30, leak_threshold=0, keepalive=0) as pool:
        await hold(pool, 100)
        await asyncio.sleep(20)
        await hold(pool)
        assert len(driver.opened) == 1


async def test_lifetime_ends_within_its_jitter_and_not_all_together() -> None:
    driver = FakeDriver()
    async with open_pool(
        driver, minsize=20, maxsize=20, max_lifetime=1000, pool_recycle=-1, keepalive=0
    ) as pool:
        await pool.wait()
        await asyncio.sleep(795)
        assert len(driver.opened) == 20
        await asyncio.sleep(105)
        assert 20 < len(driver.opened) < 40
        await asyncio.sleep(105)
        assert all(connection.closed for connection in driver.opened[:20])
        assert len(driver.open) == 20


async def test_old_connection_that_is_never_idle_is_replaced_on_release() -> None:
    driver = FakeDriver()
    async with open_pool(driver, max_lifetime=10, leak_threshold=0) as pool:
        await hold(pool, 20)
        assert driver.opened[0].closed
        assert pool.stats().evictions == {"max_lifetime": 1}


@pytest.mark.parametrize("allowed", [0, 0.5])
async def test_idle_time_of_less_than_a_second_is_judged_at_checkout_only(allowed: float) -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, pool_recycle=allowed, keepalive=0) as pool:
        await pool.wait()
        await asyncio.sleep(60)
        assert len(driver.opened) == 1, "the minimum is not made anew all day"
        await hold(pool)
        assert driver.opened[0].closed
        assert len(driver.opened) == 2


async def test_no_idle_time_at_all_ends_no_connection_before_its_first_borrower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = FakeDriver()
    async with open_pool(driver, pool_recycle=0, keepalive=0) as pool:
        ticks = itertools.count()
        monkeypatch.setattr(pool, "time", lambda: pool._loop.time() + next(ticks) / 1e6)
        await hold(pool)
        assert len(driver.opened) == 1
