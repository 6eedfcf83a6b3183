"""The change to TLS and its goodbye: what of it needs no certificate."""

import asyncio
import os
import select
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import aiomysql
import pytest
from pymysql.constants import CLIENT

from quart_app.mysql.config import TLSMode
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import TLSRequired
from tests.support.memory import MemoryTransport
from tests.support.server import ScriptedServer
from tests.unit.mysql.driver.lone import driver_of, now


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
