"""A connection: what it knows of its server, its state, and its way back to that of its birth."""

import asyncio

import pytest
from pymysql.err import InterfaceError, OperationalError

from quart_app.mysql.driver import Condition, Connection, connect
from tests.support import wire
from tests.support.server import ScriptedServer, answer_rows, refuse
from tests.unit.mysql.driver.lone import ADDRESS, driver_of

# -- set-up ----------------------------------------------------------------------------------------


async def test_connect_learns_what_the_pool_needs_in_one_statement(server: ScriptedServer) -> None:
    connection = await driver_of().connect()
    assert connection.server.identity == server.facts["@@server_uuid"]
    assert connection.server.wait_timeout == 28800
    assert connection.server.max_allowed_packet == 67108864
    assert connection.server.thread_id == 100
    assert not connection.server.is_mariadb
    assert not connection.server.read_only
    assert len([sql for sql in server.statements if sql.startswith("SELECT")]) == 1
    connection.abort()


async def test_connect_to_mariadb_makes_an_identity_of_what_there_is() -> None:
    server = ScriptedServer(version="11.8.6-MariaDB")
    server.facts["concat_ws(':', @@hostname, @@port, @@server_id)"] = "scripted:3306:1"
    server.facts["@@read_only"] = "ON"
    server.serve_in_memory(ADDRESS)
    connection = await driver_of().connect()
    assert connection.server.is_mariadb
    assert connection.server.identity == "scripted:3306:1"
    assert connection.server.read_only
    connection.abort()


async def test_server_that_keeps_its_variables_to_itself_is_taken_as_usual(
    server: ScriptedServer,
) -> None:
    server.react("SELECT @@server_uuid", refuse(1142, "42000"))
    connection = await driver_of().connect()
    assert connection.server.wait_timeout == 28800
    assert connection.server.identity == ""
    connection.abort()


async def test_connection_made_without_a_pool_is_a_block(server: ScriptedServer) -> None:
    async with connect(host="db", user="app") as connection:
        assert (await connection.run("SELECT 5")).rows == [(5,)]
    assert connection.closed
    await asyncio.sleep(0.1)
    assert server.commands[-1] == "COM_QUIT"


# -- what comes back to the pool -------------------------------------------------------------------


async def test_plain_statements_leave_the_session_clean(connection: Connection) -> None:
    for sql in ("SELECT 1", "INSERT INTO t VALUES ('@a; GET_LOCK')", "UPDATE t SET a = 1"):
        await connection.run(sql)
    assert connection.condition() is Condition.CLEAN


@pytest.mark.row("J")
async def test_transaction_left_open_makes_the_connection_unusable(
    connection: Connection,
) -> None:
    await connection.begin()
    assert connection.in_transaction
    assert connection.condition() is Condition.UNUSABLE
    await connection.commit()
    assert connection.condition() is Condition.CLEAN


@pytest.mark.row("K")
@pytest.mark.parametrize(
    "sql",
    [
        "SET @a = 1",
        "SET time_zone = '+00:00'",
        "USE other",
        "CREATE TEMPORARY TABLE t (a INT)",
        "LOCK TABLES t READ",
        "SELECT GET_LOCK('a', 1)",
        "SELECT @a := 1",
        "PREPARE s FROM 'SELECT 1'",
        "SET TRANSACTION READ ONLY",
        "CALL anything()",
    ],
)
async def test_statement_that_touches_the_session_makes_it_dirty(
    connection: Connection, sql: str
) -> None:
    await connection.run(sql)
    assert connection.condition() is Condition.DIRTY


@pytest.mark.row("K")
async def test_reset_brings_back_the_collation_that_the_server_told(server: ScriptedServer) -> None:
    server.facts["@@character_set_connection"] = "utf8mb4"
    server.facts["@@collation_connection"] = "utf8mb4_general_ci"
    connection = await driver_of().connect()
    await connection.reset()
    assert "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'" in server.statements
    connection.abort()


@pytest.mark.row("L")
async def test_result_left_unread_makes_the_connection_unusable(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT many", answer_rows(("a",), [(n,) for n in range(100)]))
    rows = connection.stream("SELECT many")
    assert await anext(rows) == (0,)
    assert connection.condition() is Condition.UNUSABLE
    await rows.aclose()
    assert connection.condition() is Condition.UNUSABLE


@pytest.mark.row("L")
async def test_second_result_left_unread_makes_the_connection_unusable(
    server: ScriptedServer, connection: Connection
) -> None:
    more = wire.AUTOCOMMIT | wire.MORE_RESULTS
    server.react("SELECT two", answer_rows(("a",), [(1,)], status=more))
    cursor = await connection.cursor()
    await cursor.execute("SELECT two")
    assert connection.condition() is Condition.UNUSABLE


@pytest.mark.row("L")
async def test_stream_read_to_its_end_leaves_the_connection_clean(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT many", answer_rows(("a",), [(n,) for n in range(100)]))
    assert [row async for row in connection.stream("SELECT many")] == [(n,) for n in range(100)]
    assert connection.condition() is Condition.CLEAN


# -- upkeep ----------------------------------------------------------------------------------------


@pytest.mark.row("K")
async def test_reset_brings_the_session_back_to_how_it_was_made(server: ScriptedServer) -> None:
    connection = await driver_of(
        database="cities", init_command="SET time_zone = '+00:00'", options={"sql_mode": "'ANSI'"}
    ).connect()
    await connection.run("SET @a = 1")
    before = len(server.peers[0].commands)
    await connection.reset()
    after_reset = server.peers[0].commands[before:]
    names = [name for name, _ in after_reset]
    sql = [body.decode() for name, body in after_reset if name == "COM_QUERY"]
    assert names[0] == "COM_RESET_CONNECTION"
    assert ("COM_INIT_DB", b"cities") in after_reset
    assert any(one.startswith("SET NAMES") and "utf8mb4" in one for one in sql)
    assert any("sql_mode" in one for one in sql)
    assert "SET time_zone = '+00:00'" in sql
    assert connection.condition() is Condition.CLEAN
    connection.abort()


async def test_reset_leaves_autocommit_to_the_server_if_it_was_left_to_it(
    server: ScriptedServer,
) -> None:
    connection = await driver_of(autocommit=None).connect()
    await connection.reset()
    assert "COM_RESET_CONNECTION" in server.commands
    assert not [sql for sql in server.statements if "AUTOCOMMIT" in sql.upper()]
    connection.abort()


async def test_changed_character_set_is_used_and_reset(
    server: ScriptedServer, connection: Connection
) -> None:
    await connection.set_charset("latin1")
    await connection.run("SELECT 'ä'")
    assert server.peers[0].commands[-1][1] == "SELECT 'ä'".encode("cp1252")
    await connection.reset()
    await connection.run("SELECT 'ä'")
    assert server.peers[0].commands[-1][1] == "SELECT 'ä'".encode()


@pytest.mark.row("V")
async def test_kill_of_a_connection_is_sql(server: ScriptedServer, connection: Connection) -> None:
    await connection.kill(7)
    assert server.statements[-1] == "KILL 7"


async def test_ping_connects_again_unless_work_was_lost(
    server: ScriptedServer, connection: Connection
) -> None:
    connection.close()
    await connection.ping(reconnect=True)
    assert (await connection.run("SELECT 1")).rows == [(1,)]
    await connection.begin()
    server.peers[-1].hang_up()
    await asyncio.sleep(0.1)
    with pytest.raises((OperationalError, InterfaceError)):
        await connection.ping(reconnect=True)
