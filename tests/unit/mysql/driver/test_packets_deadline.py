"""A statement ends at its deadline: the ambient one, or its own limit."""

import asyncio

import pytest
from pymysql.err import OperationalError

from quart_app.mysql import deadline
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import ConnectionLost, QueryTimeout
from tests.support import wire
from tests.support.memory import MemoryTransport
from tests.support.server import Peer, ScriptedServer, after, answer_rows, say_nothing
from tests.unit.mysql.driver.lone import driver_of, now


@pytest.mark.row("E")
async def test_statement_ends_at_the_ambient_deadline(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT SLEEP", say_nothing)
    began = now()
    with deadline.within(1.5), pytest.raises(QueryTimeout):
        await connection.run("SELECT SLEEP(100)")
    assert now() - began == 1.5
    assert connection.closed
    assert connection.orphaned, "the server may still be at it"


@pytest.mark.row("E")
async def test_deadline_is_of_the_statement_not_of_each_read(
    server: ScriptedServer, connection: Connection
) -> None:
    async def drip(peer: Peer) -> None:
        for payload in wire.result([("a", 253)], [("x",)] * 100):
            await peer.send(payload)
            await asyncio.sleep(0.5)

    server.react("SELECT drip", drip)
    began = now()
    with deadline.within(2), pytest.raises(QueryTimeout):
        await connection.run("SELECT drip")
    assert now() - began == 2


@pytest.mark.row("E")
@pytest.mark.parametrize(
    "operation", ["ping", "commit", "begin", "rollback", "cursor", "select_db"]
)
async def test_every_operation_obeys_the_deadline(
    server: ScriptedServer, connection: Connection, operation: str
) -> None:
    server.react(".*", say_nothing)

    async def work() -> None:
        if operation == "cursor":
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT 1")
        elif operation == "select_db":
            await connection.select_db("other")
        else:
            await getattr(connection, operation)()

    began = now()
    with deadline.within(1), pytest.raises(OperationalError):
        await work()
    assert now() - began == 1


@pytest.mark.row("E")
async def test_deadline_that_lies_behind_sends_nothing(
    server: ScriptedServer, connection: Connection
) -> None:
    before = len(server.statements)
    with deadline.within(0), pytest.raises((QueryTimeout, ConnectionLost)):
        await connection.run("INSERT")
    assert len(server.statements) == before


async def test_statement_timeout_bounds_what_has_no_deadline(server: ScriptedServer) -> None:
    server.react("SELECT SLEEP", say_nothing)
    connection = await MySQLDriver(driver_of().config, statement_timeout=0.5).connect()
    began = now()
    with pytest.raises(QueryTimeout):
        await connection.run("SELECT SLEEP(100)")
    assert now() - began == 0.5


async def test_earlier_deadline_does_not_end_a_later_statement(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT slow", after(3, answer_rows(("a",), [(1,)])))
    with deadline.within(1):
        await connection.run("SELECT 1")
    with deadline.within(5):
        assert (await connection.run("SELECT slow")).rows == [(1,)]
    assert (await connection.run("SELECT slow")).rows == [(1,)]


@pytest.mark.row("F")
async def test_write_that_nobody_reads_ends_at_the_deadline(
    server: ScriptedServer, connection: Connection
) -> None:
    transport = server.peers[0].writer.transport
    assert isinstance(transport, MemoryTransport)
    transport.pause_reading()
    began = now()
    with deadline.within(2), pytest.raises(QueryTimeout):
        await connection.run("SELECT '" + "x" * 1_000_000 + "'")
    assert now() - began == 2
    assert connection.closed
