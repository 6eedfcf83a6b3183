"""Where slots are: what is given back, what is lost, what is replaced."""

import asyncio

import pytest

from quart_app.mysql.driver import Condition, Connection
from tests.support.fake import FakeDriver, slow
from tests.support.pools import borrow, hold, open_pool

# -- given back ------------------------------------------------------------------------------------


async def test_unusable_connection_is_closed_on_release() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        connection.needs = Condition.UNUSABLE
        pool.release(connection)
        assert connection.closed
        assert pool.size == 0


async def test_evicted_connection_is_closed_on_release_and_counted() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        connection.evict("read-only")
        pool.release(connection)
        assert connection.ended == "quit"
        assert pool.stats().evictions == {"read-only": 1}


@pytest.mark.row("M")
async def test_connection_may_not_be_used_after_release() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        assert not connection.returned
        pool.release(connection)
        assert connection.returned


# -- lost ------------------------------------------------------------------------------------------


@pytest.mark.row("H")
async def test_idle_connection_that_dies_is_replaced_at_once_up_to_the_minimum() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=2, maxsize=4) as pool:
        await pool.wait()
        driver.opened[0].die()
        assert pool.freesize == 1
        await asyncio.sleep(0.01)
        assert pool.freesize == 2
        assert driver.opened[0].closed
        assert pool.stats().evictions == {"lost": 1}


async def test_busy_connection_that_dies_goes_on_release() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1) as pool:
        connection = await borrow(pool)
        connection.die()
        assert pool.size == 1
        pool.release(connection)
        assert connection.closed
        await asyncio.sleep(0.01)
        assert pool.freesize == 1


async def test_dead_connection_is_never_lent_even_if_nobody_said_so() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        pool.release(connection)
        connection.lost = True  # no callback
        other = await borrow(pool)
        assert other is not connection
        pool.release(other)


class Doomed(FakeDriver):
    """Its first connection dies before anybody looks at it."""

    async def connect(self) -> Connection:
        connection = await super().connect()
        if len(self.opened) == 1:
            self.opened[0].die()
        return connection


async def test_connection_that_dies_while_it_is_opened_is_not_lent() -> None:
    driver = Doomed()
    async with open_pool(driver) as pool:
        connection = await borrow(pool)
        assert connection is driver.opened[1]
        pool.release(connection)


async def test_whole_pool_is_replaced_after_a_restart_without_an_error() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=8, maxsize=8) as pool:
        await pool.wait()
        for connection in list(driver.opened):
            connection.die()
        await asyncio.gather(*(hold(pool) for _ in range(20)))
        assert not {*driver.open} & {*driver.opened[:8]}


# -- replaced --------------------------------------------------------------------------------------


async def test_drain_replaces_idle_now_and_busy_on_release() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=2, maxsize=3) as pool:
        await pool.wait()
        busy = await borrow(pool)
        pool.drain()
        assert not busy.closed
        pool.release(busy)
        await asyncio.sleep(0.01)
        assert all(connection.closed for connection in driver.opened[:2])
        assert pool.freesize == 2
        assert pool.stats().generation == 1


async def test_connection_opened_before_a_drain_is_not_kept_after_it() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(1)
    async with open_pool(driver, minsize=1) as pool:
        await asyncio.sleep(0.5)
        pool.drain()
        await pool.wait()
        await asyncio.sleep(5)
        assert driver.opened[0].closed
        assert pool.freesize == 1


async def test_invalidate_tells_why(caplog: pytest.LogCaptureFixture) -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1) as pool:
        await pool.wait()
        pool.invalidate("server is read-only")
        assert driver.opened[0].closed
    assert "server is read-only" in caplog.text


@pytest.mark.row("Q")
async def test_clear_closes_what_is_idle() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=2) as pool:
        await hold(pool)
        await pool.clear()
        assert pool.freesize == 0
        assert driver.opened[0].closed


async def test_server_that_was_switched_to_replaces_the_connections_to_the_other() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=0, maxsize=3) as pool:
        first = await borrow(pool)
        second = asyncio.create_task(borrow(pool))
        driver.switch_next = True
        other = await second
        assert pool.generation == 1
        pool.release(first)
        pool.release(other)
        assert first.closed
        assert not other.closed
