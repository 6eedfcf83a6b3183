"""A pool on a fake driver, whose end every test checks."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from quart_app.mysql.config import PoolConfig
from quart_app.mysql.observer import Observer
from quart_app.mysql.pool import Pool
from tests.support.fake import FakeConnection, FakeDriver
from tests.support.invariants import assert_closed, assert_healthy


def make_pool(
    driver: FakeDriver, *, observer: Observer | None = None, seed: int = 0, **config: Any
) -> Pool:
    """A pool that is not open yet. One connection at most and none kept, unless told otherwise."""
    config = {"minsize": 0, "maxsize": 1} | config
    return Pool(
        None,
        PoolConfig(**config),
        driver=driver,
        observer=observer,
        rng=random.Random(seed),  # jitter, no secret
    )


@asynccontextmanager
async def open_pool(
    driver: FakeDriver, *, observer: Observer | None = None, seed: int = 0, **config: Any
) -> AsyncIterator[Pool]:
    """An open pool; healthy at the end of the block, and closed without a trace after it."""
    pool = make_pool(driver, observer=observer, seed=seed, **config)
    await pool.open()
    try:
        yield pool
        assert_healthy(pool, driver)
    finally:
        pool.close()
        await pool.wait_closed()
    assert_closed(pool, driver)


async def borrow(pool: Pool, *, timeout: float | None = None) -> FakeConnection:
    """Acquire, typed for what it is here."""
    connection = await pool.acquire(timeout=timeout)
    assert isinstance(connection, FakeConnection)
    return connection


async def hold(pool: Pool, seconds: float = 0.0) -> FakeConnection:
    """Acquire, sleep, release; tell which connection that was."""
    async with pool.acquire() as connection:
        await asyncio.sleep(seconds)
    assert isinstance(connection, FakeConnection)
    return connection
