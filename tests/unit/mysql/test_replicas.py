"""Reads from a replica that does not do its part: the writer answers, in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.consistency import Reading, from_replicas
from quart_app.mysql.errors import QueryError
from quart_app.mysql.pool import Pool
from quart_app.mysql.replicas import MAX_WAIT, Replicas
from quart_app.mysql.session import Session
from tests.support.server import Reaction, ScriptedServer, answer_rows, hang_up, refuse, say_nothing
from tests.unit.mysql.scripted import scene

REPLICA = Endpoint(host="replica")
SQL = "SELECT a FROM t"


@asynccontextmanager
async def following() -> AsyncIterator[tuple[Session, ScriptedServer, ScriptedServer]]:
    """A session, its writer, which answers 1, and its replica."""
    replica = ScriptedServer()
    replica.serve_in_memory((REPLICA.host, 3306))
    connect = ConnectConfig(endpoints=(REPLICA,), user="u", tls_mode=TLSMode.DISABLED)
    async with scene() as play, Pool(connect, PoolConfig(minsize=0)) as pool:
        play.server.react(SQL, answer_rows(("a",), [(1,)]))
        play.session.replicas = Replicas(pool)
        yield play.session, play.server, replica


async def test_replica_answers() -> None:
    async with following() as (session, _, replica):
        replica.react(SQL, answer_rows(("a",), [(2,)]))
        with from_replicas(Reading()):
            assert await session.fetch_val(SQL) == 2


@pytest.mark.parametrize("seconds", [10.0, None])
async def test_frozen_replica_leaves_the_writer_time_to_answer(seconds: float | None) -> None:
    async with following() as (session, _, replica):
        replica.react(SQL, say_nothing)
        began = asyncio.get_running_loop().time()
        with deadline.within(seconds), from_replicas(Reading()):
            assert await session.fetch_val(SQL) == 1
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("fault", [hang_up, refuse(1146), refuse(1054), refuse(1142)])
async def test_whatever_a_replica_cannot_do_the_writer_is_asked(fault: Reaction) -> None:
    async with following() as (session, _, replica):
        replica.react(SQL, fault)
        with from_replicas(Reading()):
            assert await session.fetch_val(SQL) == 1


async def test_fault_of_the_statement_itself_is_told_by_the_writer() -> None:
    async with following() as (session, writer, replica):
        for server in (writer, replica):
            server.react("SELECT b", refuse(1064))
        with from_replicas(Reading()), pytest.raises(QueryError):
            await session.fetch_val("SELECT b")


WAIT = "SELECT WAIT_FOR_EXECUTED_GTID_SET"


@pytest.mark.parametrize(("reached", "answer"), [(0, 2), (1, 1)])
async def test_replica_answers_once_it_has_the_write_that_must_be_seen(
    reached: int, answer: int
) -> None:
    async with following() as (session, _, replica):
        replica.react(SQL, answer_rows(("a",), [(2,)]))
        replica.react(WAIT, answer_rows(("v",), [(reached,)]))
        with from_replicas(Reading(after="mysql:1-9")):
            assert await session.fetch_val(SQL) == answer
        assert session.replicas is not None
        assert session.replicas.left_to_writer == reached


async def test_replica_that_never_catches_up_is_waited_for_briefly() -> None:
    async with following() as (session, _, replica):
        replica.react(WAIT, say_nothing)
        began = asyncio.get_running_loop().time()
        with from_replicas(Reading(after="mysql:1-9")):
            assert await session.fetch_val(SQL) == 1
        assert asyncio.get_running_loop().time() - began == pytest.approx(2 * MAX_WAIT, abs=0.1)


async def test_writer_is_asked_unless_replicas_are_allowed() -> None:
    async with following() as (session, _, replica):
        assert await session.fetch_val(SQL) == 1
        assert replica.peers == []


async def test_closed_pool_of_replicas_leaves_all_to_the_writer() -> None:
    async with following() as (session, _, replica):
        assert session.replicas is not None
        session.replicas.pool.close()
        with from_replicas(Reading()):
            assert await session.fetch_val(SQL) == 1
        assert replica.peers == []
