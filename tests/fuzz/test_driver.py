"""A server that lies: real answers with some bytes changed, at every stage of a connection.

Whatever comes, the caller gets an answer or one of our errors before its deadline, and a connection
that the pool would lend again gives the next caller that caller's own answer.
"""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import DatabaseError
from tests.fuzz.answers import ANSWERS, encode, mutated
from tests.support import wire
from tests.support.server import Peer, ScriptedServer, accept, greet
from tests.support.virtual import run

FUZZED = settings(max_examples=200, deadline=None)
PATIENCE = 5.0
_HONEST = ANSWERS.map(lambda answer: encode(answer.payloads()))
# Two answers to one question: the second must never be taken for the next question's.
STREAMS = mutated(_HONEST) | st.tuples(_HONEST, _HONEST).map(b"".join)
GREETINGS = mutated(st.just(wire.packet(0, wire.greeting(thread_id=7, version="11.8.6-MariaDB"))))
LOGINS = mutated(
    st.sampled_from(
        [
            wire.packet(2, wire.ok()),
            wire.packet(2, wire.error(1045, "28000", "denied")),
            wire.packet(2, b"\xfecaching_sha2_password\x00" + wire.SALT + b"\x00"),
            wire.packet(2, b"\xfemysql_native_password\x00" + wire.SALT + b"\x00"),
            wire.packet(2, b"\x01\x04"),
        ]
    )
)


def _lying(stage: str, data: bytes, *, then_hang_up: bool) -> ScriptedServer:
    """A server that sends *data* where its answer at *stage* belongs."""
    server = ScriptedServer()

    async def lie(peer: Peer) -> None:
        await peer.send_raw(data)
        if then_hang_up:
            peer.hang_up()

    server.react(stage, lie, times=1)
    server.serve_in_memory(("db", 3306))
    return server


def _driver() -> MySQLDriver:
    config = ConnectConfig(
        endpoints=(Endpoint(host="db"),),
        user="app",
        password="secret",
        tls_mode=TLSMode.DISABLED,
        connect_timeout=PATIENCE,
    )
    return MySQLDriver(config)


async def _connects_or_says_why(stage: str, data: bytes, *, then_hang_up: bool) -> None:
    server = _lying(stage, data, then_hang_up=then_hang_up)
    try:
        connection = await _driver().connect()
    except DatabaseError:
        await asyncio.sleep(0.01)
        assert all(peer.writer.transport.is_closing() for peer in server.peers)
        return
    await _gives_the_next_caller_its_own(connection)
    connection.abort()


async def _gives_the_next_caller_its_own(connection: Connection) -> None:
    """Lend *connection* again if the pool would."""
    await asyncio.sleep(0.01)  # what is on its way arrives
    if connection.condition() is Condition.UNUSABLE:
        return
    with deadline.within(PATIENCE):
        try:
            result = await connection.run("SELECT 4711")
        except DatabaseError:
            return
    assert result.rows == [(4711,)]


async def _query(data: bytes, *, then_hang_up: bool, ask: Callable[[Connection], object]) -> None:
    _lying("SELECT fuzz", data, then_hang_up=then_hang_up)
    connection = await _driver().connect()
    began = asyncio.get_running_loop().time()
    with deadline.within(PATIENCE):
        try:
            work = ask(connection)
            assert asyncio.iscoroutine(work)
            await work
        except DatabaseError:
            pass
        except ValueError as exc:
            pytest.fail(f"{exc!r}")
    assert asyncio.get_running_loop().time() - began <= PATIENCE
    await _gives_the_next_caller_its_own(connection)
    connection.abort()


async def _streamed(connection: Connection) -> None:
    async for row in connection.stream("SELECT fuzz"):
        assert isinstance(row, tuple)


@FUZZED
@given(STREAMS, st.booleans())
def test_answer_with_changed_bytes_harms_nobody_else(data: bytes, then_hang_up: bool) -> None:
    run(_query(data, then_hang_up=then_hang_up, ask=lambda one: one.run("SELECT fuzz")))


@FUZZED
@given(STREAMS, st.booleans())
def test_stream_with_changed_bytes_harms_nobody_else(data: bytes, then_hang_up: bool) -> None:
    run(_query(data, then_hang_up=then_hang_up, ask=_streamed))


@FUZZED
@given(GREETINGS, st.booleans())
def test_greeting_with_changed_bytes_is_an_error_or_none(data: bytes, then_hang_up: bool) -> None:
    run(_connects_or_says_why("GREETING", data, then_hang_up=then_hang_up))


@FUZZED
@given(LOGINS, st.booleans())
def test_login_with_changed_bytes_is_an_error_or_none(data: bytes, then_hang_up: bool) -> None:
    run(_connects_or_says_why("LOGIN", data, then_hang_up=then_hang_up))


def test_liar_that_tells_the_truth_is_believed() -> None:
    async def work() -> list[object]:
        server = ScriptedServer()
        server.react("GREETING", greet)
        server.react("LOGIN", accept)
        server.serve_in_memory(("db", 3306))
        connection = await _driver().connect()
        rows: list[object] = list((await connection.run("SELECT 4711")).rows)
        connection.abort()
        return rows

    assert run(work()) == [(4711,)]
