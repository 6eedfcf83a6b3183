"""The socket: opened under one deadline, its end heard, closed for good."""

import asyncio
import socket
from typing import Any

import pytest
from pymysql.err import OperationalError

from quart_app.mysql.config import Endpoint, TLSMode
from quart_app.mysql.driver import Connection, connect
from quart_app.mysql.errors import AccessDenied, ConnectError, ConnectionLost
from tests.support import wire
from tests.support.server import (
    Peer,
    ScriptedServer,
    accept,
    after,
    answer,
    answer_rows,
    hang_up,
    refuse,
    reset,
    say_nothing,
)
from tests.unit.mysql.driver.lone import driver_of, network, now

# -- opening ---------------------------------------------------------------------------------------


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


@pytest.mark.row("U")
async def test_slow_source_of_passwords_is_within_the_connect_deadline() -> None:
    async def password() -> str:
        await asyncio.sleep(100)
        return ""

    began = now()
    with pytest.raises(ConnectError):
        await driver_of(password=password, connect_timeout=1).connect()
    assert now() - began == 1


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


# -- the end, heard --------------------------------------------------------------------------------


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


# -- closing ---------------------------------------------------------------------------------------


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


async def test_socket_is_gone_a_second_after_a_quit_at_the_latest(
    server: ScriptedServer, connection: Connection
) -> None:
    connection.quit()
    before = connection.gone
    await connection.wait_gone(1)
    assert (before, connection.gone) == (False, True)
    assert server.peers
