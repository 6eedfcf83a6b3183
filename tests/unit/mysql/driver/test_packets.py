"""Packets: written and read, and none of what the server says is lost."""

import asyncio
from typing import Any

import pytest
from pymysql.err import InterfaceError, InternalError, OperationalError

from quart_app.mysql.driver import Condition, Connection, packets
from quart_app.mysql.errors import ConnectionLost, QueryError
from tests.support import wire
from tests.support.memory import MemoryTransport
from tests.support.server import (
    Peer,
    ScriptedServer,
    answer,
    answer_rows,
    hang_up,
    last_words,
    refuse,
    reset,
    say_last_words,
)
from tests.unit.mysql.driver.lone import driver_of

# -- writing ---------------------------------------------------------------------------------------


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


# -- last words ------------------------------------------------------------------------------------


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


# -- reading ---------------------------------------------------------------------------------------


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


async def test_error_that_rolled_back_ends_the_transaction_here_too(
    server: ScriptedServer, connection: Connection
) -> None:
    server.react("UPDATE", refuse(1213, "40001"))
    await connection.begin()
    with pytest.raises(Exception, match="Deadlock"):
        await connection.run("UPDATE t SET a = 1")
    assert not connection.in_transaction


async def test_long_cells_reach_cursors_whole(
    server: ScriptedServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "MAX_FRAGMENT_BYTES", 100)
    fragments: list[bytes] = []
    for payload in wire.result([("a", 253)], [("x" * 197,)]):
        fragments += [payload[at : at + 100] for at in range(0, len(payload) + 1, 100)]
    server.react("SELECT long", answer(*fragments))
    cursor = await connection.cursor()
    await cursor.execute("SELECT long")
    assert await cursor.fetchall() == (("x" * 197,),)
