"""What the pool does by itself: replace, ping, refill, recover, resize; and what it tells."""

import asyncio
import gc
import itertools
import logging

import pytest

from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import AccessDenied, ConnectionLost, PoolTimeout
from quart_app.mysql.observer import Observer
from quart_app.mysql.pool import Pool
from tests.support.fake import HANG, FakeDriver, fail, refused, slow
from tests.support.invariants import assert_consistent
from tests.support.pools import borrow, open_pool


def now() -> float:
    return asyncio.get_running_loop().time()


async def use(pool: Pool, seconds: float = 0.0) -> None:
    async with pool.acquire():
        await asyncio.sleep(seconds)


# -- death -----------------------------------------------------------------------------------------


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
        await asyncio.gather(*(use(pool) for _ in range(20)))
        assert not {*driver.open} & {*driver.opened[:8]}


async def test_silent_connections_are_found_by_one_ping_and_all_replaced() -> None:
    driver = FakeDriver()
    async with open_pool(driver, maxsize=5, keepalive=0, probe_timeout=0.5) as pool:
        connections = [await borrow(pool) for _ in range(5)]
        for connection in connections:
            pool.release(connection)
        driver.probe = HANG
        await asyncio.sleep(30)
        began = now()
        await use(pool)
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


# -- ping at checkout ------------------------------------------------------------------------------


async def test_connection_used_within_a_second_is_not_pinged() -> None:
    driver = FakeDriver()
    async with open_pool(driver, keepalive=0) as pool:
        for _ in range(5):
            await use(pool)
            await asyncio.sleep(0.9)
        assert driver.opened[0].probed_at == []


async def test_connection_idle_for_longer_is_pinged_once() -> None:
    driver = FakeDriver()
    async with open_pool(driver, keepalive=0) as pool:
        await use(pool)
        await asyncio.sleep(1.5)
        await use(pool)
        await use(pool)
        assert len(driver.opened[0].probed_at) == 1
        assert pool.stats().pings == 1


# -- age -------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("allowed", [0, 0.5])
async def test_idle_time_of_less_than_a_second_is_judged_at_checkout_only(allowed: float) -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, pool_recycle=allowed, keepalive=0) as pool:
        await pool.wait()
        await asyncio.sleep(60)
        assert len(driver.opened) == 1, "the minimum is not made anew all day"
        await use(pool)
        assert driver.opened[0].closed
        assert len(driver.opened) == 2


async def test_no_idle_time_at_all_ends_no_connection_before_its_first_borrower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = FakeDriver()
    async with open_pool(driver, pool_recycle=0, keepalive=0) as pool:
        ticks = itertools.count()
        monkeypatch.setattr(pool, "time", lambda: pool._loop.time() + next(ticks) / 1e6)
        await use(pool)
        assert len(driver.opened) == 1


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
        await use(pool, 100)
        await asyncio.sleep(20)
        await use(pool)
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
        await use(pool, 20)
        assert driver.opened[0].closed
        assert pool.stats().evictions == {"max_lifetime": 1}


async def test_keepalive_visits_every_idle_connection() -> None:
    driver = FakeDriver()
    async with open_pool(
        driver, minsize=6, maxsize=6, keepalive=60, pool_recycle=-1, max_lifetime=0
    ) as pool:
        await pool.wait()
        await asyncio.sleep(600)
        for connection in driver.opened:
            assert 9 <= len(connection.probed_at) <= 11
        assert len(driver.opened) == 6


async def test_keepalive_replaces_what_does_not_answer() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=3, maxsize=3, keepalive=20, pool_recycle=-1) as pool:
        await pool.wait()
        driver.probe = HANG
        await asyncio.sleep(30)
        assert all(connection.closed for connection in driver.opened[:3])
        assert pool.size == 3


async def test_keepalive_does_not_make_an_idle_connection_look_used() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, keepalive=10, pool_recycle=35) as pool:
        await pool.wait()
        await asyncio.sleep(40)
        assert driver.opened[0].closed


# -- refilling -------------------------------------------------------------------------------------


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


# -- drain, resize, check --------------------------------------------------------------------------


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
        await use(pool)
        await pool.clear()
        assert pool.freesize == 0
        assert driver.opened[0].closed


async def test_clear_ends_what_is_being_reset_once_it_is() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, maxsize=2) as pool:
        async with pool.acquire() as connection:
            driver.opened[0].needs = Condition.DIRTY
        await pool.clear()
        await asyncio.sleep(0.1)
        assert connection.closed
        assert pool.freesize == 1, "the minimum is there again"


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


# -- leaks -----------------------------------------------------------------------------------------


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
        await use(pool, 2)
    assert observer.events[0].startswith("failed in 0.5")
    assert observer.events[1] == "connected in 1"
    assert observer.events[2].startswith("acquired after 1.5")
    assert observer.events[3:] == ["released after 2", "evicted: closed"]


async def test_stats_count_and_time_everything() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(0.5)
    async with open_pool(driver, name="cities", maxsize=2) as pool:
        await asyncio.gather(use(pool, 1), use(pool, 1), use(pool, 1))
        stats = pool.stats()
        assert (stats.name, stats.minsize, stats.maxsize) == ("cities", 0, 2)
        assert (stats.total, stats.active, stats.idle, stats.waiting) == (2, 0, 2, 0)
        assert (stats.acquired, stats.released, stats.connects) == (3, 3, 2)
        assert stats.connect_seconds == 1.0
        assert stats.usage_seconds == 3.0
        assert stats.wait_seconds == 0.5 + 0.5 + 1.5
        assert stats.waited == 3
        assert stats.last_failure is None


async def test_blocked_loop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with open_pool(FakeDriver()):
        await asyncio.sleep(0.5)
        loop = asyncio.get_running_loop()
        loop._now += 5  # type: ignore[attr-defined]  # as if a callback had taken 5 s
        await asyncio.sleep(1)
    assert "blocked" in caplog.text
