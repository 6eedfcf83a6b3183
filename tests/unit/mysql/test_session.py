"""Statements: what is tried again, what is not, and on which connection."""

import asyncio
from contextlib import aclosing

import pytest

from quart_app.mysql import deadline, session
from quart_app.mysql.errors import (
    ConnectionLost,
    IntegrityError,
    PoolClosed,
    PoolTimeout,
    QueryError,
    QueryTimeout,
    ReadOnlyServer,
    TransientError,
)
from tests.support import wire
from tests.support.server import (
    Peer,
    Reaction,
    after,
    answer_rows,
    greet,
    hang_up,
    last_words,
    refuse,
    reset,
    say_nothing,
)
from tests.unit.mysql.scripted import scene


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_fetching() -> None:
    async with scene() as play:
        play.server.react("SELECT a", answer_rows(("a", "b"), [(1, "x"), (2, "y")]))
        play.server.react("SELECT none", answer_rows(("a",), []))
        play.server.react("SELECT sole", answer_rows(("a",), [(7,)]))
        session = play.session
        assert await session.fetch_all("SELECT a") == [(1, "x"), (2, "y")]
        assert await session.fetch_first("SELECT a") == (1, "x")
        assert await session.fetch_first("SELECT none") is None
        assert await session.fetch_val("SELECT a") == 1
        assert await session.fetch_val("SELECT none") is None
        assert await session.fetch_sole("SELECT sole") == (7,)
        for wrong in ("SELECT a", "SELECT none"):
            with pytest.raises(QueryError):
                await session.fetch_sole(wrong)


async def test_arguments_are_escaped() -> None:
    async with scene() as play:
        await play.session.execute("INSERT INTO t VALUES (%s, %s)", ("a'b", None))
        await play.session.execute("INSERT INTO t VALUES (%(a)s)", {"a": 1})
        assert play.work == ["INSERT INTO t VALUES ('a\\'b', NULL)", "INSERT INTO t VALUES (1)"]


LOSSES = [
    pytest.param(hang_up, id="fin"),
    pytest.param(reset, id="rst"),
    pytest.param(refuse(1053), id="shutdown"),
    pytest.param(refuse(1927), id="killed"),
]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_read_is_repeated_on_another_connection(loss: Reaction) -> None:
    async with scene() as play:
        play.server.react("SELECT 1", loss, times=1)
        assert await play.session.fetch_val("SELECT 1") == 1
        assert play.work == ["SELECT 1", "SELECT 1"]
        assert [len(peer.commands) > 0 for peer in play.server.peers] == [True, True]
        assert len(play.retries.seen) == len(play.retries.healed_after) == 1


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_write_is_not_repeated_and_says_that_it_was_sent(loss: Reaction) -> None:
    async with scene() as play:
        play.server.react("INSERT", loss)
        with pytest.raises(ConnectionLost) as caught:
            await play.session.execute("INSERT INTO t VALUES (1)")
        assert caught.value.sent
        assert play.work == ["INSERT INTO t VALUES (1)"]
        assert play.retries.seen == []


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_write_declared_idempotent_is_repeated(loss: Reaction) -> None:
    async with scene() as play:
        play.server.react("UPDATE", loss, times=1)
        await play.session.execute("UPDATE t SET a = 1", idempotent=True)
        assert play.work == ["UPDATE t SET a = 1"] * 2


async def test_4031_proves_that_a_write_was_not_executed() -> None:
    async with scene() as play:
        play.server.react("INSERT", last_words(4031), times=1)
        await play.session.execute("INSERT INTO t VALUES (1)")
        assert play.work == ["INSERT INTO t VALUES (1)"] * 2
        assert play.retries.seen == [("statement", 2, 0.0, 4031)]


async def test_a_write_refused_by_a_read_only_server_is_repeated_after_replacing_the_pool() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1290, message="running with the --read-only"), times=1)
        await play.session.execute("INSERT INTO t VALUES (1)")
        assert play.session.pool.stats().generation == 1
        assert len(play.server.peers) == 2


async def test_1290_for_another_reason_is_the_statements_fault() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1290, message="the --secure-file-priv option"))
        with pytest.raises(QueryError):
            await play.session.execute("INSERT INTO t VALUES (1)")
        assert play.session.pool.stats().generation == 0


async def test_a_read_only_server_that_stays_so_is_an_error_at_the_deadline() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1836))
        began = now()
        with pytest.raises(ReadOnlyServer):
            await play.session.execute("INSERT INTO t VALUES (1)")
        assert 9.0 <= now() - began <= 10.0


@pytest.mark.parametrize("errno", [1213, 1205])
async def test_a_lone_write_that_lost_a_conflict_is_for_the_caller_to_repeat(errno: int) -> None:
    async with scene() as play:
        play.server.react("UPDATE", refuse(errno))
        with pytest.raises(TransientError) as caught:
            await play.session.execute("UPDATE t SET a = 1")
        assert caught.value.errno == errno
        assert len(play.work) == 1


async def test_a_wrong_statement_is_sent_once_and_costs_no_connection() -> None:
    async with scene() as play:
        play.server.react("SELECT x", refuse(1146))
        play.server.react("INSERT", refuse(1062))
        with pytest.raises(QueryError):
            await play.session.fetch_all("SELECT x")
        with pytest.raises(IntegrityError):
            await play.session.execute("INSERT INTO t VALUES (1)", idempotent=True)
        assert len(play.work) == 2
        assert len(play.server.peers) == 1


async def test_waits_between_tries_grow_and_end_at_the_deadline() -> None:
    async with scene() as play:
        play.server.react("SELECT 1", hang_up)
        began = now()
        with pytest.raises(ConnectionLost), deadline.within(2.0):
            await play.session.fetch_val("SELECT 1")
        assert now() - began <= 2.0
        waits = [waited for _, _, waited, _ in play.retries.seen]
        assert waits == [0.0, 0.2, 0.4, 0.8]


async def test_a_read_on_a_silent_connection_goes_on_with_another_one() -> None:
    async with scene(statement_timeout=5.0) as play:
        play.server.react("SELECT 1", say_nothing, times=1)
        began = now()
        with deadline.within(10.0):
            assert await play.session.fetch_val("SELECT 1") == 1
        assert now() - began == pytest.approx(5.0)


async def test_a_write_on_a_silent_connection_fails_and_may_have_been_executed() -> None:
    async with scene(statement_timeout=5.0) as play:
        play.server.react("INSERT", say_nothing)
        with pytest.raises(QueryTimeout) as caught:
            await play.session.execute("INSERT INTO t VALUES (1)")
        assert caught.value.sent
        assert len([sql for sql in play.work if sql.startswith("INSERT")]) == 1


async def test_a_server_that_is_away_is_waited_for_within_the_deadline() -> None:
    async with scene(acquire_timeout=1.0) as play:
        play.server.react("GREETING", hang_up)
        began = now()

        async def come_back() -> None:
            await asyncio.sleep(4.0)
            play.server.react("GREETING", greet)

        back = asyncio.create_task(come_back())
        with deadline.within(8.0):
            assert await play.session.fetch_val("SELECT 1") == 1
        assert 3.99 <= now() - began < 6.0
        assert {phase for phase, *_ in play.retries.seen} == {"acquire"}
        await back


async def test_a_busy_pool_is_not_asked_twice() -> None:
    async with scene(maxsize=1, acquire_timeout=1.0) as play:
        async with play.session.connection():
            other = asyncio.create_task(play.session.fetch_val("SELECT 1"))
            with pytest.raises(PoolTimeout):
                await other
        assert play.retries.seen == []


async def test_a_closed_pool_is_said_to_be_closed() -> None:
    async with scene() as play:
        play.session.pool.close()
        with pytest.raises(PoolClosed):
            await play.session.fetch_all("SELECT 1")


# -- one connection for one task ------------------------------------------------------------------


async def test_a_block_uses_one_connection_also_when_nested() -> None:
    async with scene() as play, play.session.connection() as outer:
        async with play.session.connection() as inner:
            assert inner is outer
        await play.session.fetch_val("SELECT 1")
        await play.session.execute("INSERT INTO t VALUES (1)")
        assert len(play.server.peers) == 1


async def test_a_child_task_has_a_connection_of_its_own() -> None:
    async with scene() as play:

        async def child() -> object:
            async with play.session.connection() as connection:
                return connection

        async with play.session.connection() as mine:
            assert await asyncio.create_task(child()) is not mine
        assert len(play.server.peers) == 2


async def test_in_a_block_nothing_is_repeated() -> None:
    async with scene() as play:
        play.server.react("SELECT 1", hang_up, times=1)
        with pytest.raises(ConnectionLost):
            async with play.session.connection():
                await play.session.fetch_val("SELECT 1")
        assert play.work == ["SELECT 1"]
        assert await play.session.fetch_val("SELECT 1") == 1


async def test_trouble_found_with_a_raw_cursor_replaces_the_pool_too() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1053))
        with pytest.raises(Exception, match="1053"):
            async with play.session.connection() as connection, connection.cursor() as cursor:
                await cursor.execute("INSERT INTO t VALUES (1)")
        assert play.session.pool.stats().generation == 1


async def test_an_error_of_the_caller_costs_no_connection() -> None:
    async with scene() as play:
        with pytest.raises(KeyError):
            async with play.session.connection():
                raise KeyError
        await play.session.fetch_val("SELECT 1")
        assert len(play.server.peers) == 1


# -- rows as they come -----------------------------------------------------------------------------


def _stops_after_one_row(then: Reaction) -> Reaction:
    packets = wire.result([("a", 8)], [(1,), (2,)])

    async def reaction(peer: Peer) -> None:
        await peer.send(*packets[:-2])
        await then(peer)

    return reaction


async def test_iterating() -> None:
    async with scene() as play:
        play.server.react("SELECT a", answer_rows(("a",), [(1,), (2,), (3,)]))
        assert [row async for row in play.session.iterate("SELECT a")] == [(1,), (2,), (3,)]
        async with play.session.connection():
            assert [row async for row in play.session.iterate("SELECT a")] == [(1,), (2,), (3,)]
        assert len(play.server.peers) == 1


async def test_iterating_is_repeated_before_the_first_row() -> None:
    async with scene() as play:
        play.server.react("SELECT a", answer_rows(("a",), [(1,)]))
        play.server.react("SELECT a", hang_up, times=1)
        assert [row async for row in play.session.iterate("SELECT a")] == [(1,)]


async def test_iterating_is_not_repeated_after_the_first_row() -> None:
    async with scene() as play:
        play.server.react("SELECT a", _stops_after_one_row(hang_up))
        rows = play.session.iterate("SELECT a")
        assert await anext(rows) == (1,)
        with pytest.raises(ConnectionLost):
            await anext(rows)
        assert play.work == ["SELECT a"]


async def test_leaving_early_costs_the_connection_and_no_more() -> None:
    async with scene() as play:
        play.server.react("SELECT a", _stops_after_one_row(after(1, say_nothing)))
        async with aclosing(play.session.iterate("SELECT a")) as rows:
            async for _row in rows:
                break
        assert await play.session.fetch_val("SELECT 1") == 1
        assert len(play.server.peers) >= 2


# -- many ------------------------------------------------------------------------------------------


async def test_many_rows_go_out_in_one_transaction() -> None:
    async with scene() as play:
        await play.session.execute_many("INSERT INTO t VALUES (%s)", [(1,), (2,)])
        assert play.work == ["BEGIN", "INSERT INTO t VALUES (1), (2)", "COMMIT"]


async def test_many_rows_are_all_sent_again_after_a_loss() -> None:
    async with scene() as play:
        play.server.react("INSERT", hang_up, times=1)
        await play.session.execute_many("INSERT INTO t VALUES (%s)", [(1,), (2,)])
        assert play.work.count("COMMIT") == 1
        assert play.work.count("BEGIN") == 2


def objects(*texts: str) -> Reaction:
    return answer_rows(("o",), [(text,) for text in texts])


async def test_rows_as_json_are_one_array_or_its_members() -> None:
    async with scene() as play:
        play.server.react("SELECT a", answer_rows(("a",), [(1,), (2,)]))
        play.server.react("SELECT JSON_OBJECT", objects('{"a": 1}', '{"a": 2}'))
        assert await play.session.fetch_json("SELECT a FROM t") == b'[{"a":1},{"a":2}]'
        members = await play.session.fetch_json_rows("SELECT a FROM t")
        assert members == ['{"a": 1}', '{"a": 2}']
        assert play.work[-1] == "SELECT JSON_OBJECT('a', a) FROM t"


async def test_lookup_is_the_same_object_for_the_same_statement() -> None:
    async with scene() as play:
        play.server.react("SELECT a", answer_rows(("a",), [(7,)]))
        lookup = play.session.lookup("SELECT a FROM t WHERE b = %s")
        assert play.session.lookup("SELECT a FROM t WHERE b = %s") is lookup
        assert await lookup.first(1) == (7,)
        async with play.session.connection():
            assert await lookup.first(2) == (7,)
        assert play.work == ["SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b = 2"]


async def test_number_of_lookups_that_are_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_LOOKUPS", 1)
    async with scene() as play:
        first, second = "SELECT a FROM t WHERE b = %s", "SELECT c FROM t WHERE d = %s"
        kept = play.session.lookup(first)
        assert play.session.lookup(second) is not play.session.lookup(second)
        assert play.session.lookup(first) is kept


async def test_lookups_are_remembered_by_their_text_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quart_app.mysql.session.MAX_LOOKUPS", 1)
    async with scene() as play:
        first = play.session.lookup("SELECT a FROM t WHERE b = %s")
        assert play.session.lookup("SELECT a FROM t WHERE b = %s") is first
        second = play.session.lookup("SELECT b FROM t WHERE b = %s")
        assert play.session.lookup("SELECT b FROM t WHERE b = %s") is not second
