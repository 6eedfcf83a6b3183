"""Answers: rows as values, and the status that comes with them."""

import asyncio
import datetime as dt
from decimal import Decimal

import aiomysql
import pytest
from aiomysql import SSCursor
from pymysql.err import InterfaceError, OperationalError

from quart_app.mysql import deadline
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import ConnectionLost, QueryTimeout
from tests.support import wire
from tests.support.server import Peer, Reaction, ScriptedServer, answer, answer_rows
from tests.unit.mysql.driver.lone import driver_of, now

# -- whole answers ---------------------------------------------------------------------------------


async def test_answer_is_read_as_aiomysql_reads_it(
    server: ScriptedServer, connection: Connection
) -> None:
    rows: list[tuple[wire.Value, ...]] = [(1, "ä€", None), (-5, "", "x" * 70_000)]
    payloads = wire.result([("n", 8), ("s", 253), ("o", 253)], rows)
    server.react("SELECT n", answer(*payloads))
    result = await connection.run("SELECT n")
    assert result.rows == rows
    assert result.columns == ("n", "s", "o")
    assert result.affected_rows == 2
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT n")
        assert list(await cursor.fetchall()) == rows


async def test_counts_of_a_write_are_told(server: ScriptedServer, connection: Connection) -> None:
    server.react("INSERT", answer(wire.ok(affected=3, insert_id=70_000)))
    result = await connection.run("INSERT INTO t VALUES (%s)", ("a'b",))
    assert (result.affected_rows, result.insert_id, result.rows) == (3, 70_000, [])
    assert server.statements[-1] == "INSERT INTO t VALUES ('a\\'b')"


async def test_several_results_of_one_statement_are_read_to_the_end(
    server: ScriptedServer, connection: Connection
) -> None:
    first = wire.result([("a", 8)], [(1,)], status=wire.AUTOCOMMIT | wire.MORE_RESULTS)
    server.react("CALL", answer(*first, wire.ok()))
    assert (await connection.run("CALL p()")).rows == [(1,)]
    assert (await connection.run("SELECT 5")).rows == [(5,)]


@pytest.mark.row("W")
@pytest.mark.parametrize(
    "garbage",
    [
        b"\x01\x00\x00\x01",
        wire.packet(1, b""),
        wire.packet(1, b"\xff"),
        wire.packet(1, b"\xff\x01"),
        wire.packet(1, b"\x00"),
        wire.packet(1, b"\x01") + wire.packet(2, b"\x00\x01"),
        wire.packet(1, b"\x02") + wire.packet(2, wire.column("a")) + wire.packet(3, wire.eof()),
        wire.packet(1, b"\x01")
        + wire.packet(2, wire.column("a"))
        + wire.packet(3, wire.eof())
        + wire.packet(4, b"\xfd\xff"),
        wire.packet(1, b"\xfb/etc/passwd"),
        wire.packet(7, wire.ok()),
        wire.packet(0, b"\xff"),
        wire.packet(0, wire.ok()),
    ],
)
async def test_answer_that_makes_no_sense_ends_the_connection(
    server: ScriptedServer, connection: Connection, garbage: bytes
) -> None:
    async def babble(peer: Peer) -> None:
        await peer.send_raw(garbage)
        peer.hang_up()

    server.react("SELECT nonsense", babble)
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("SELECT nonsense")
    assert caught.value.sent is True
    assert connection.condition() is Condition.UNUSABLE


async def test_commit_answered_by_rows_is_out_of_sync(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("COMMIT", answer(wire.length_encoded(1)))
    with pytest.raises(OperationalError) as caught:
        await connection.commit()
    assert caught.value.args[0] == 2014


# -- status ----------------------------------------------------------------------------------------


@pytest.mark.row("J")
async def test_status_of_eof_packets_is_kept(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT a FROM t", answer_rows(("a",), [(1,)], status=wire.IN_TRANSACTION))
    await connection.run("SELECT a FROM t")
    assert connection.in_transaction
    assert connection.get_transaction_status()
    assert connection.condition() is Condition.SNAPSHOT


@pytest.mark.row("J")
@pytest.mark.parametrize("way", ["buffered", "streamed"])
async def test_status_of_eof_packets_is_kept_by_cursors(
    server: ScriptedServer, connection: Connection, way: str
) -> None:
    server.react("SELECT a FROM t", answer_rows(("a",), [(1,)], status=wire.IN_TRANSACTION))
    kind = aiomysql.Cursor if way == "buffered" else aiomysql.SSCursor
    async with connection.cursor(kind) as cursor:
        await cursor.execute("SELECT a FROM t")
        assert await cursor.fetchall()
    assert connection.in_transaction


# -- columns and values ----------------------------------------------------------------------------


BINARY = 63


DEFINITIONS = {
    "text": (253, 45, "ä€".encode(), "ä€"),
    "binary": (253, BINARY, b"\xff\x00", b"\xff\x00"),
    "blob": (252, BINARY, b"\xff", b"\xff"),
    "json": (245, BINARY, '{"a": "ä"}'.encode(), '{"a": "ä"}'),
    "int": (8, BINARY, b"-7", -7),
    "float": (5, BINARY, b"0.5", 0.5),
    "decimal": (246, BINARY, b"1.50", Decimal("1.50")),
    "date": (10, BINARY, b"2026-11-20", dt.date(2026, 11, 20)),
    "datetime": (12, BINARY, b"2026-11-20 01:02:03.5", dt.datetime(2026, 11, 20, 1, 2, 3, 500_000)),  # noqa: DTZ001  # as the driver makes them
    "null": (10, BINARY, None, None),
}


def definition(kind: int, charset: int) -> bytes:
    """A column's definition with its own character set."""
    plain = wire.column("a", kind)
    return plain[:-12] + charset.to_bytes(2, "little") + plain[-10:]


@pytest.mark.parametrize("name", DEFINITIONS)
async def test_value_is_what_aiomysql_makes_of_it(
    server: ScriptedServer, connection: Connection, name: str
) -> None:
    kind, charset, sent, expected = DEFINITIONS[name]
    row = wire.text(sent)
    server.react(
        "SELECT v",
        answer(wire.length_encoded(1), definition(kind, charset), wire.eof(), row, wire.eof()),
    )
    for _ in range(2):  # the column's definition is remembered
        assert (await connection.run("SELECT v")).rows == [(expected,)]
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT v")
        assert await cursor.fetchone() == (expected,)


async def test_values_are_bytes_where_unicode_is_not_wanted(server: ScriptedServer) -> None:
    connection = await driver_of(options={"use_unicode": False}).connect()
    server.react("SELECT s", answer_rows(("s",), [("x",)]))
    assert (await connection.run("SELECT s")).rows == [(b"x",)]
    connection.abort()


async def test_values_can_be_had_as_the_server_wrote_them(
    server: ScriptedServer, connection: Connection
) -> None:
    kind, _, sent, _ = DEFINITIONS["decimal"]
    server.react(
        "SELECT v",
        answer(
            wire.length_encoded(2),
            definition(kind, BINARY),
            definition(252, BINARY),
            wire.eof(),
            wire.text(sent) + wire.text(b"\xff"),
            wire.eof(),
        ),
    )
    assert (await connection.run("SELECT v", text=True)).rows == [("1.50", b"\xff")]


async def test_remembered_columns_do_not_grow_without_end(
    server: ScriptedServer, connection: Connection
) -> None:
    for number in range(2000):
        server._rules.clear()
        server.react("SELECT", answer_rows((f"column {number}",), [(1,)]))
        await connection.run("SELECT 1")
    assert len(connection._columns) < 2000


# -- rows one by one -------------------------------------------------------------------------------


def trickle(rows: int, *, every: float, then: float = 0.0) -> Reaction:
    """React with rows one by one, and with what ends them after a pause."""

    async def slowly(peer: Peer) -> None:
        await peer.send(wire.length_encoded(1), wire.column("a"), wire.eof())
        for number in range(rows):
            await asyncio.sleep(every)
            await peer.send(wire.text(str(number)))
        await asyncio.sleep(then)
        await peer.send(wire.eof())

    return slowly


async def test_statement_timeout_is_for_each_row_of_a_stream(server: ScriptedServer) -> None:
    server.react("SELECT slow", trickle(10, every=0.4))
    connection = await MySQLDriver(driver_of().config, statement_timeout=0.5).connect()
    assert len([row async for row in connection.stream("SELECT slow")]) == 10
    cursor = await connection.cursor(SSCursor)
    await cursor.execute("SELECT slow")
    assert len(await cursor.fetchall()) == 10
    assert await cursor.fetchone() is None
    await cursor.close()
    assert connection.condition() is Condition.CLEAN
    connection.abort()


async def test_stream_that_stops_ends_after_the_statement_timeout(server: ScriptedServer) -> None:
    server.react("SELECT stuck", trickle(3, every=0.4, then=1000))
    connection = await MySQLDriver(driver_of().config, statement_timeout=0.5).connect()
    began, rows = now(), []
    with pytest.raises(QueryTimeout):
        async for row in connection.stream("SELECT stuck"):
            rows.append(row)  # noqa: PERF401 # those before the error are wanted
    assert len(rows) == 3
    assert now() - began == pytest.approx(1.7)


async def test_ambient_deadline_ends_a_stream_as_a_whole(server: ScriptedServer) -> None:
    server.react("SELECT slow", trickle(10, every=0.4))
    connection = await MySQLDriver(driver_of().config, statement_timeout=0.5).connect()
    began = now()
    with pytest.raises(QueryTimeout), deadline.within(1):
        async for _ in connection.stream("SELECT slow"):
            pass
    assert now() - began == 1


async def test_cursor_that_was_left_alone_for_long_can_be_closed(server: ScriptedServer) -> None:
    server.react("SELECT slow", trickle(10, every=0.4, then=0.2))
    connection = await MySQLDriver(driver_of().config, statement_timeout=5.0).connect()
    cursor = await connection.cursor(SSCursor)
    await cursor.execute("SELECT slow")
    await cursor.fetchone()
    connection._deadline = now() - 1  # its reader was busy with the first row for that long
    await cursor.close()
    assert connection.condition() is Condition.CLEAN
    connection.abort()


async def test_error_amid_streamed_rows_ends_the_stream(
    server: ScriptedServer, connection: Connection
) -> None:
    payloads = [*wire.result([("a", wire.kind_of(1))], [(1,)])[:-1], wire.error(3024)]
    server.react("SELECT many", answer(*payloads))
    cursor = await connection.cursor(SSCursor)
    await cursor.execute("SELECT many")
    assert await cursor.fetchone() == (1,)
    with pytest.raises(OperationalError):
        await cursor.fetchone()
    assert (await connection.run("SELECT 7")).rows == [(7,)]


async def test_converters_of_the_programs_own_do_not_get_at_what_the_pool_asks() -> None:
    server = ScriptedServer()
    server.serve_in_memory(("db", 3306))
    server.facts["@@wait_timeout"] = 77
    converters = dict.fromkeys(range(256), lambda value: f"<{value}>")
    connection = await driver_of(options={"conv": converters}).connect()
    assert connection.server.wait_timeout == 77
    server.react("SELECT s", answer_rows(("s",), [("x",)]))
    assert (await connection.run("SELECT s")).rows == [("<x>",)]
    connection.abort()


@pytest.mark.parametrize("released", [True, False])
async def test_cursor_that_outlives_its_connection_reads_no_more_and_can_be_closed(
    server: ScriptedServer, connection: Connection, released: bool
) -> None:
    server.react("SELECT many", answer_rows(("a",), [(n,) for n in range(100)]))
    cursor = await connection.cursor(SSCursor)
    await cursor.execute("SELECT many")
    connection.returned = released
    connection.quit()
    with pytest.raises(InterfaceError, match="before all rows were read"):
        await cursor.fetchone()
    await cursor.close()
    assert cursor.closed
