"""Who borrowed is told by the stack; loans that last too long are reported, and ended."""

import asyncio
import gc
import sys

import pytest

from quart_app.mysql import leaks
from quart_app.mysql.pool import Pool
from tests.support.fake import FakeDriver
from tests.support.pools import borrow, open_pool


def now() -> float:
    return asyncio.get_running_loop().time()


# -- traces ----------------------------------------------------------------------------------------


def borrower(skip: int) -> leaks.Trace:
    return leaks.borrowed_from(skip)


def test_trace_names_the_borrower_and_its_line() -> None:
    text = leaks.readable(borrower(2))
    assert "test_trace_names_the_borrower_and_its_line" in text
    assert "test_leaks.py" in text
    assert "line 0" not in text


def test_trace_of_a_shallow_stack_is_short() -> None:
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    for below in range(3):
        assert len(leaks.borrowed_from(depth + 1 - below)) == below + 1


# -- in a pool -------------------------------------------------------------------------------------


async def leaking_function(pool: Pool) -> None:
    await pool.acquire()


async def test_leak_is_reported_with_the_borrowers_stack(caplog: pytest.LogCaptureFixture) -> None:
    async with open_pool(FakeDriver(), leak_threshold=5) as pool:
        connection = await borrow(pool)
        await asyncio.sleep(10)
        assert pool.stats().leaks == 1
        assert "borrow" in caplog.text
        assert "tests/support/pools.py" in caplog.text
        assert "_acquire" not in caplog.text, "the stack is the borrower's, not the pool's"
        pool.release(connection)


async def test_connection_of_a_task_that_is_gone_is_taken_back() -> None:
    driver = FakeDriver()
    async with open_pool(driver, leak_threshold=5) as pool:
        await asyncio.create_task(leaking_function(pool))
        gc.collect()
        began = now()
        connection = await borrow(pool, timeout=20)
        assert now() - began <= 7
        assert connection is driver.opened[1]
        assert driver.opened[0].closed
        pool.release(connection)


async def test_long_loan_in_a_living_task_is_not_taken_away() -> None:
    async with open_pool(FakeDriver(), leak_threshold=5) as pool:
        async with pool.acquire() as connection:
            await asyncio.sleep(60)
            assert not connection.closed
        assert pool.stats().leaks == 1
