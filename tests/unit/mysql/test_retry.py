"""Attempts: the deadline of all tries together, and what is taken out of use."""

import asyncio

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.classify import Evict, Intent, Phase
from quart_app.mysql.errors import (
    CommitUnknown,
    ConnectError,
    ConnectionLost,
    DatabaseError,
    PoolTimeout,
    QueryTimeout,
    ReadOnlyServer,
)
from quart_app.mysql.retry import Attempts, evict
from tests.unit.mysql.scripted import POLICY, Scene, scene

LOST = ConnectionLost("", sent=True, errno=2013)
DEMOTED = ReadOnlyServer("", errno=1290)


def now() -> float:
    return asyncio.get_running_loop().time()


def _attempts(play: Scene, *, timeout: float | None = None) -> Attempts:
    return Attempts(play.session.pool, POLICY, intent=Intent.READ, timeout=timeout)


async def _limit(attempts: Attempts) -> float:
    with attempts.limit():
        return (deadline.current() or 0) - now()


async def test_the_deadline_is_the_nearest_of_those_there_are() -> None:
    async with scene() as play:
        assert await _limit(_attempts(play)) == POLICY.timeout
        assert await _limit(_attempts(play, timeout=3)) == 3
        with deadline.within(60):
            assert await _limit(_attempts(play)) == 60
            assert await _limit(_attempts(play, timeout=3)) == 3
        with deadline.within(1):
            assert await _limit(_attempts(play, timeout=3)) == 1


async def test_no_wait_begins_that_the_deadline_would_cut_off() -> None:
    async with scene() as play:
        attempts = _attempts(play, timeout=0)
        attempts.failed(LOST, Phase.STATEMENT)
        with pytest.raises(ConnectionLost):
            await attempts.again()


async def test_a_doubt_that_is_raised_already_is_not_wrapped_again() -> None:
    async with scene() as play:
        attempts = _attempts(play, timeout=5)
        attempts.unknown = True
        doubt = CommitUnknown("", errno=1064)
        attempts.failed(doubt, Phase.STATEMENT)
        with pytest.raises(CommitUnknown) as caught:
            await attempts.again()
        assert caught.value is doubt


def _waited_in_vain_for_a_server() -> PoolTimeout:
    error = PoolTimeout("")
    error.__cause__ = ConnectError("", errno=2003)
    return error


async def _given_up(play: Scene, *errors: DatabaseError, unknown: bool = False) -> DatabaseError:
    """Have *errors* happen in one try each, the last at the deadline; return what is raised."""
    attempts = _attempts(play, timeout=5)
    attempts.unknown = unknown
    for error in errors:
        phase = Phase.ACQUIRE if isinstance(error, PoolTimeout) else Phase.STATEMENT
        attempts.failed(error, phase)
        if error is not errors[-1]:
            await attempts.again()
    await asyncio.sleep(5)
    with pytest.raises(DatabaseError) as caught:
        await attempts.again()
    return caught.value


@pytest.mark.parametrize("last", [PoolTimeout("all busy"), QueryTimeout("too late", sent=False)])
async def test_error_that_only_says_the_time_was_over_gives_way_to_the_one_before(
    last: DatabaseError,
) -> None:
    demoted = ReadOnlyServer("", errno=1290)
    async with scene() as play:
        assert await _given_up(play, LOST, demoted, last) is demoted
    assert demoted.__notes__ == [f"tried again, until: {last}"]


@pytest.mark.parametrize(
    "last", [_waited_in_vain_for_a_server(), QueryTimeout("", sent=True), LOST]
)
async def test_error_that_names_a_cause_of_its_own_is_raised(last: DatabaseError) -> None:
    async with scene() as play:
        assert await _given_up(play, DEMOTED, last) is last


async def test_error_that_only_says_the_time_was_over_is_raised_where_it_is_the_only_one() -> None:
    error = PoolTimeout("all busy")
    async with scene() as play:
        assert await _given_up(play, error) is error
    assert not hasattr(error, "__notes__")


async def test_doubt_names_the_telling_error_too() -> None:
    async with scene() as play:
        doubt = await _given_up(play, LOST, PoolTimeout("all busy"), unknown=True)
    assert isinstance(doubt, CommitUnknown)
    assert (doubt.__cause__, doubt.errno) == (LOST, LOST.errno)


async def test_a_pool_can_be_replaced_without_a_connection_at_hand() -> None:
    async with scene() as play:
        evict(play.session.pool, None, Evict.POOL, LOST)
        assert play.session.pool.stats().generation == 1
        evict(play.session.pool, None, Evict.NOTHING, LOST)
        assert play.session.pool.stats().generation == 1


async def test_trouble_from_before_the_pool_was_replaced_replaces_it_no_more() -> None:
    async with scene() as play:
        pool = play.session.pool
        attempts = _attempts(play)
        pool.invalidate("replaced")
        verdict = attempts.failed(DEMOTED, Phase.STATEMENT)
        assert verdict.evict is Evict.POOL
        assert pool.stats().generation == 1
        attempts.failed(DEMOTED, Phase.STATEMENT)
        assert pool.stats().generation == 2
