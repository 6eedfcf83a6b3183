"""Statements that go out with the next one: in one packet, and none behind one that failed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pymysql.constants import CLIENT

from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Connection, Deferred
from quart_app.mysql.driver.session_text import clustered_sql
from quart_app.mysql.errors import (
    CommitUnknown,
    ConnectionLost,
    Deadlock,
    IntegrityError,
    QueryError,
)
from tests.support import wire
from tests.support.server import (
    Peer,
    Reaction,
    ScriptedServer,
    hang_up,
    last_words,
    refuse,
    reset,
)
from tests.unit.mysql.scripted import Scene, scene
from tests.unit.mysql.test_transaction import deadlock

FIRST = "INSERT INTO t VALUES (1)"
SECOND = "INSERT INTO u VALUES (2)"
LAST = "UPDATE t SET a = 3"


def _packets(play: Scene) -> int:
    """How many packets of statements the connections sent beyond their set-up."""
    set_up = len(play.server.statements) - len(play.work)
    return sum(peer.queries for peer in play.server.peers) - set_up


def _one_by_one(play: Scene) -> None:
    play.server.capabilities &= ~CLIENT.MULTI_STATEMENTS


async def _two(connection: Connection) -> tuple[Deferred, Deferred]:
    first, second = connection.defer(FIRST), connection.defer("INSERT INTO u VALUES (%s)", (2,))
    await connection.run(LAST)
    return first, second


async def test_they_go_out_with_the_next_statement_in_their_order() -> None:
    async with scene() as play:
        first, second = await play.session.run(_two, idempotent=False)
        assert play.work == ["BEGIN", FIRST, SECOND, LAST, "COMMIT"]
        assert _packets(play) == 2
        assert first.result is not None
        assert second.result is not None


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        (f"{FIRST};", FIRST),
        (f"{FIRST} ;\n ", FIRST),
        (f"{FIRST} -- why;", f"{FIRST} -- why\n"),
        (f"{FIRST} # why", f"{FIRST} # why\n"),
        ("INSERT INTO t VALUES (';')", "INSERT INTO t VALUES (';')"),
    ],
)
async def test_a_statement_of_its_own_end_swallows_nothing(sql: str, sent: str) -> None:
    async with scene() as play:

        async def work(connection: Connection) -> bytes:
            deferred = connection.defer(sql)
            await connection.run(LAST)
            return deferred.data

        assert await play.session.run(work, idempotent=False) == sent.encode()


async def test_a_server_of_a_cluster_gets_one_at_a_time() -> None:
    async with scene() as play:
        play.server.facts["(select count(*)"] = 1
        await play.session.run(_two, idempotent=False)
        assert play.work == ["BEGIN", FIRST, SECOND, LAST, "COMMIT"]
        assert _packets(play) == 5


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("5.5.5-10.11.6-MariaDB-log", "WSREP_ON"),
        ("9.7.0", "group_replication"),
        ("8.0.36-28.1", "XtraDB Cluster"),
    ],
)
def test_a_server_is_asked_for_the_clusters_of_its_kind(version: str, asked: str) -> None:
    assert asked in clustered_sql(version)


@pytest.mark.parametrize("version", ["8.0.11-TiDB-v7.5.0", "8.0.30-Vitess"])
def test_a_server_that_is_only_like_mysql_is_taken_for_a_cluster(version: str) -> None:
    assert clustered_sql(version) == "1"


async def test_a_server_that_takes_one_at_a_time_gets_one_at_a_time() -> None:
    async with scene() as play:
        _one_by_one(play)
        _, second = await play.session.run(_two, idempotent=False)
        assert play.work == ["BEGIN", FIRST, SECOND, LAST, "COMMIT"]
        assert _packets(play) == 5
        assert second.result is not None


@pytest.mark.parametrize("together", [True, False])
async def test_nothing_is_begun_behind_one_that_failed(*, together: bool) -> None:
    async with scene() as play:
        if not together:
            _one_by_one(play)
        play.server.react("INSERT INTO t", refuse(1062))
        kept: list[Deferred] = []

        async def work(connection: Connection) -> None:
            kept.extend((connection.defer(FIRST), connection.defer(SECOND)))
            await connection.run(LAST)

        with pytest.raises(IntegrityError):
            await play.session.run(work, idempotent=True)
        assert play.work == ["BEGIN", FIRST, "ROLLBACK"]
        assert isinstance(kept[0].error, IntegrityError)
        assert kept[1].error is None
        assert {each.result for each in kept} == {None}
        assert len(play.server.peers) == 1


async def test_the_transaction_goes_on_behind_a_failure_that_is_handled() -> None:
    async with scene() as play:
        play.server.react("INSERT INTO t", refuse(1062))

        async def work(connection: Connection) -> None:
            connection.defer(FIRST)
            with pytest.raises(IntegrityError):
                await connection.run(SECOND)
            await connection.run(LAST)

        await play.session.run(work, idempotent=True)
        assert play.work == ["BEGIN", FIRST, LAST, "COMMIT"]


@pytest.mark.parametrize("together", [True, False])
async def test_nothing_can_run_behind_a_begin_that_failed(*, together: bool) -> None:
    async with scene() as play:
        if not together:
            _one_by_one(play)
        play.server.react("BEGIN", refuse(1064))

        async def careless(connection: Connection) -> None:
            with pytest.raises(QueryError):
                await connection.run(FIRST)
            await connection.run(SECOND)

        with pytest.raises(ConnectionLost):
            await play.session.run(careless, idempotent=False, timeout=0.01)
        assert set(play.work) == {"BEGIN"}


async def test_an_answer_too_few_ends_the_connection() -> None:
    async def only_one(peer: Peer) -> None:
        peer.rest.clear()
        await peer.send(wire.ok())

    async with scene() as play:
        play.server.react("BEGIN", only_one, times=1)
        await play.session.run(_two, idempotent=False)
        assert len(play.server.peers) == 2


async def test_a_cursor_sends_them_first() -> None:
    async def work(connection: Connection) -> None:
        connection.defer(FIRST)
        async with connection.cursor() as cursor:
            await cursor.execute(LAST)

    async with scene() as play:
        await play.session.run(work, idempotent=False)
        assert play.work == ["BEGIN", FIRST, LAST, "COMMIT"]


async def test_flush_sends_them_now_and_names_what_fails() -> None:
    async def work(connection: Connection) -> None:
        connection.defer(FIRST)
        await connection.flush()

    async with scene() as play:
        await play.session.run(work, idempotent=False)
        assert play.work == ["BEGIN", FIRST, "COMMIT"]
        play.server.react("INSERT", refuse(1062))
        with pytest.raises(IntegrityError):
            await play.session.run(work, idempotent=False)


async def test_work_that_fails_before_its_first_statement_sends_nothing() -> None:
    async def work(connection: Connection) -> None:
        connection.defer(FIRST)
        raise KeyError

    async with scene() as play:
        with pytest.raises(KeyError):
            await play.session.run(work, idempotent=False)
        assert play.work == []
        assert play.session.pool.stats().total == 1


async def test_what_nobody_sent_is_not_left_to_the_next_borrower() -> None:
    async with scene() as play:
        async with play.session.connection() as connection:
            connection.defer(FIRST)
        assert play.session.pool.stats().total == 0
        assert play.work == []


async def test_outside_of_a_transaction_nothing_waits_for_the_next() -> None:
    async with scene() as play:
        with pytest.raises(QueryError):
            play.session.defer(FIRST)
        async with play.session.connection():
            with pytest.raises(QueryError):
                play.session.defer(FIRST)
        async with play.session.transaction():
            play.session.defer(FIRST)
        assert play.work == ["BEGIN", FIRST, "COMMIT"]


async def _last(connection: Connection) -> None:
    await connection.run(FIRST)
    connection.defer(LAST)


async def test_what_goes_with_commit_is_committed() -> None:
    async with scene() as play:
        await play.session.run(_last, idempotent=False)
        assert play.work == ["BEGIN", FIRST, LAST, "COMMIT"]
        assert _packets(play) == 2


async def test_one_refused_ahead_of_commit_leaves_no_doubt() -> None:
    async with scene() as play:
        play.server.react("UPDATE", refuse(1406))
        for idempotent in (False, True):
            with pytest.raises(QueryError):
                await play.session.run(_last, idempotent=idempotent)
        assert play.work == ["BEGIN", FIRST, LAST, "ROLLBACK"] * 2


async def test_one_too_long_ahead_of_commit_leaves_no_doubt() -> None:
    async def work(connection: Connection) -> None:
        connection.defer("UPDATE t SET a = %s", ("x" * 2000,))

    async with scene() as play:
        play.server.facts["@@max_allowed_packet"] = 1024
        with pytest.raises(QueryError):
            await play.session.run(work, idempotent=True)
        assert play.work == []


async def test_a_deadlock_ahead_of_commit_repeats_all_of_it() -> None:
    async with scene() as play:
        play.server.react("UPDATE", deadlock, times=1)
        await play.session.run(_last, idempotent=False)
        assert play.work.count("COMMIT") == 1
        assert play.work[-4:] == ["BEGIN", FIRST, LAST, "COMMIT"]


async def test_a_block_hears_of_a_deadlock_ahead_of_commit() -> None:
    async with scene() as play:
        play.server.react("UPDATE", deadlock, times=1)
        with pytest.raises(Deadlock):
            async with play.session.transaction() as connection:
                await _last(connection)


@pytest.mark.parametrize("loss", [hang_up, reset])
@pytest.mark.parametrize("struck", ["UPDATE", "COMMIT"])
async def test_a_loss_of_what_was_sent_with_commit_is_a_doubt(loss: Reaction, struck: str) -> None:
    async with scene() as play:
        play.server.react(struck, loss)
        with pytest.raises(CommitUnknown):
            await play.session.run(_last, idempotent=False)


async def test_last_words_prove_that_none_of_it_was_read() -> None:
    async with scene() as play:
        play.server.react("UPDATE", last_words(4031), times=1)
        await play.session.run(_last, idempotent=False)
        assert play.work.count("COMMIT") == 1


async def test_who_watches_sees_what_was_sent_together() -> None:
    seen: list[bytes] = []

    @contextmanager
    def watch(statement: bytes) -> Iterator[None]:
        seen.append(statement)
        yield

    server = ScriptedServer()
    server.serve_in_memory()
    config = ConnectConfig(
        endpoints=(Endpoint(),), user="u", tls_mode=TLSMode.DISABLED, watch=watch
    )
    connection = await MySQLDriver(config).connect()
    seen.clear()
    connection.defer("BEGIN")
    await connection.run(LAST)
    connection.quit()
    assert seen == [b"BEGIN;\nUPDATE t SET a = 3"]
