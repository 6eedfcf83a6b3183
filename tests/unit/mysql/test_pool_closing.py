"""The pool's end: it always comes, and nothing is left."""

import asyncio
from typing import Any

import pytest

from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import ConnectError, PoolClosed
from quart_app.mysql.pool import Pool
from tests.support.fake import HANG, FakeDriver, refused, slow
from tests.support.invariants import assert_closed
from tests.support.pools import borrow, make_pool


def now() -> float:
    return asyncio.get_running_loop().time()


async def opened(driver: FakeDriver, **config: Any) -> Pool:
    return await make_pool(driver, **config).open()


async def test_close_waits_for_borrowers() -> None:
    driver = FakeDriver()
    pool = await opened(driver, maxsize=2)
    connection = await borrow(pool)
    began = now()
    pool.close()
    asyncio.get_running_loop().call_later(1.5, pool.release, connection)
    await pool.wait_closed()
    assert now() - began == 1.5
    assert connection.ended == "quit"
    assert_closed(pool, driver)


@pytest.mark.row("Q")
async def test_close_ends_connections_under_borrowers_that_take_too_long() -> None:
    driver = FakeDriver()
    pool = await opened(driver, close_timeout=2.0)
    connection = await borrow(pool)
    began = now()
    await pool.close()
    assert now() - began == 2.0
    assert connection.ended == "abort"
    assert_closed(pool, driver)
    pool.release(connection)


@pytest.mark.row("Q")
async def test_close_lets_every_waiter_know() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    connection = await borrow(pool)
    waiting = [asyncio.create_task(borrow(pool)) for _ in range(3)]
    await asyncio.sleep(0.5)
    began = now()
    pool.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [PoolClosed] * 3
    assert now() == began
    with pytest.raises(PoolClosed, match="closing"):
        await pool.acquire()
    pool.release(connection)
    await pool.wait_closed()
    assert_closed(pool, driver)


async def test_close_ends_connects_that_hang() -> None:
    driver = FakeDriver(connect_timeout=100)
    driver.connect_always = HANG
    pool = await opened(driver, minsize=3, maxsize=3)
    await asyncio.sleep(1)
    began = now()
    await pool.close()
    assert now() == began
    assert driver.connecting == 0
    assert_closed(pool, driver)


async def test_close_ends_connects_that_have_not_begun() -> None:
    driver = FakeDriver()
    pool = await opened(driver, minsize=3, maxsize=3)
    began = now()
    await pool.close()
    assert now() == began
    assert_closed(pool, driver)


async def test_close_while_the_server_is_down() -> None:
    driver = FakeDriver()
    driver.connect_always = refused()
    pool = await opened(driver, minsize=3, maxsize=3)
    await asyncio.sleep(7)
    began = now()
    await pool.close()
    assert now() == began
    attempts = len(driver.attempted_at)
    await asyncio.sleep(60)
    assert len(driver.attempted_at) == attempts
    assert_closed(pool, driver)


async def test_close_waits_for_a_reset_and_no_longer_than_a_probe_may_take() -> None:
    driver = FakeDriver()
    pool = await opened(driver, probe_timeout=0.5)
    connection = await borrow(pool)
    connection.needs = Condition.DIRTY
    connection.resets.append(HANG)
    pool.release(connection)
    await asyncio.sleep(0)
    began = now()
    await pool.close()
    assert now() - began <= 0.5
    assert_closed(pool, driver)


async def test_close_right_after_a_release_that_needs_a_reset() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    connection = await borrow(pool)
    connection.needs = Condition.DIRTY
    pool.release(connection)
    await pool.close()
    assert_closed(pool, driver)


async def test_terminate_right_after_a_release_that_needs_a_reset() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    connection = await borrow(pool)
    connection.needs = Condition.DIRTY
    pool.release(connection)
    pool.terminate()
    began = now()
    await pool.wait_closed()
    assert now() == began
    assert_closed(pool, driver)


async def test_terminate_while_a_keepalive_ping_is_under_way() -> None:
    driver = FakeDriver()
    driver.probe = HANG
    pool = await opened(driver, minsize=1, keepalive=10)
    await pool.wait()
    while not driver.opened[0].probed_at:  # noqa: ASYNC110  # virtual time
        await asyncio.sleep(0.1)
    pool.terminate()
    began = now()
    await pool.wait_closed()
    assert now() == began
    assert_closed(pool, driver)


async def test_close_waits_for_kills() -> None:
    driver = FakeDriver()
    driver.kill_always = slow(0.5)
    pool = await opened(driver)
    connection = await borrow(pool)
    task = asyncio.create_task(connection.work(slow(100)))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    pool.release(connection)
    await pool.close()
    assert driver.killed == [connection]
    assert_closed(pool, driver)


async def test_close_ends_kills_that_hang() -> None:
    driver = FakeDriver()
    driver.kill_always = HANG
    pool = await opened(driver, close_timeout=1)
    connection = await borrow(pool)
    task = asyncio.create_task(connection.work(slow(100)))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    pool.release(connection)
    began = now()
    await pool.close()
    assert now() - began <= 4
    assert_closed(pool, driver)


async def test_close_is_idempotent_and_may_be_awaited_by_several() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    connection = await borrow(pool)
    asyncio.get_running_loop().call_later(1, pool.release, connection)
    await asyncio.gather(pool.close(), pool.close(), pool.wait_closed())
    await pool.close()
    await pool.wait_closed()
    assert_closed(pool, driver)


async def test_close_of_a_pool_that_was_never_opened() -> None:
    driver = FakeDriver()
    pool = make_pool(driver)
    await pool.close()
    assert_closed(pool, driver)


async def test_wait_closed_before_close_raises() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    with pytest.raises(RuntimeError, match="after"):
        await pool.wait_closed()
    await pool.close()


@pytest.mark.row("Q")
async def test_cancelled_close_terminates_at_once() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    connection = await borrow(pool)
    pool.close()
    task = asyncio.create_task(pool.wait_closed())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert connection.ended == "abort"
    assert_closed(pool, driver)


async def test_hand_off_under_way_at_close_is_not_lost() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    connection = await borrow(pool)
    waiter = asyncio.create_task(borrow(pool))
    await asyncio.sleep(0)
    pool.release(connection)
    pool.terminate()
    result = (await asyncio.gather(waiter, return_exceptions=True))[0]
    if not isinstance(result, BaseException):
        pool.release(result)
    await pool.wait_closed()
    assert_closed(pool, driver)


async def test_probe_under_way_at_close_lends_nothing_of_a_closed_pool() -> None:
    driver = FakeDriver()
    driver.probe = slow(0.5)
    pool = await opened(driver, keepalive=0)
    pool.release(await borrow(pool))
    await asyncio.sleep(5)
    waiter = asyncio.create_task(borrow(pool))
    await asyncio.sleep(0.1)
    await pool.close()
    with pytest.raises(PoolClosed):
        await waiter
    assert_closed(pool, driver)


async def test_wait_for_the_minimum_ends_when_the_pool_closes() -> None:
    driver = FakeDriver(connect_timeout=100)
    driver.connect_always = HANG
    pool = await opened(driver, minsize=1)
    task = asyncio.create_task(pool.wait())
    await asyncio.sleep(0.1)
    await pool.close()
    with pytest.raises((PoolClosed, ConnectError)):
        await task


class Stubborn(FakeDriver):
    """Cannot be cancelled while it connects."""

    async def connect(self) -> Connection:
        opening = asyncio.ensure_future(super().connect())
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            return await opening


async def test_connection_that_arrives_while_closing_is_closed() -> None:
    driver = Stubborn()
    driver.connect_always = slow(0.5)
    pool = await opened(driver, minsize=1)
    await asyncio.sleep(0.1)
    await pool.close()
    await asyncio.sleep(1)
    assert len(driver.opened) == 1
    assert_closed(pool, driver)


async def test_closed_pool_answers_no_questions() -> None:
    driver = FakeDriver()
    pool = await opened(driver)
    await pool.close()
    for question in (pool.check(), pool.wait()):
        with pytest.raises(PoolClosed):
            await question
