"""A server that falls silent is left for another; what may not be run again waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import CommitUnknown, DatabaseError, QueryTimeout
from quart_app.mysql.lookout import SILENCE
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from tests.support.server import Peer, ScriptedServer, answer_rows, greet, refuse, say_nothing
from tests.support.virtual import VirtualLoop

LIMIT = 5.0
# Found silent at the next look, asked for a second, and then another one connected to.
FOUND = 2 * SILENCE + 1.0
MINE = "SELECT mine"


@dataclass
class Scene:
    one: ScriptedServer
    two: ScriptedServer
    session: Session

    def freeze(self, *, connects: bool = False) -> None:
        """The first server answers nobody any more; *connects*: but those who connect."""
        self.one.react("SELECT mine|INSERT|COMMIT|UPDATE", say_nothing)
        if not connects:
            self.one.react("GREETING", say_nothing)


def now() -> float:
    return asyncio.get_running_loop().time()


def listening(host: str) -> ScriptedServer:
    server = ScriptedServer()
    server.react("SELECT member_state", answer_rows(("member_state", "count"), []))
    server.react(MINE, answer_rows(("host",), [(host,)]))
    server.serve_in_memory((host, 3306))
    return server


@asynccontextmanager
async def scene(*hosts: str, maxsize: int = 4) -> AsyncIterator[Scene]:
    endpoints = tuple(Endpoint(host=host) for host in hosts)
    one, two = listening("one"), listening("two")
    connect = ConnectConfig(endpoints=endpoints, user="u", tls_mode=TLSMode.DISABLED)
    config = PoolConfig(minsize=0, maxsize=maxsize, statement_timeout=LIMIT)
    async with Pool(connect, config) as pool:
        session = Session(pool)
        assert await session.fetch_val("SELECT mine") == "one"
        yield Scene(one, two, session)


async def test_read_is_answered_by_the_next_server() -> None:
    async with scene("one", "two") as it:
        it.freeze()
        began = now()
        assert await it.session.fetch_val("SELECT mine") == "two"
        assert now() - began <= FOUND
        assert it.session.pool.generation == 1


async def test_server_that_takes_no_connections_is_left_at_once() -> None:
    async with scene("one", "two") as it:
        it.freeze(connects=True)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.network.unlisten(("one", 3306))
        began = now()
        assert await it.session.fetch_val("SELECT mine") == "two"
        assert now() - began <= 2 * SILENCE


async def test_idempotent_statement_is_done_by_the_next_server() -> None:
    async with scene("one", "two") as it:
        it.freeze()
        began = now()
        await it.session.execute("INSERT 1", idempotent=True)
        assert now() - began <= FOUND
        assert "INSERT 1" in it.two.statements


async def test_plain_write_waits_for_the_silent_server_and_is_not_repeated() -> None:
    async with scene("one", "two") as it:
        it.freeze()
        began = now()
        with pytest.raises(QueryTimeout):
            await it.session.execute("INSERT 1")
        assert now() - began == LIMIT
        assert "INSERT 1" not in it.two.statements


async def test_write_that_the_server_wakes_up_for_is_done() -> None:
    async def late(peer: Peer) -> None:
        await asyncio.sleep(FOUND + 1)
        await peer.send(b"\0\0\0\2\0\0\0")

    async with scene("one", "two") as it:
        it.freeze()
        it.one.react("INSERT", late)
        writing = asyncio.create_task(it.session.execute("INSERT 1"))
        await asyncio.sleep(FOUND)
        assert await it.session.fetch_val("SELECT mine") == "two"
        await writing


async def _insert(connection: Connection) -> None:
    await connection.run("INSERT 1")


async def test_work_before_its_commit_is_done_again_elsewhere() -> None:
    async with scene("one", "two") as it:
        it.freeze()
        began = now()
        await it.session.run(_insert, idempotent=False)
        assert now() - began <= FOUND
        assert it.two.statements[-3:] == ["BEGIN", "INSERT 1", "COMMIT"]


async def _nothing_first(connection: Connection) -> None:
    await connection.run("SELECT 1")


async def test_lost_commit_is_repeated_early_only_if_idempotent() -> None:
    async with scene("one", "two") as it:
        it.freeze()
        began = now()
        sure = asyncio.create_task(it.session.run(_nothing_first, idempotent=True))
        with pytest.raises(CommitUnknown):
            await it.session.run(_nothing_first, idempotent=False)
        assert now() - began == LIMIT
        assert sure.done()
        assert it.two.statements.count("COMMIT") == 1


async def test_slow_statement_of_a_server_that_answers_is_left_alone() -> None:
    async with scene("one", "two") as it:
        it.freeze(connects=True)
        with deadline.within(LIMIT), pytest.raises(DatabaseError):
            await it.session.fetch_val("SELECT mine")
        assert it.session.pool.generation == 0
        assert len(it.two.peers) == 0
        # Asked after a half, one, two seconds more: not at every look.
        assert 3 <= len(it.one.peers) <= 5


async def test_refusal_is_a_sign_of_life() -> None:
    async with scene("one", "two") as it:
        it.freeze(connects=True)
        it.one.react("LOGIN", refuse(1040, "08004"))
        with deadline.within(LIMIT), pytest.raises(DatabaseError):
            await it.session.fetch_val("SELECT mine")
        assert it.session.pool.generation == 0


async def test_answers_to_others_are_signs_of_life() -> None:
    async with scene("one", "two") as it:
        it.freeze(connects=True)
        slow = asyncio.create_task(it.session.execute("INSERT 1"))
        for _ in range(20):
            await it.session.fetch_val("SELECT 1")
            await asyncio.sleep(SILENCE / 2)
        assert len(it.one.peers) == 2
        with pytest.raises(QueryTimeout):
            await slow


async def test_sole_server_is_waited_for() -> None:
    async with scene("one") as it:
        it.freeze()
        with deadline.within(LIMIT), pytest.raises(DatabaseError):
            await it.session.fetch_val("SELECT mine")
        assert len(it.one.peers) == 1


async def test_server_is_kept_where_no_other_serves() -> None:
    async with scene("one", "two") as it:
        it.freeze()
        it.two.react("GREETING", say_nothing)
        with deadline.within(LIMIT), pytest.raises(DatabaseError):
            await it.session.fetch_val("SELECT mine")
        assert it.session.pool.generation == 0


async def test_server_that_serves_later_is_moved_to_at_once() -> None:
    async with scene("one", "two") as it:
        it.freeze()
        it.two.facts["@@read_only"] = 1
        reading = asyncio.create_task(it.session.fetch_val("SELECT mine"))
        await asyncio.sleep(FOUND + 1)
        assert not reading.done()
        it.two.facts["@@read_only"] = 0
        began = now()
        assert await reading == "two"
        assert now() - began <= SILENCE


async def test_answer_that_comes_while_the_server_is_asked_counts() -> None:
    async def late(peer: Peer) -> None:
        await asyncio.sleep(2 * SILENCE)
        await answer_rows(("host",), [("one",)])(peer)

    async with scene("one", "two") as it:
        it.freeze()
        it.one.react(MINE, late)
        assert await it.session.fetch_val("SELECT mine") == "one"
        await asyncio.sleep(1)
        assert it.session.pool.generation == 0


async def test_what_is_left_behind_when_others_moved_first_is_freed_too() -> None:
    async with scene("one", "two", maxsize=2) as it:
        it.freeze()
        reading = [asyncio.create_task(it.session.fetch_val("SELECT mine")) for _ in range(4)]
        began = now()
        assert set(await asyncio.gather(*reading)) == {"two"}
        assert now() - began <= FOUND + 1


async def test_server_is_left_also_if_its_statement_ended_meanwhile() -> None:
    async def late(peer: Peer) -> None:
        await asyncio.sleep(SILENCE)
        await greet(peer)

    async with scene("one", "two") as it:
        it.freeze()
        it.two.react("GREETING", late)
        with deadline.within(SILENCE + 1.0 + SILENCE / 2), pytest.raises(DatabaseError):
            await it.session.fetch_val("SELECT mine")
        await asyncio.sleep(SILENCE)
        assert it.session.pool.generation == 1
