"""Statements: written, run, streamed, cancelled, and named when they fail."""

import asyncio
import datetime as dt
from typing import Any

import pytest
from aiomysql import SSCursor
from pymysql.err import InterfaceError

from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import ConnectionLost, QueryError
from tests.support import wire
from tests.support.server import (
    Peer,
    ScriptedServer,
    after,
    answer,
    answer_rows,
    hang_up,
    refuse,
    say_nothing,
)
from tests.unit.mysql.driver.lone import ADDRESS, driver_of, now

# -- running ---------------------------------------------------------------------------------------


async def test_error_is_renamed_and_the_connection_stays(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT wrong", refuse(1064, "42000", "You have an error near 'secret'"))
    with pytest.raises(QueryError) as caught:
        await connection.run("SELECT wrong")
    assert (caught.value.errno, caught.value.sqlstate) == (1064, "42000")
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, Exception)
    assert (await connection.run("SELECT 5")).rows == [(5,)]


async def test_statement_that_cannot_be_encoded_is_the_callers_fault() -> None:
    server = ScriptedServer()
    server.serve_in_memory(ADDRESS)
    connection = await driver_of(charset="latin1").connect()
    with pytest.raises((QueryError, UnicodeEncodeError)):
        await connection.run("SELECT '\u4e2d'")
    assert connection.is_alive()
    connection.abort()


async def test_statement_may_be_bytes(server: ScriptedServer, connection: Connection) -> None:
    await connection.query(b"SELECT 'caf\xc3\xa9'")
    assert server.statements[-1] == "SELECT 'café'"


async def test_statement_after_an_unread_result_reads_that_to_its_end(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT many", answer_rows(("a",), [(n,) for n in range(100)]))
    cursor = await connection.cursor(SSCursor)
    await cursor.execute("SELECT many")
    with pytest.warns(UserWarning, match="incomplete"):
        await connection.query("SELECT 7")
    assert connection._result.rows == ((7,),)


async def test_cancelled_statement_closes_the_connection(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT SLEEP", say_nothing)
    task = asyncio.create_task(connection.run("SELECT SLEEP(100)"))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert connection.closed
    assert connection.orphaned
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("SELECT 1")
    assert caught.value.sent is False


@pytest.mark.row("M")
async def test_use_by_two_tasks_raises_at_once_and_harms_neither(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT slow", after(1, answer_rows(("a",), [(1,)])))
    task = asyncio.create_task(connection.run("SELECT slow"))
    await asyncio.sleep(0.5)
    began = now()
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("SELECT 2")
    assert caught.value.sent is False
    assert isinstance(caught.value.__cause__, InterfaceError)
    assert now() == began
    assert (await task).rows == [(1,)]
    assert (await connection.run("SELECT 3")).rows == [(3,)]


# -- streaming -------------------------------------------------------------------------------------


async def test_stream_holds_back_a_server_that_is_too_quick(
    server: ScriptedServer, connection: Connection
) -> None:
    sent = 0

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.send(wire.length_encoded(1), wire.column("a"), wire.eof())
        for _ in range(1000):
            await peer.send(wire.text("x" * 10_000))
            sent += 1
        await peer.send(wire.eof())

    server.react("SELECT flood", flood)
    rows = connection.stream("SELECT flood")
    await anext(rows)
    await asyncio.sleep(60)
    assert sent < 100, "what is not read is not sent"
    await rows.aclose()


async def test_stream_names_errors_as_run_does(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT wrong", refuse(1064, "42000"))
    with pytest.raises(QueryError):
        await anext(connection.stream("SELECT wrong"))
    server.react("SELECT gone", hang_up)
    with pytest.raises(ConnectionLost):
        await anext(connection.stream("SELECT gone"))


@pytest.mark.row("W")
async def test_stream_of_nonsense_ends_the_connection(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT x", answer(b"\x01", b"\x00\x01", wire.eof()))
    with pytest.raises(ConnectionLost):
        await anext(connection.stream("SELECT x"))
    assert not connection.is_alive()


# -- values in SQL ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "args", "sent"),
    [
        ("SELECT %s, %s, %s, %s", (1, "a'b", None, 0.5), "SELECT 1, 'a\\'b', NULL, 0.5e0"),
        ("SELECT %(x)s", {"x": dt.date(2026, 1, 2), "y": 1}, "SELECT '2026-01-02'"),
        ("SELECT %s", [b"\xff"], "SELECT _binary X'ff'"),
        ("SELECT %s", [bytearray(b"\xfe")], "SELECT _binary X'fe'"),
        ("SELECT a IN %s", ([1, "a'b", None],), "SELECT a IN (1,'a\\'b',NULL)"),
        ("SELECT a IN %(x)s", {"x": frozenset((b"x",))}, "SELECT a IN (_binary X'78')"),
        ("SELECT (a, b) IN %s", (((1, 2), (3, 4)),), "SELECT (a, b) IN ((1,2),(3,4))"),
        ("SELECT %s", 5, "SELECT 5"),
    ],
)
async def test_parameters_are_escaped(
    server: ScriptedServer, connection: Connection, sql: str, args: Any, sent: str
) -> None:
    await connection.run(sql, args)
    assert server.statements[-1] == sent
