"""The driver against a scripted server: exact bytes, virtual time, no socket."""

import asyncio
import datetime as dt
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import aiomysql
import pytest
from aiomysql import SSCursor
from pymysql.constants import CLIENT
from pymysql.err import InterfaceError, InternalError, OperationalError

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Condition, Connection, connect
from quart_app.mysql.driver import wire as driver_wire
from quart_app.mysql.errors import (
    AccessDenied,
    ConnectError,
    ConnectionLost,
    QueryError,
    QueryTimeout,
    TLSRequired,
)
from tests.support import wire
from tests.support.memory import MemoryTransport
from tests.support.server import (
    Peer,
    Reaction,
    ScriptedServer,
    accept,
    after,
    answer,
    answer_rows,
    hang_up,
    last_words,
    refuse,
    reset,
    say_last_words,
    say_nothing,
)
from tests.support.virtual import VirtualLoop

ADDRESS = ("db", 3306)


def now() -> float:
    return asyncio.get_running_loop().time()


def network() -> Any:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.network


@pytest.fixture(name="server")
async def _server() -> ScriptedServer:
    server = ScriptedServer()
    server.serve_in_memory(ADDRESS)
    return server


def driver_of(**config: Any) -> MySQLDriver:
    known: dict[str, Any] = {
        "endpoints": (Endpoint(host="db"),),
        "user": "app",
        "password": "secret",
        "tls_mode": TLSMode.DISABLED,
    }
    return MySQLDriver(ConnectConfig(**known | config))


@pytest.fixture(name="connection")
async def _connection(server: ScriptedServer) -> AsyncIterator[Connection]:
    assert server.peers == []
    connection = await driver_of().connect()
    yield connection
    connection.abort()


# -- opening ---------------------------------------------------------------------------------------


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


@pytest.mark.row("D")
@pytest.mark.parametrize("phase", ["GREETING", "LOGIN", "SELECT @@server_uuid", "SET"])
async def test_connect_has_one_deadline_over_every_phase(
    server: ScriptedServer, phase: str
) -> None:
    server.react(phase, say_nothing)
    began = now()
    with pytest.raises(ConnectError):
        await driver_of(connect_timeout=2.5, init_command="SET @a = 1").connect()
    assert now() - began == 2.5


@pytest.mark.row("D")
async def test_connect_is_bounded_though_each_phase_is_quick_enough(server: ScriptedServer) -> None:
    server.react("LOGIN", after(2, accept))
    server.react("SELECT", after(2, answer_rows(("a",), [(1,)])))
    began = now()
    with pytest.raises(ConnectError):
        await driver_of(connect_timeout=3).connect()
    assert now() - began == 3


@pytest.mark.row("D")
async def test_connect_is_bounded_when_the_syn_is_lost() -> None:
    network().connect_delay = None
    began = now()
    with pytest.raises(ConnectError) as caught:
        await driver_of(connect_timeout=3).connect()
    assert now() - began == 3
    assert caught.value.errno == 2003


@pytest.mark.row("D")
@pytest.mark.parametrize("phase", ["GREETING", "LOGIN", "SELECT", "SET AUTOCOMMIT"])
async def test_connection_made_without_a_pool_has_that_deadline_too(
    server: ScriptedServer, phase: str
) -> None:
    server.react(phase, say_nothing)
    began = now()
    with pytest.raises(OperationalError) as caught:
        await connect(host="db", user="app", connect_timeout=1.5, autocommit=False)
    assert now() - began == 1.5
    assert caught.value.args[0] == 2003


async def test_connection_made_without_a_pool_is_a_block(server: ScriptedServer) -> None:
    async with connect(host="db", user="app") as connection:
        assert (await connection.run("SELECT 5")).rows == [(5,)]
    assert connection.closed
    await asyncio.sleep(0.1)
    assert server.commands[-1] == "COM_QUIT"


async def test_refused_port_is_a_connect_error() -> None:
    with pytest.raises(ConnectError) as caught:
        await driver_of().connect()
    assert caught.value.errno == 2003
    assert isinstance(caught.value.__cause__, OperationalError)


@pytest.mark.parametrize("reaction", [hang_up, reset])
@pytest.mark.parametrize("phase", ["GREETING", "LOGIN", "SELECT"])
async def test_server_that_leaves_during_the_handshake_is_a_connect_error(
    server: ScriptedServer, phase: str, reaction: Any
) -> None:
    server.react(phase, reaction)
    with pytest.raises(ConnectError):
        await driver_of().connect()


@pytest.mark.row("N")
async def test_error_with_an_unexpected_number_while_logging_in_is_a_connect_error(
    server: ScriptedServer,
) -> None:
    async def too_late(peer: Peer) -> None:
        peer.sequence = 1
        await peer.send(wire.error(1159, "08S01", "Got timeout reading communication packets"))
        peer.hang_up()

    server.react("LOGIN", too_late)
    with pytest.raises(ConnectError):
        await driver_of().connect()
    server.react("LOGIN", accept)
    connection = await driver_of().connect()
    connection.abort()


async def test_error_instead_of_a_greeting_is_told(server: ScriptedServer) -> None:
    server.react("GREETING", answer(wire.early_error(1040, "Too many connections")))
    with pytest.raises(ConnectError) as caught:
        await driver_of().connect()
    assert caught.value.errno == 1040
    assert type(caught.value).__name__ == "TooManyConnections"


async def test_refused_password_is_told_without_the_password(server: ScriptedServer) -> None:
    server.react("LOGIN", refuse(1045, "28000", "Access denied"))
    with pytest.raises(AccessDenied) as caught:
        await driver_of().connect()
    assert caught.value.errno == 1045
    assert "secret" not in str(caught.value)


@pytest.mark.row("U")
async def test_password_is_asked_for_at_every_connect(server: ScriptedServer) -> None:
    passwords = iter(["first", "second"])

    async def password() -> str:
        return next(passwords)

    driver = driver_of(password=password)
    (await driver.connect()).abort()
    (await driver.connect()).abort()
    assert next(passwords, None) is None
    assert server.peers[0].login != server.peers[1].login


@pytest.mark.row("U")
async def test_slow_source_of_passwords_is_within_the_connect_deadline() -> None:
    async def password() -> str:
        await asyncio.sleep(100)
        return ""

    began = now()
    with pytest.raises(ConnectError):
        await driver_of(password=password, connect_timeout=1).connect()
    assert now() - began == 1


@pytest.mark.row("R")
@pytest.mark.parametrize("mode", [TLSMode.REQUIRED, TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY])
async def test_tls_that_is_demanded_is_not_done_without(
    server: ScriptedServer, mode: TLSMode
) -> None:
    with pytest.raises(TLSRequired):
        await driver_of(tls_mode=mode).connect()
    assert server.peers[0].login == b"", "not even the user's name was sent"


@pytest.mark.row("R")
async def test_tls_that_is_preferred_is_done_without_if_need_be(server: ScriptedServer) -> None:
    connection = await driver_of(tls_mode=TLSMode.PREFERRED).connect()
    assert server.peers[0].login
    connection.abort()


@pytest.mark.row("E")
async def test_socket_notices_a_dead_network_in_seconds(server: ScriptedServer) -> None:
    connection = await driver_of().connect()
    options = network().transports[0].socket.options
    assert options[socket.SOL_SOCKET, socket.SO_KEEPALIVE] == 1
    assert options[socket.IPPROTO_TCP, socket.TCP_KEEPIDLE] <= 30
    assert options[socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT] <= 30_000
    assert options[socket.IPPROTO_TCP, socket.TCP_NODELAY] == 1
    assert server.peers
    connection.abort()


@pytest.mark.row("T")
async def test_unix_socket_takes_no_tcp_options() -> None:
    server = ScriptedServer()
    network().listen("/run/db.sock", server.handle)
    connection = await driver_of(
        endpoints=(Endpoint(unix_socket="/run/db.sock"),), tls_mode=TLSMode.PREFERRED
    ).connect()
    assert network().transports[0].socket.options == {}
    assert connection.unix_socket == "/run/db.sock"
    connection.abort()


# -- deadlines -------------------------------------------------------------------------------------


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
async def test_write_waits_for_the_peer_to_read(
    server: ScriptedServer, connection: Connection
) -> None:
    transport = server.peers[0].writer.transport
    assert isinstance(transport, MemoryTransport)
    transport.pause_reading()
    server.react("SELECT 'x", answer_rows(("a",), [(1,)]))
    task = asyncio.create_task(connection.run("SELECT '" + "x" * 1_000_000 + "'"))
    await asyncio.sleep(5)
    assert not task.done()
    assert connection._draining, "it waits for room, not yet for an answer"
    transport.resume_reading()
    await task


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


@pytest.mark.row("F")
async def test_statement_too_large_is_refused_before_it_is_sent(server: ScriptedServer) -> None:
    server.facts["@@max_allowed_packet"] = 1000
    connection = await driver_of().connect()
    sent = len(server.statements)
    with pytest.raises(QueryError) as caught:
        await connection.run("SELECT '" + "x" * 1000 + "'")
    assert caught.value.errno == 1153
    assert len(server.statements) == sent
    await connection.run("SELECT 1")
    connection.abort()


# -- death -----------------------------------------------------------------------------------------


@pytest.mark.row("G")
async def test_servers_last_words_prove_that_nothing_was_executed(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("INSERT", last_words(4031, "HY000", "disconnected because of inactivity"))
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("INSERT INTO t VALUES (1)")
    assert caught.value.errno == 4031
    assert caught.value.sent is False
    assert connection.closed


@pytest.mark.row("G")
@pytest.mark.parametrize("code", [1053, 1927, 3169])
async def test_other_last_words_are_kept_but_prove_nothing(
    server: ScriptedServer, connection: Connection, code: int
) -> None:
    server.react("INSERT", last_words(code))
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("INSERT INTO t VALUES (1)")
    assert caught.value.errno == code
    assert caught.value.sent is True


@pytest.mark.row("G")
async def test_cursor_sees_the_last_words_too(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("INSERT", last_words(4031))
    async with connection.cursor() as cursor:
        with pytest.raises(OperationalError) as caught:
            await cursor.execute("INSERT INTO t VALUES (1)")
    assert caught.value.args[0] == 4031


@pytest.mark.row("H")
async def test_unread_last_words_are_noticed_without_a_round_trip(
    server: ScriptedServer, connection: Connection
) -> None:
    assert connection.is_alive()
    await server.peers[0].send_raw(wire.packet(0, wire.error(4031)))
    await asyncio.sleep(0.1)
    assert not connection.is_alive(), "bytes wait unread, though no FIN has come"
    assert connection.condition() is Condition.UNUSABLE


@pytest.mark.row("H")
async def test_statement_on_a_connection_with_unread_last_words_is_not_sent(
    server: ScriptedServer, connection: Connection
) -> None:
    await say_last_words(server.peers[0], 4031)
    await asyncio.sleep(0.1)
    sent = len(server.statements)
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("INSERT INTO t VALUES (1)")
    assert (caught.value.errno, caught.value.sent) == (4031, False)
    assert len(server.statements) == sent


@pytest.mark.row("H")
@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_end_of_the_socket_is_pushed(
    server: ScriptedServer, connection: Connection, end: str
) -> None:
    told: list[float] = []
    connection.on_lost = lambda: told.append(now())
    if end == "fin":
        server.peers[0].hang_up()
    else:
        server.peers[0].reset()
    await asyncio.sleep(1)
    assert told == [now() - 1]
    assert not connection.is_alive()
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("INSERT")
    assert caught.value.sent is False


async def test_end_of_the_socket_made_by_a_ping_is_pushed_too(
    server: ScriptedServer, connection: Connection
) -> None:
    told: list[float] = []
    connection.on_lost = lambda: told.append(now())
    server.peers[0].hang_up()
    await asyncio.sleep(1)
    await connection.ping(reconnect=True)
    told.clear()
    server.peers[1].hang_up()
    await asyncio.sleep(1)
    assert told == [now() - 1]


async def test_error_of_a_closed_socket_is_not_reported_as_never_retrieved(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT", reset)
    with pytest.raises(ConnectionLost):
        await connection.run("SELECT 1")
    await asyncio.sleep(1)
    closed = connection._closing()
    assert closed.done()
    assert not closed._log_traceback, "the loop's exception handler would tell of it"
    assert isinstance(closed.exception(), ConnectionResetError)


@pytest.mark.parametrize("reaction", [hang_up, reset])
async def test_answer_that_never_comes_leaves_open_what_was_executed(
    server: ScriptedServer, connection: Connection, reaction: Any
) -> None:
    server.react("COMMIT", reaction)
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("COMMIT")
    assert caught.value.sent is True
    assert connection.closed


async def test_result_cut_off_in_its_middle_is_a_lost_connection(
    server: ScriptedServer, connection: Connection
) -> None:
    async def half(peer: Peer) -> None:
        for payload in wire.result([("a", 253)], [("x" * 100,)])[:4]:
            data = wire.packet(peer.sequence, payload)
            peer.sequence += 1
            await peer.send_raw(data[:-5] if len(payload) > 90 else data)
        peer.hang_up()

    server.react("SELECT half", half)
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("SELECT half")
    assert caught.value.sent is True


async def test_use_after_a_loss_is_proven_unsent(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT x", hang_up)
    with pytest.raises(ConnectionLost):
        await connection.run("SELECT x")
    with pytest.raises(ConnectionLost) as caught:
        await connection.run("INSERT")
    assert caught.value.sent is False


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


@pytest.mark.row("W")
async def test_sequence_that_is_wrong_ends_the_connection_for_cursors_too(
    server: ScriptedServer, connection: Connection
) -> None:
    async def skip(peer: Peer) -> None:
        peer.sequence = 5
        await peer.send(wire.ok())

    server.react("SELECT skip", skip)
    async with connection.cursor() as cursor:
        with pytest.raises(InternalError):
            await cursor.execute("SELECT skip")
    assert connection.closed


# -- cancellation and misuse -----------------------------------------------------------------------


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


@pytest.mark.row("M")
async def test_use_after_release_raises_at_once(
    server: ScriptedServer, connection: Connection
) -> None:
    connection.returned = True
    sent = len(server.statements)
    with pytest.raises(ConnectionLost):
        await connection.run("SELECT 1")
    with pytest.raises(InterfaceError):
        await connection.cursor()
    with pytest.raises(InterfaceError):
        await connection.commit()
    assert len(server.statements) == sent


@pytest.mark.row("O")
async def test_orderly_close_takes_leave(server: ScriptedServer, connection: Connection) -> None:
    connection.quit()
    await asyncio.sleep(0.1)
    assert server.commands[-1] == "COM_QUIT"
    assert connection.closed
    connection.quit()


@pytest.mark.row("O")
async def test_close_in_the_middle_of_an_answer_takes_no_leave(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("SELECT SLEEP", say_nothing)
    task = asyncio.create_task(connection.run("SELECT SLEEP(9)"))
    await asyncio.sleep(0.1)
    connection.quit()
    await asyncio.wait({task})
    assert isinstance(task.exception(), ConnectionLost)
    assert server.commands[-1] == "COM_QUERY"


# -- what comes back to the pool -------------------------------------------------------------------


async def test_plain_statements_leave_the_session_clean(connection: Connection) -> None:
    for sql in ("SELECT 1", "INSERT INTO t VALUES ('@a; GET_LOCK')", "UPDATE t SET a = 1"):
        await connection.run(sql)
    assert connection.condition() is Condition.CLEAN


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


@pytest.mark.row("J")
async def test_transaction_left_open_makes_the_connection_unusable(
    connection: Connection,
) -> None:
    await connection.begin()
    assert connection.in_transaction
    assert connection.condition() is Condition.UNUSABLE
    await connection.commit()
    assert connection.condition() is Condition.CLEAN


async def test_error_that_rolled_back_ends_the_transaction_here_too(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("UPDATE", refuse(1213, "40001"))
    await connection.begin()
    with pytest.raises(Exception, match="Deadlock"):
        await connection.run("UPDATE t SET a = 1")
    assert not connection.in_transaction


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


# -- answers ---------------------------------------------------------------------------------------


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


async def test_remembered_columns_do_not_grow_without_end(
    server: ScriptedServer, connection: Connection
) -> None:
    for number in range(2000):
        server._rules.clear()
        server.react("SELECT", answer_rows((f"column {number}",), [(1,)]))
        await connection.run("SELECT 1")
    assert len(connection._columns) < 2000


# -- the rest of aiomysql's interface --------------------------------------------------------------


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


async def test_changed_character_set_is_used_and_reset(
    server: ScriptedServer, connection: Connection
) -> None:
    await connection.set_charset("latin1")
    await connection.run("SELECT 'ä'")
    assert server.peers[0].commands[-1][1] == "SELECT 'ä'".encode("cp1252")
    await connection.reset()
    await connection.run("SELECT 'ä'")
    assert server.peers[0].commands[-1][1] == "SELECT 'ä'".encode()


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


async def test_commit_answered_by_rows_is_out_of_sync(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("COMMIT", answer(wire.length_encoded(1)))
    with pytest.raises(OperationalError) as caught:
        await connection.commit()
    assert caught.value.args[0] == 2014


async def test_server_that_keeps_its_variables_to_itself_is_taken_as_usual(
    server: ScriptedServer,
) -> None:
    server.react("SELECT @@server_uuid", refuse(1142, "42000"))
    connection = await driver_of().connect()
    assert connection.server.wait_timeout == 28800
    assert connection.server.identity == ""
    connection.abort()


@pytest.mark.row("F")
@pytest.mark.parametrize("end", ["cancel", "rst"])
async def test_write_that_nobody_reads_can_be_ended(
    server: ScriptedServer, connection: Connection, end: str
) -> None:
    transport = server.peers[0].writer.transport
    assert isinstance(transport, MemoryTransport)
    transport.pause_reading()
    task = asyncio.create_task(connection.run("SELECT '" + "x" * 1_000_000 + "'"))
    await asyncio.sleep(1)
    with pytest.raises(ConnectionLost):
        await connection.run("SELECT 'beside it'")
    if end == "cancel":
        task.cancel()
    else:
        transport.reset()
    await asyncio.wait({task})
    assert task.cancelled() == (end == "cancel")
    assert connection.closed


async def test_socket_is_gone_a_second_after_a_quit_at_the_latest(
    server: ScriptedServer, connection: Connection
) -> None:
    connection.quit()
    before = connection.gone
    await connection.wait_gone(1)
    assert (before, connection.gone) == (False, True)
    assert server.peers


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


async def test_long_cells_reach_cursors_whole(
    server: ScriptedServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_wire, "MAX_FRAGMENT_BYTES", 100)
    fragments: list[bytes] = []
    for payload in wire.result([("a", 253)], [("x" * 197,)]):
        fragments += [payload[at : at + 100] for at in range(0, len(payload) + 1, 100)]
    server.react("SELECT long", answer(*fragments))
    cursor = await connection.cursor()
    await cursor.execute("SELECT long")
    assert await cursor.fetchall() == (("x" * 197,),)


async def test_reset_leaves_autocommit_to_the_server_if_it_was_left_to_it(
    server: ScriptedServer,
) -> None:
    connection = await driver_of(autocommit=None).connect()
    await connection.reset()
    assert "COM_RESET_CONNECTION" in server.commands
    assert not [sql for sql in server.statements if "AUTOCOMMIT" in sql.upper()]
    connection.abort()


# -- TLS: what of it needs no certificate ----------------------------------------------------------


def frozen(connection: Connection) -> MemoryTransport:
    """Its transport waits for a goodbye that never comes, as TLS does, until it is aborted."""
    transport: Any = connection._writer.transport
    transport.close = lambda: None
    transport.abort = partial(MemoryTransport.close, transport)
    connection._secure = True
    assert isinstance(transport, MemoryTransport)
    return transport


async def test_frozen_peer_of_a_quit_is_left_after_a_second(
    server: ScriptedServer, connection: Connection
) -> None:
    transport, began = frozen(connection), now()
    connection.quit()
    assert not transport.is_closing()
    await connection.wait_gone(5)
    assert (connection.gone, now() - began) == (True, 1)
    assert server.commands[-1] == "COM_QUIT"


async def test_frozen_peer_is_waited_for_no_longer_than_told(connection: Connection) -> None:
    transport, began = frozen(connection), now()
    connection.close()
    await connection.wait_gone(0.5)
    assert (connection.gone, now() - began) == (True, 0.5)
    assert transport.is_closing()


@pytest.fixture(name="upgrade")
def _upgrade(connection: Connection) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection about to change to TLS on a real socket, and the peer's end of that."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport: Any = connection._writer.transport
    transport._extra["socket"] = ours
    connection._ssl_context = object()
    connection.server_capabilities |= CLIENT.SSL
    with ours, theirs:
        yield connection, theirs


async def test_socket_is_shut_when_the_change_to_tls_is_cancelled(
    upgrade: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def for_ever(_: aiomysql.Connection) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(aiomysql.Connection, "_request_authentication", for_ever)
    connection, theirs = upgrade
    task = asyncio.create_task(connection._request_authentication())
    await asyncio.sleep(1)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    task.cancel()
    began = now()
    await asyncio.wait({task})
    assert task.cancelled()
    assert theirs.recv(1) == b""
    assert now() - began == 1  # it does not end for ever


async def test_cancelled_change_to_tls_closes_what_it_made_before_it_ends(
    upgrade: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[float] = []

    async def until_its_socket_is_shut(_: aiomysql.Connection) -> None:
        while select.select([theirs], [], [], 0)[0] == []:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(0.1)
        closed.append(now())
        raise ConnectionResetError

    monkeypatch.setattr(aiomysql.Connection, "_request_authentication", until_its_socket_is_shut)
    connection, theirs = upgrade
    task = asyncio.create_task(connection._request_authentication())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert closed == [now()]


async def test_socket_stays_open_after_the_change_to_tls(
    upgrade: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_: aiomysql.Connection) -> None: ...

    monkeypatch.setattr(aiomysql.Connection, "_request_authentication", at_once)
    connection, theirs = upgrade
    await connection._request_authentication()
    assert connection._left is connection._writer
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


async def test_change_to_tls_that_fails_early_leaves_no_socket_that_closes_anothers(
    upgrade: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []

    async def fail_early(connection: aiomysql.Connection) -> None:
        duplicate = connection._writer.transport.get_extra_info("socket", default=None).dup()
        made.append(duplicate)
        os.close(duplicate.fileno())  # as uvloop does, without a word to the socket
        raise ConnectionResetError

    monkeypatch.setattr(aiomysql.Connection, "_request_authentication", fail_early)
    connection, _ = upgrade
    transport = connection._writer.transport
    with pytest.raises(ConnectionResetError):
        await connection._request_authentication()
    assert made[0].fileno() == -1
    assert connection._writer.transport is transport
