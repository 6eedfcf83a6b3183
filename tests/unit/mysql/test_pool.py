"""The pool's lending: order, deadlines, limits, hand-off."""

import asyncio

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.driver import Condition
from quart_app.mysql.errors import (
    AccessDenied,
    ConnectError,
    PoolClosed,
    PoolTimeout,
    QueryTimeout,
    TooManyRequests,
)
from quart_app.mysql.pool import Pool
from tests.support.fake import HANG, FakeConnection, FakeDriver, Outcome, fail, refused, slow
from tests.support.invariants import assert_closed, assert_consistent, assert_healthy
from tests.support.pools import borrow, make_pool, open_pool


def now() -> float:
    return asyncio.get_running_loop().time()


async def hold(pool: Pool, seconds: float) -> FakeConnection:
    async with pool.acquire() as connection:
        await asyncio.sleep(seconds)
    assert isinstance(connection, FakeConnection)
    return connection


async def test_free_connection_is_lent_without_waiting_for_anything() -> None:
    driver = FakeDriver()
    async with open_pool(driver) as pool:
        await hold(pool, 0)
        acquiring = pool.acquire().__await__()
        with pytest.raises(StopIteration) as end:
            next(acquiring)
        pool.release(end.value.value)
        assert len(driver.opened) == 1


async def test_connection_used_last_is_lent_first() -> None:
    async with open_pool(FakeDriver(), maxsize=3) as pool:
        connections = [await borrow(pool) for _ in range(3)]
        for connection in connections:
            pool.release(connection)
        lent = [await borrow(pool) for _ in range(3)]
        assert lent == connections[::-1]
        for connection in lent:
            pool.release(connection)


async def test_ten_thousand_waiters_on_eight_connections_are_served_in_order() -> None:
    driver, served = FakeDriver(), []

    async def want(number: int, pool: Pool) -> None:
        async with pool.acquire(timeout=1e6):
            served.append(number)
            await asyncio.sleep(0.001)

    async with open_pool(driver, maxsize=8, max_waiting=10_000, max_lifetime=0) as pool:
        await asyncio.gather(*(want(number, pool) for number in range(10_000)))
        assert served == list(range(10_000))
        assert len(driver.opened) == 8


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


@pytest.mark.row("A")
async def test_acquires_are_served_while_another_connect_hangs() -> None:
    driver = FakeDriver()
    driver.connects.extend([HANG])
    async with open_pool(driver, maxsize=3) as pool:
        began = now()
        first = asyncio.create_task(borrow(pool))
        second = asyncio.create_task(borrow(pool))
        done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        assert now() == began
        pool.release(done.pop().result())
        await asyncio.wait({first, second})
        assert now() == began, "the one that came back serves the one that waits"
        pool.release(next(task.result() for task in (first, second) if task not in done))


async def test_waiter_gets_a_connection_that_is_released() -> None:
    driver = FakeDriver()
    async with open_pool(driver) as pool:
        began = now()
        first, second = await asyncio.gather(hold(pool, 1), hold(pool, 1))
        assert first is second
        assert now() - began == 2


@pytest.mark.row("B")
async def test_waiter_gets_a_new_connection_when_a_broken_one_is_released() -> None:
    driver = FakeDriver()
    async with open_pool(driver) as pool:
        connection = await borrow(pool)
        waiter = asyncio.create_task(borrow(pool))
        await asyncio.sleep(0)
        connection.die()
        pool.release(connection)
        replacement = await waiter
        assert replacement is not connection
        pool.release(replacement)


@pytest.mark.row("C")
@pytest.mark.parametrize("timeout", [0.25, 4.0])
async def test_acquire_raises_at_its_deadline_while_connections_are_out(timeout: float) -> None:
    async with open_pool(FakeDriver(), name="cities") as pool:
        connection = await borrow(pool)
        began = now()
        with pytest.raises(PoolTimeout, match=r"'cities'.*total=1, active=1, idle=0") as caught:
            await pool.acquire(timeout=timeout)
        assert now() - began == timeout
        assert caught.value.retry_after == 1.0
        assert isinstance(caught.value, TimeoutError)
        pool.release(connection)
        assert pool.stats().timeouts == 1


@pytest.mark.row("A")
async def test_acquire_raises_at_its_deadline_while_connects_hang() -> None:
    driver = FakeDriver(connect_timeout=100)
    driver.connect_always = HANG
    async with open_pool(driver, maxsize=3, acquire_timeout=2) as pool:
        began = now()
        with pytest.raises(PoolTimeout):
            await pool.acquire()
        assert now() - began == 2


async def test_acquire_raises_at_its_deadline_while_a_probe_hangs() -> None:
    driver = FakeDriver()
    driver.probe, driver.connect_always = HANG, slow(50)
    driver.connects.append(slow(0))
    async with open_pool(driver, keepalive=0, acquire_timeout=2, probe_timeout=60) as pool:
        await hold(pool, 0)
        await asyncio.sleep(5)
        began = now()
        with pytest.raises(PoolTimeout):
            await pool.acquire()
        assert now() - began == 2


async def test_ambient_deadline_bounds_acquire() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        began = now()
        with pytest.raises(PoolTimeout), deadline.within(0.5):
            await pool.acquire(timeout=3)
        assert now() - began == 0.5
        pool.release(connection)


async def test_timeout_of_zero_means_now_or_never() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        began = now()
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0)
        assert now() == began
        pool.release(connection)


async def test_timeout_tells_the_last_connect_failure() -> None:
    driver = FakeDriver()
    driver.connect_always = refused()
    async with open_pool(driver, acquire_timeout=1) as pool:
        with pytest.raises(PoolTimeout, match="connection refused") as caught:
            await pool.acquire()
        assert isinstance(caught.value.__cause__, ConnectError)
        assert caught.value.__cause__.errno == 2003


@pytest.mark.row("C")
async def test_timeout_tells_the_limit_that_was_reached() -> None:
    async with open_pool(FakeDriver(), acquire_timeout=5) as pool, pool.acquire():
        with pytest.raises(PoolTimeout, match=r"after 5\.00 s \(limit 5 s"):
            await pool.acquire()
        with pytest.raises(PoolTimeout, match=r"after 0\.25 s \(limit 0\.25 s"):
            await pool.acquire(timeout=0.25)
        with deadline.within(0.75), pytest.raises(PoolTimeout, match=r"\(limit 0\.75 s"):
            await pool.acquire()


@pytest.mark.row("C")
async def test_full_queue_turns_callers_away_at_once() -> None:
    async with open_pool(FakeDriver(), max_waiting=2) as pool:
        connection = await borrow(pool)
        waiting = [asyncio.create_task(borrow(pool)) for _ in range(2)]
        await asyncio.sleep(0)
        began = now()
        with pytest.raises(TooManyRequests, match="waiting=2") as caught:
            await pool.acquire()
        assert now() == began
        assert caught.value.retry_after == 1.0
        assert pool.stats().rejected == 1
        pool.release(connection)
        for task in waiting:
            pool.release(await task)


async def test_waiter_that_gave_up_makes_room_in_the_queue() -> None:
    async with open_pool(FakeDriver(), max_waiting=1) as pool:
        connection = await borrow(pool)
        for _ in range(3):
            with pytest.raises(PoolTimeout):
                await pool.acquire(timeout=0.1)
        pool.release(connection)


async def test_refused_account_fails_every_waiter_at_once() -> None:
    driver = FakeDriver()
    driver.connect_always = fail(AccessDenied("no", errno=1045), delay=0.5)
    async with open_pool(driver, maxsize=4) as pool:
        began = now()
        results = await asyncio.gather(*(borrow(pool) for _ in range(9)), return_exceptions=True)
        assert [type(result) for result in results] == [AccessDenied] * 9
        assert now() - began == 0.5
        with pytest.raises(AccessDenied):
            await pool.acquire()
        assert now() - began == 0.5, "the server is not asked again at once"


async def test_server_that_refused_many_at_once_is_asked_again_within_a_second() -> None:
    driver = FakeDriver()
    driver.connects.extend([fail(AccessDenied("no", errno=1045), delay=0.5)] * 10)
    async with open_pool(driver, maxsize=10) as pool:
        await asyncio.gather(*(borrow(pool) for _ in range(10)), return_exceptions=True)
        await asyncio.sleep(1.0)
        pool.release(await pool.acquire())
        assert len(driver.attempted_at) == 11


@pytest.mark.row("B")
async def test_connection_is_lent_again_after_failures_end() -> None:
    driver = FakeDriver()
    driver.connects.extend([refused()] * 5)
    async with open_pool(driver) as pool:
        await hold(pool, 0)
        assert len(driver.attempted_at) == 6


async def test_release_of_a_stranger_raises() -> None:
    driver = FakeDriver()
    async with open_pool(driver) as pool:
        with pytest.raises(ValueError, match="not on loan"):
            pool.release(FakeConnection(driver, 99))
        connection = await borrow(pool)
        pool.release(connection)
        with pytest.raises(ValueError, match="not on loan"):
            pool.release(connection)


async def test_exception_in_the_block_gives_the_connection_back() -> None:
    async with open_pool(FakeDriver()) as pool:
        with pytest.raises(KeyError):
            async with pool.acquire():
                raise KeyError
        assert pool.freesize == 1


async def test_acquire_that_is_never_awaited_costs_nothing() -> None:
    async with open_pool(FakeDriver()) as pool:
        pool.acquire()
        pool.acquire().close()
        assert pool.stats().acquired == 0
        task = asyncio.create_task(pool.acquire())
        pool.release(await task)


@pytest.mark.row("B")
async def test_slot_is_not_lost_when_a_connection_dies_between_hand_off_and_turn() -> None:
    driver = FakeDriver()
    async with open_pool(driver) as pool:
        connection = await borrow(pool)
        waiter = asyncio.create_task(borrow(pool))
        await asyncio.sleep(0)
        pool.release(connection)
        connection.die()
        replacement = await waiter
        assert replacement is not connection
        assert replacement.is_alive()
        pool.release(replacement)


@pytest.mark.row("B")
async def test_cancelled_waiter_gives_its_hand_off_to_the_next() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        first, second = (asyncio.create_task(borrow(pool)) for _ in range(2))
        await asyncio.sleep(0)
        pool.release(connection)
        first.cancel()
        assert await second is connection
        assert first.cancelled()
        pool.release(connection)


async def test_unlimited_pool_opens_as_many_as_are_wanted() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=0) as pool:
        connections = [await borrow(pool) for _ in range(50)]
        assert pool.maxsize is None
        assert pool.size == 50
        for connection in connections:
            pool.release(connection)
        assert len(driver.open) == 50


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


@pytest.mark.row("M")
async def test_connection_may_not_be_used_after_release() -> None:
    async with open_pool(FakeDriver()) as pool:
        connection = await borrow(pool)
        assert not connection.returned
        pool.release(connection)
        assert connection.returned


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


async def test_state_is_readable() -> None:
    async with open_pool(FakeDriver(), name="cities", maxsize=2) as pool:
        assert repr(pool) == "<Pool 'cities' open total=0, active=0, idle=0, waiting=0>"
        connection = await borrow(pool)
        assert repr(pool) == "<Pool 'cities' open total=1, active=1, idle=0, waiting=0>"
        assert_consistent(pool)
        pool.release(connection)
    assert repr(pool) == "<Pool 'cities' closed total=0, active=0, idle=0, waiting=0>"


async def test_caller_for_whom_there_is_room_does_not_count_as_queueing() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(0.5)
    async with open_pool(driver, maxsize=4, max_waiting=1) as pool:
        results = await asyncio.gather(*(borrow(pool) for _ in range(6)), return_exceptions=True)
        assert [type(result) for result in results] == [FakeConnection] * 4 + [
            PoolTimeout,
            TooManyRequests,
        ]
        for connection in results[:4]:
            assert isinstance(connection, FakeConnection)
            pool.release(connection)


async def test_caller_handed_a_dead_connection_takes_an_idle_one_before_it_waits_again() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=2) as pool:
        first, second = await borrow(pool), await borrow(pool)
        waiter = asyncio.create_task(borrow(pool))
        await asyncio.sleep(0)
        pool.release(first)  # handed to the waiter
        first.die()
        pool.release(second)  # idle: nobody waits at this moment
        assert await waiter is second
        pool.release(second)
