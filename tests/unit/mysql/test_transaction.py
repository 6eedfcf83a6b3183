"""Transactions: how they end, savepoints, and what a lost COMMIT says."""

import asyncio

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.errors import (
    CommitUnknown,
    ConnectionLost,
    Deadlock,
    QueryError,
    ReadOnlyServer,
)
from quart_app.mysql.transaction import Isolation, Transaction, TransactionState
from tests.support import wire
from tests.support.server import Peer, Reaction, hang_up, refuse, reset, say_nothing
from tests.unit.mysql.scripted import Scene, scene


async def _insert(play: Scene, value: int = 1) -> None:
    await play.session.execute("INSERT INTO t VALUES (%s)", (value,))


async def deadlock(peer: Peer) -> None:
    """What a server does: it rolls back, then says so."""
    peer.in_transaction = False
    await peer.send(wire.error(1213))


async def test_success_commits() -> None:
    async with scene() as play:
        async with play.session.transaction():
            await _insert(play)
        assert play.work == ["BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"]


async def test_an_error_rolls_back_and_keeps_the_connection() -> None:
    async with scene() as play:
        with pytest.raises(KeyError):
            async with play.session.transaction():
                await _insert(play)
                raise KeyError
        assert play.work[-1] == "ROLLBACK"
        await play.session.fetch_val("SELECT 1")
        assert len(play.server.peers) == 1


async def test_isolation_and_readonly_are_said_first() -> None:
    async with scene() as play:
        async with play.session.transaction(isolation=Isolation.SERIALIZABLE, readonly=True):
            await play.session.fetch_val("SELECT 1")
        assert play.work == [
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "START TRANSACTION READ ONLY",
            "SELECT 1",
            "COMMIT",
        ]


async def test_in_a_held_connection_the_transaction_is_on_it() -> None:
    async with scene() as play:
        async with play.session.connection() as outer, play.session.transaction() as inner:
            assert inner is outer
        with pytest.raises(KeyError):
            async with play.session.connection(), play.session.transaction():
                raise KeyError
        assert play.work == ["BEGIN", "COMMIT", "BEGIN", "ROLLBACK"]


async def test_a_cancelled_block_waits_for_nothing_and_commits_nothing() -> None:
    async with scene() as play:

        async def block() -> None:
            async with play.session.transaction():
                await _insert(play)
                await asyncio.sleep(60)

        task = asyncio.create_task(block())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "COMMIT" not in play.work
        assert "ROLLBACK" not in play.work
        assert play.session.pool.stats().evictions == {"transaction abandoned": 1}


async def test_past_the_deadline_nothing_is_committed_and_nothing_waited_for() -> None:
    async with scene() as play:
        with pytest.raises(TimeoutError), deadline.within(1):
            async with play.session.transaction():
                await _insert(play)
                await asyncio.sleep(2)
        assert "COMMIT" not in play.work


async def test_a_rollback_without_answer_costs_a_second_and_the_connection() -> None:
    async with scene() as play:
        play.server.react("ROLLBACK", say_nothing)
        began = asyncio.get_running_loop().time()
        with pytest.raises(KeyError):
            async with play.session.transaction():
                raise KeyError
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.0)
        assert play.session.pool.stats().total == 0


async def test_a_lost_begin_is_sent_again() -> None:
    async with scene() as play:
        play.server.react("BEGIN", hang_up, times=1)
        async with play.session.transaction():
            await _insert(play)
        assert play.work == ["BEGIN", "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"]
        assert play.retries.seen == [("begin", 2, 0.0, 2013)]


async def test_a_cancelled_begin_gives_its_connection_back() -> None:
    async with scene() as play:
        play.server.react("BEGIN", say_nothing)

        async def block() -> None:
            async with play.session.transaction():
                raise AssertionError("unreachable")

        task = asyncio.create_task(block())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert play.session.pool.stats().active == 0


@pytest.mark.parametrize("loss", [hang_up, reset, refuse(1053), refuse(1180), refuse(1317)])
async def test_a_lost_commit_is_unknown_and_never_sent_again(loss: Reaction) -> None:
    async with scene() as play:
        play.server.react("COMMIT", loss)
        with pytest.raises(CommitUnknown):
            async with play.session.transaction():
                await _insert(play)
        assert play.work.count("COMMIT") == 1
        assert play.session.pool.stats().total == 0


async def test_a_silent_commit_is_unknown_at_the_deadline() -> None:
    async with scene() as play:
        play.server.react("COMMIT", say_nothing)
        with pytest.raises(CommitUnknown), deadline.within(2):
            async with play.session.transaction():
                await _insert(play)


async def test_a_commit_cancelled_on_its_way_leaves_the_connection_to_be_closed() -> None:
    async with scene() as play:
        play.server.react("COMMIT", say_nothing)

        async def block() -> None:
            async with play.session.transaction():
                await _insert(play)

        task = asyncio.create_task(block())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert play.session.pool.stats().total == 0


async def test_a_refused_commit_is_rolled_back_and_known_to_be() -> None:
    async with scene() as play:
        play.server.react("COMMIT", refuse(1290, message="--super-read-only"))
        with pytest.raises(ReadOnlyServer):
            async with play.session.transaction():
                await _insert(play)
        assert play.work[-2:] == ["COMMIT", "ROLLBACK"]


async def test_a_lost_commit_of_a_reading_transaction_loses_nothing() -> None:
    async with scene() as play:
        play.server.react("COMMIT", hang_up)
        with pytest.raises(ConnectionLost):
            async with play.session.transaction(readonly=True):
                await play.session.fetch_val("SELECT 1")


async def test_after_a_deadlock_nothing_runs_outside_the_transaction() -> None:
    async with scene() as play:
        play.server.react("INSERT INTO t VALUES .1", deadlock)
        with pytest.raises(QueryError, match="not open any more"):
            async with play.session.transaction():
                with pytest.raises(Deadlock):
                    await _insert(play, 1)
                await _insert(play, 2)
        assert "INSERT INTO t VALUES (2)" not in play.work
        assert "COMMIT" not in play.work


async def test_a_swallowed_deadlock_does_not_pass_for_a_commit() -> None:
    async with scene() as play:
        play.server.react("INSERT", deadlock)
        with pytest.raises(QueryError, match="not open any more"):
            async with play.session.transaction():
                with pytest.raises(Deadlock):
                    await _insert(play)
        assert "COMMIT" not in play.work


async def test_a_swallowed_loss_does_not_pass_for_a_commit() -> None:
    async with scene() as play:
        play.server.react("INSERT", hang_up)
        with pytest.raises(ConnectionLost) as caught:
            async with play.session.transaction():
                with pytest.raises(ConnectionLost):
                    await _insert(play)
        assert not caught.value.sent


async def test_nested_is_a_savepoint() -> None:
    async with scene() as play:
        async with play.session.transaction():
            async with play.session.transaction():
                await _insert(play, 1)
            with pytest.raises(KeyError):
                async with play.session.transaction(), play.session.transaction():
                    raise KeyError
        assert play.work == [
            "BEGIN",
            "SAVEPOINT quart_app_1",
            "INSERT INTO t VALUES (1)",
            "RELEASE SAVEPOINT quart_app_1",
            "SAVEPOINT quart_app_1",
            "SAVEPOINT quart_app_2",
            "ROLLBACK TO SAVEPOINT quart_app_2",
            "ROLLBACK TO SAVEPOINT quart_app_1",
            "COMMIT",
        ]


async def test_a_savepoint_has_no_isolation_of_its_own() -> None:
    async with scene() as play:
        with pytest.raises(ValueError, match="isolation"):
            async with play.session.transaction(), play.session.transaction(readonly=True):
                raise AssertionError("unreachable")


async def test_a_transaction_begun_by_hand_gets_savepoints_not_an_implicit_commit() -> None:
    async with scene() as play:
        async with play.session.connection() as connection:
            await connection.begin()
            async with play.session.transaction():
                await _insert(play)
            await connection.rollback()
        assert "COMMIT" not in play.work
        assert play.work.count("BEGIN") == 1


async def test_a_deadlock_in_a_savepoint_ends_the_outer_block_too() -> None:
    async with scene() as play:
        play.server.react("INSERT", deadlock)
        with pytest.raises(QueryError):
            async with play.session.transaction():
                with pytest.raises(Deadlock):
                    async with play.session.transaction():
                        await _insert(play)
        assert not any(sql.startswith("ROLLBACK TO") for sql in play.work)


async def test_a_savepoint_that_cannot_be_returned_to_spoils_the_transaction() -> None:
    async with scene() as play:
        play.server.react("ROLLBACK TO", refuse(1305))
        with pytest.raises(QueryError):
            async with play.session.transaction():
                with pytest.raises(KeyError):
                    async with play.session.transaction():
                        raise KeyError
        assert "COMMIT" not in play.work


async def test_states() -> None:
    async with scene() as play, play.session.connection() as connection:
        transaction = Transaction(connection)
        states = [transaction.state]
        with pytest.raises(QueryError):
            await transaction.commit()
        await transaction.begin()
        states.append(transaction.state)
        await transaction.commit()
        states.append(transaction.state)
        await transaction.begin()
        await transaction.abandon(KeyError())
        states.append(transaction.state)
        assert states == [
            TransactionState.NEW,
            TransactionState.OPEN,
            TransactionState.COMMITTED,
            TransactionState.ROLLED_BACK,
        ]
