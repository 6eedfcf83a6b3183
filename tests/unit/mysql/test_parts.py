"""The pool's smaller parts by themselves."""

import asyncio
import logging
import math
import random
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_app.mysql import leaks, lifetime
from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import ConnectError, PoolClosed
from quart_app.mysql.gate import (
    IDLE_PAUSE_MAX,
    PROBE_PAUSE,
    REFUSED_PAUSE_FIRST,
    REFUSED_PAUSE_MAX,
    ConnectGate,
)
from quart_app.mysql.pool import Pool
from quart_app.mysql.slot import MOVES, Slot, SlotState
from quart_app.mysql.sockets import set_keepalive
from quart_app.mysql.waiters import Waiters, _expire, wait
from tests.support.fake import HANG, FakeDriver, slow
from tests.support.pools import borrow, make_pool, open_pool


def now() -> float:
    return asyncio.get_running_loop().time()


# -- gate ------------------------------------------------------------------------------------------


def gate() -> ConnectGate:
    return ConnectGate(random.Random(0))  # jitter


def test_open_gate_lets_everybody_through() -> None:
    assert all(gate().may_start(0, running=count, wanted=False) for count in range(1000))


def test_one_failure_leaves_one_prober() -> None:
    one = gate()
    one.failed(100, began=100, refused=False)
    assert one.may_start(200, running=0, wanted=True)
    assert not one.may_start(200, running=1, wanted=True)


def test_pause_is_short_while_somebody_waits_and_grows_while_nobody_does() -> None:
    one = gate()
    pauses = []
    for _ in range(12):
        one.failed(100, began=100, refused=False)
        assert one.opens_at(wanted=True) - 100 <= PROBE_PAUSE
        pauses.append(one.opens_at(wanted=False) - 100)
    assert pauses[0] < 0.11
    assert IDLE_PAUSE_MAX * 0.8 <= pauses[-1] <= IDLE_PAUSE_MAX


def test_refusal_is_repeated_seldom_even_if_somebody_waits() -> None:
    one = gate()
    for _ in range(12):
        one.failed(100, began=100, refused=True)
    assert one.opens_at(wanted=True) - 100 >= REFUSED_PAUSE_MAX * 0.8


def test_another_kind_of_failure_begins_anew() -> None:
    one = gate()
    for _ in range(12):
        one.failed(100, began=100, refused=True)
    one.failed(100, began=100, refused=False)
    assert one.opens_at(wanted=False) - 100 < 0.11


def test_connects_that_fail_together_count_once() -> None:
    one = gate()
    for _ in range(10):
        one.failed(100, began=99, refused=True)
    assert one.failures == 1
    assert one.opens_at(wanted=True) - 100 <= REFUSED_PAUSE_FIRST
    one.failed(102, began=101, refused=True)
    assert one.failures == 2


def test_start_after_failures_is_slow_and_then_free() -> None:
    one = gate()
    one.failed(100, began=100, refused=False)
    limits = []
    for _ in range(9):
        one.succeeded()
        limits.append(one.limit)
    assert limits[:6] == [2, 4, 8, 16, 32, 64]
    assert limits[-1] == math.inf
    assert one.may_start(100, running=500, wanted=False)


# -- lifetimes -------------------------------------------------------------------------------------


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


# -- slots -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", SlotState)
@pytest.mark.parametrize("after", SlotState)
def test_slot_makes_the_moves_of_its_table_and_no_other(
    before: SlotState, after: SlotState
) -> None:
    slot = Slot(3)
    slot.state = before
    if after in MOVES[before]:
        slot.move(after)
        assert slot.state is after
    else:
        with pytest.raises(AssertionError, match=f"Slot 3 {before.value}"):
            slot.move(after)


def test_slot_without_a_connection_has_none_to_give() -> None:
    with pytest.raises(AssertionError):
        Slot(0).held()


# -- waiters ---------------------------------------------------------------------------------------


@pytest.mark.row("B")
async def test_waiters_are_served_in_order_and_those_who_left_are_passed_over() -> None:
    waiters = Waiters()
    first, second, third = (waiters.join(first=False) for _ in range(3))
    urgent = waiters.join(first=True)
    first.cancel()
    for slot, waiter in [(Slot(0), urgent), (Slot(1), second), (Slot(2), third)]:
        assert waiters.hand(slot)
        assert waiter.result() is slot
    assert not waiters.hand(Slot(3))
    waiters.leave(third)
    assert len(waiters) == 0


@pytest.mark.row("Q")
async def test_failure_reaches_every_waiter_once() -> None:
    waiters = Waiters()
    gone, there = waiters.join(first=False), waiters.join(first=False)
    gone.cancel()
    waiters.fail(PoolClosed("closed"))
    assert isinstance(there.exception(), PoolClosed)
    assert len(waiters) == 0


@pytest.mark.row("C")
async def test_wait_ends_at_its_time_or_with_a_slot() -> None:
    waiters, began = Waiters(), now()
    with pytest.raises(TimeoutError):
        await wait(waiters.join(first=False), until=began + 2)
    assert now() - began == 2
    waiters = Waiters()
    slot, waiter = Slot(0), waiters.join(first=False)
    asyncio.get_running_loop().call_later(1, waiters.hand, slot)
    assert await wait(waiter, until=now() + 2) is slot
    await asyncio.sleep(5)


# -- sockets ---------------------------------------------------------------------------------------


class Recorder:
    def __init__(self, family: int) -> None:
        self.family = family
        self.options: set[int] = set()

    def setsockopt(self, _: int, option: int, __: int) -> None:
        self.options.add(option)


@pytest.mark.row("E")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_tcp_sockets_notice_a_silent_peer(family: int) -> None:
    recorder = Recorder(family)
    set_keepalive(recorder)  # type: ignore[arg-type]  # a double
    assert socket.SO_KEEPALIVE in recorder.options


@pytest.mark.row("T")
def test_other_sockets_are_left_alone() -> None:
    recorder = Recorder(socket.AF_UNIX)
    set_keepalive(recorder)  # type: ignore[arg-type]  # a double
    set_keepalive(None)
    assert recorder.options == set()


def test_system_without_an_option_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    recorder = Recorder(socket.AF_INET)
    set_keepalive(recorder)  # type: ignore[arg-type]  # a double
    assert len(recorder.options) == 4


# -- leaks -----------------------------------------------------------------------------------------


def borrower(skip: int) -> leaks.Trace:
    return leaks.borrowed_from(skip)


def test_trace_names_the_borrower_and_its_line() -> None:
    text = leaks.readable(borrower(2))
    assert "test_trace_names_the_borrower_and_its_line" in text
    assert "test_parts.py" in text
    assert "line 0" not in text


def test_trace_of_a_shallow_stack_is_short() -> None:
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    for below in range(3):
        assert len(leaks.borrowed_from(depth + 1 - below)) == below + 1


# -- the pool's corners ----------------------------------------------------------------------------


async def test_acquire_is_a_coroutine_that_can_be_driven_by_hand() -> None:
    async with open_pool(FakeDriver()) as pool:
        pool.release(await borrow(pool))
        acquiring = pool.acquire()
        with pytest.raises(StopIteration) as end:
            acquiring.send(None)
        pool.release(end.value.value)
        waiting = pool.acquire()
        connection = await borrow(pool)
        waiting.send(None)
        with pytest.raises(KeyError):
            waiting.throw(KeyError())
        closing = pool.acquire()
        closing.send(None)
        closing.close()
        pool.release(connection)


async def test_ready_means_that_there_is_a_connection() -> None:
    driver = FakeDriver()
    driver.connect_always = slow(1)
    async with open_pool(driver, minsize=1) as pool:
        seen = [pool.ready]
        await pool.wait()
        seen.append(pool.ready)
        assert pool.slot_states() == [SlotState.IDLE]
    assert [*seen, pool.ready] == [False, True, False]


@pytest.mark.row("U")
async def test_rotated_password_is_the_next_connects() -> None:
    pool = Pool(ConnectConfig(password="old"), PoolConfig(minsize=0))
    await pool.open()
    pool.rotate("new")
    assert isinstance(pool.driver, MySQLDriver)
    assert pool.driver.config.password == "new"  # noqa: S105  # no password
    assert pool.generation == 1
    await pool.close()


async def test_upkeep_survives_its_own_faults(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, pool_recycle=10, keepalive=0) as pool:
        await pool.wait()
        with monkeypatch.context() as patch:
            patch.setattr(pool, "idle_slots", lambda: [Slot(99)])
            await asyncio.sleep(3)
        await asyncio.sleep(10)
        assert driver.opened[0].closed, "it goes on"
    assert [r for r in caplog.records if r.levelno == logging.ERROR]


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


def test_connect_error_carries_when_to_try_again() -> None:
    assert ConnectError("x").retry_after == 1.0
    assert ConnectError("x", retry_after=7).retry_after == 7


async def test_waiter_that_was_served_in_time_stays_served() -> None:
    waiters, slot = Waiters(), Slot(0)
    waiter = waiters.join(first=False)
    waiters.hand(slot)
    _expire(waiter)
    assert waiter.result() is slot


async def test_block_that_is_left_twice_gives_back_once() -> None:
    async with open_pool(FakeDriver()) as pool:
        block = pool.acquire()
        await block.__aenter__()
        for _ in range(2):
            await block.__aexit__(None, None, None)
        assert pool.stats().released == 1


async def test_open_pool_is_a_block_too() -> None:
    async with open_pool(FakeDriver()) as pool:
        async with pool as entered:
            assert entered is pool
        assert pool.closed


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
