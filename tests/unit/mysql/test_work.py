"""run(): the whole transaction again, and again only where that is safe."""

import asyncio

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import (
    CommitUnknown,
    ConnectionLost,
    IntegrityError,
    LockWaitTimeout,
    PoolTimeout,
    QueryError,
)
from tests.support import wire
from tests.support.server import Peer, Reaction, hang_up, last_words, refuse, reset, say_nothing
from tests.unit.mysql.scripted import Scene, scene
from tests.unit.mysql.test_transaction import deadlock

ONCE = ["BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"]


class _Work:
    """Inserts a row; counts how often."""

    def __init__(self, play: Scene) -> None:
        self.play = play
        self.times = 0

    async def __call__(self, connection: Connection) -> int:
        assert connection.in_transaction
        self.times += 1
        await self.play.session.execute("INSERT INTO t VALUES (1)")
        return self.times


async def test_work_that_succeeds_is_done_once() -> None:
    async with scene() as play:
        assert await play.session.run(_Work(play), idempotent=False) == 1
        assert play.work == ONCE


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("phase", ["BEGIN", "INSERT"])
@pytest.mark.parametrize("loss", [hang_up, reset, last_words(4031), refuse(1053)])
async def test_a_loss_before_commit_repeats_all_of_it(
    loss: Reaction, phase: str, *, idempotent: bool
) -> None:
    async with scene() as play:
        play.server.react(phase, loss, times=1)
        await play.session.run(_Work(play), idempotent=idempotent)
        assert play.work[-3:] == ONCE
        assert play.work.count("COMMIT") == 1
        assert len(play.server.peers) == 2


@pytest.mark.parametrize("errno", [1205, 1020, 3100, 3101, 1047, 1836])
async def test_a_conflict_repeats_all_of_it(errno: int) -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(errno), times=1)
        await play.session.run(_Work(play), idempotent=False)
        assert play.work[-3:] == ONCE
        assert play.work.count("COMMIT") == 1


async def test_a_lock_wait_timeout_is_rolled_back_first() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1205), times=1)
        await play.session.run(_Work(play), idempotent=False)
        assert play.work == ["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK", *ONCE]
        assert len(play.server.peers) == 1


async def test_deadlocks_are_repeated_with_growing_waits() -> None:
    async with scene() as play:
        play.server.react("INSERT", deadlock, times=3)
        assert await play.session.run(_Work(play), idempotent=False) == 4
        assert [seen[:3] for seen in play.retries.seen] == [
            ("statement", 2, 0.1),
            ("statement", 3, 0.2),
            ("statement", 4, 0.4),
        ]


async def test_a_conflict_that_stays_is_raised_at_the_timeout() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1205))
        began = asyncio.get_running_loop().time()
        with pytest.raises(LockWaitTimeout):
            await play.session.run(_Work(play), idempotent=True, timeout=3)
        assert asyncio.get_running_loop().time() - began <= 3


@pytest.mark.parametrize("refusal", [deadlock, refuse(3101), refuse(1047)])
async def test_a_refused_commit_repeats_all_of_it(refusal: Reaction) -> None:
    async with scene() as play:
        play.server.react("COMMIT", refusal, times=1)
        await play.session.run(_Work(play), idempotent=False)
        assert play.work[-3:] == ONCE


@pytest.mark.parametrize("loss", [hang_up, reset, refuse(1053), refuse(1180), refuse(1317)])
async def test_a_lost_commit_is_not_repeated(loss: Reaction) -> None:
    async with scene() as play:
        play.server.react("COMMIT", loss)
        with pytest.raises(CommitUnknown):
            await play.session.run(_Work(play), idempotent=False)
        assert play.work == ONCE


@pytest.mark.parametrize("loss", [hang_up, reset, refuse(1053), refuse(1180)])
async def test_a_lost_commit_of_idempotent_work_is_repeated(loss: Reaction) -> None:
    async with scene() as play:
        play.server.react("COMMIT", loss, times=1)
        await play.session.run(_Work(play), idempotent=True)
        assert play.work == ONCE * 2


async def test_a_commit_proven_not_executed_is_repeated() -> None:
    async with scene() as play:
        play.server.react("COMMIT", last_words(4031), times=1)
        await play.session.run(_Work(play), idempotent=False)
        assert play.work == ONCE * 2


async def test_an_unresolved_commit_stays_unknown_whatever_fails_later() -> None:
    async with scene(acquire_timeout=1.0) as play:
        play.server.react("COMMIT", hang_up, times=1)
        play.server.react("BEGIN", refuse(1064))
        play.server.react("BEGIN", _ok, times=1)
        with pytest.raises(CommitUnknown) as caught:
            await play.session.run(_Work(play), idempotent=True)
        assert isinstance(caught.value.__cause__, QueryError)


async def _ok(peer: Peer) -> None:
    peer.in_transaction = True
    await peer.send(wire.ok(status=peer.status))


async def test_a_silent_commit_is_resolved_by_another_try_within_the_deadline() -> None:
    async with scene(statement_timeout=4.0) as play:
        play.server.react("COMMIT", say_nothing, times=1)
        with deadline.within(10.0):
            assert await play.session.run(_Work(play), idempotent=True) == 2


async def test_an_error_of_the_work_is_rolled_back_and_raised() -> None:
    async with scene() as play:

        async def work(connection: Connection) -> None:
            await connection.run("INSERT INTO t VALUES (1)")
            raise KeyError

        with pytest.raises(KeyError):
            await play.session.run(work, idempotent=True)
        assert play.work == ["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK"]


async def test_an_integrity_error_is_not_repeated() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1062))
        with pytest.raises(IntegrityError):
            await play.session.run(_Work(play), idempotent=True)
        assert play.work == ["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK"]


async def test_raw_cursors_in_the_work_are_understood_too() -> None:
    async with scene() as play:

        async def work(connection: Connection) -> None:
            async with connection.cursor() as cursor:
                await cursor.execute("INSERT INTO t VALUES (1)")

        play.server.react("INSERT", hang_up, times=1)
        await play.session.run(work, idempotent=False)
        assert play.work.count("COMMIT") == 1
        play.server.react("INSERT", hang_up)
        with pytest.raises(ConnectionLost):
            await play.session.run(work, idempotent=False, timeout=1)


async def test_within_a_transaction_it_is_a_savepoint_and_done_once() -> None:
    async with scene() as play:
        play.server.react("INSERT", deadlock)
        work = _Work(play)
        with pytest.raises(QueryError):
            async with play.session.transaction():
                with pytest.raises(Exception, match="1213"):
                    await play.session.run(work, idempotent=True)
        assert work.times == 1


async def test_cancelled_work_is_abandoned() -> None:
    async with scene() as play:
        play.server.react("INSERT", say_nothing)
        task = asyncio.create_task(play.session.run(_Work(play), idempotent=True))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "COMMIT" not in play.work


async def test_no_connection_means_no_work() -> None:
    async with scene(maxsize=1, acquire_timeout=1) as play:
        work = _Work(play)
        async with play.session.connection():
            other = asyncio.create_task(play.session.run(work, idempotent=True))
            with pytest.raises(PoolTimeout):
                await other
        assert work.times == 0
