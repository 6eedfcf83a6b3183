"""What the pool does with a connection on its server: ping, reset, kill."""

import asyncio

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.driver import Condition
from quart_app.mysql.errors import (
    ConnectionLost,
    PoolTimeout,
    QueryTimeout,
)
from tests.support.fake import HANG, FakeConnection, FakeDriver, Outcome, fail, refused, slow
from tests.support.pools import borrow, hold, open_pool


def now() -> float:
    return asyncio.get_running_loop().time()


# -- ping ------------------------------------------------------------------------------------------


async def test_silent_connections_are_found_by_one_ping_and_all_replaced() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=5, keepalive=0, probe_timeout=0.5) as pool:
        connections = [await borrow(pool) for _ in range(5)]
        for connection in connections:
            pool.release(connection)
        driver.probe = HANG
        await asyncio.sleep(30)
        began = now()
        await hold(pool)
        assert now() - began == 0.5, "one unanswered ping, not five"
        assert all(connection.closed for connection in connections)


async def test_impatient_caller_takes_no_other_connection_for_dead() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=5, keepalive=0, probe_timeout=0.5) as pool:
        connections = [await borrow(pool) for _ in range(5)]
        for connection in connections:
            pool.release(connection)
        driver.probe = slow(0.1)
        await asyncio.sleep(30)
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0.05)
        assert sum(connection.closed for connection in connections) == 1


async def test_dead_connection_costs_an_impatient_caller_only_that_one() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=3, keepalive=0, probe_timeout=0.5) as pool:
        connections = [await borrow(pool) for _ in range(3)]
        for connection in connections:
            pool.release(connection)
        connections[-1].probes.append(fail(ConnectionLost("gone", sent=True), delay=0.1))
        await asyncio.sleep(30)
        connection = await borrow(pool, timeout=0.4)
        assert [each.closed for each in connections] == [False, False, True]
        assert connection in connections
        pool.release(connection)


async def test_connection_used_within_a_second_is_not_pinged() -> None:
    driver = FakeDriver()
    async with open_pool(driver, keepalive=0) as pool:
        for _ in range(5):
            await hold(pool)
            await asyncio.sleep(0.9)
        assert driver.opened[0].probed_at == []


async def test_connection_idle_for_longer_is_pinged_once() -> None:
    driver = FakeDriver()
    async with open_pool(driver, keepalive=0) as pool:
        await hold(pool)
        await asyncio.sleep(1.5)
        await hold(pool)
        await hold(pool)
        assert len(driver.opened[0].probed_at) == 1
        assert pool.stats().pings == 1


async def test_preferred_server_that_is_back_is_moved_to() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1) as pool:
        await pool.wait()
        driver.home_due, driver.home_is_back = True, False
        await asyncio.sleep(2)
        assert pool.generation == 0
        driver.home_due = driver.home_is_back = True
        await asyncio.sleep(2)
        assert pool.generation == 1
        assert driver.opened[0].closed


# -- reset -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "resets", "rollbacks"), [(Condition.DIRTY, 1, 0), (Condition.SNAPSHOT, 0, 1)]
)
async def test_used_session_is_cleaned_before_the_next_borrower(
    needs: Condition, resets: int, rollbacks: int
) -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        connection.needs = needs
        connection.resets.append(slow(0.25))
        began = now()
        pool.release(connection)
        again = await borrow(pool)
        assert again is connection
        assert now() - began == 0.25
        assert (connection.reset_count, connection.rollback_count) == (resets, rollbacks)
        pool.release(again)


@pytest.mark.parametrize(
    "outcome", [HANG, fail(OSError()), fail(RuntimeError("handler is closed"))]
)
async def test_connection_whose_reset_fails_is_closed_in_time(outcome: Outcome) -> None:
    driver = FakeDriver()
    async with open_pool(driver, probe_timeout=0.5) as pool:
        connection = await borrow(pool)
        connection.needs = Condition.DIRTY
        connection.resets.append(outcome)
        began = now()
        pool.release(connection)
        replacement = await borrow(pool)
        assert replacement is not connection
        assert connection.closed
        assert now() - began <= 0.5
        pool.release(replacement)


async def test_reset_that_terminate_interrupts_ends_the_connection() -> None:
    driver = FakeDriver()
    async with open_pool(driver) as pool:
        connection = await borrow(pool)
        connection.needs = Condition.DIRTY
        connection.resets.append(HANG)
        pool.release(connection)
        await asyncio.sleep(0.1)
        pool.terminate()
        await pool.wait_closed()
        assert connection.closed


# -- kill ------------------------------------------------------------------------------------------


async def test_interrupted_statement_is_killed_on_the_server() -> None:
    driver = FakeDriver()
    async with open_pool(driver) as pool:

        async def query() -> None:
            async with pool.acquire() as connection:
                assert isinstance(connection, FakeConnection)
                await connection.work(slow(100))

        task = asyncio.create_task(query())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        await hold(pool, 0.01)
        assert driver.killed == [driver.opened[0]]
        assert pool.stats().kills == 1


async def test_failed_kill_does_no_harm() -> None:
    driver = FakeDriver()
    driver.kill_always = refused()
    async with open_pool(driver) as pool:
        connection = await borrow(pool)
        with pytest.raises(QueryTimeout), deadline.within(1):
            await connection.work(slow(100))
        pool.release(connection)
        await hold(pool, 0.01)
        assert pool.stats().kills == 0


async def test_statement_that_had_ended_before_its_kill_is_not_counted() -> None:
    driver = FakeDriver()
    driver.statements_last = False
    async with open_pool(driver) as pool:
        connection = await borrow(pool)
        with pytest.raises(QueryTimeout), deadline.within(1):
            await connection.work(slow(100))
        pool.release(connection)
        await hold(pool, 0.01)
        assert driver.killed == [connection]
        assert pool.stats().kills == 0
