"""Cancellation at every await of statements and transactions: nothing leaks, nothing is half done."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from quart_app.mysql.driver import Connection
from tests.support.server import Reaction, after, hang_up, refuse
from tests.support.stepping import Mark, Moment, cancel_everywhere
from tests.unit.mysql.scripted import Scene, scene

MOMENTS = pytest.mark.parametrize("moment", Moment)
Use = Callable[[Scene], Awaitable[object]]


async def read(play: Scene) -> object:
    return await play.session.fetch_val("SELECT 1")


async def write(play: Scene) -> object:
    return await play.session.execute("INSERT INTO t VALUES (1)")


async def iterate(play: Scene) -> object:
    return [row async for row in play.session.iterate("SELECT 1")]


async def transact(play: Scene) -> object:
    async with play.session.transaction():
        await play.session.execute("INSERT INTO t VALUES (1)")
        async with play.session.transaction():
            await play.session.execute("INSERT INTO t VALUES (2)")
    return None


async def fail_in_transaction(play: Scene) -> object:
    with suppress(KeyError):
        async with play.session.transaction():
            await play.session.execute("INSERT INTO t VALUES (1)")
            raise KeyError
    return None


async def work(play: Scene) -> object:
    async def insert(connection: Connection) -> None:
        await connection.run("INSERT INTO t VALUES (1)")

    return await play.session.run(insert, idempotent=True)


@MOMENTS
@pytest.mark.parametrize(
    "use", [read, write, iterate, transact, fail_in_transaction, work], ids=lambda use: use.__name__
)
@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("", None),
        ("INSERT", hang_up),
        ("SELECT 1", hang_up),
        ("BEGIN", hang_up),
        ("COMMIT", refuse(1213)),
        ("ROLLBACK", hang_up),
        ("GREETING", hang_up),
    ],
)
async def test_cancelled_anywhere(
    moment: Moment, use: Use, statement: str, fault: Reaction | None
) -> None:
    async def scenario(mark: Mark) -> None:
        async with scene(maxsize=1) as play:
            if fault is not None:
                play.server.react(statement, fault, times=1)
            with suppress(asyncio.CancelledError, Exception):
                await mark(use(play))
            # The pool lends what it has, and that is fit for use: no transaction is open on it.
            async with play.session.connection() as connection:
                assert not connection.in_transaction
                assert await play.session.fetch_val("SELECT 2") == 2
            await asyncio.sleep(5)
            assert not any(
                peer.in_transaction and not peer.writer.transport.is_closing()
                for peer in play.server.peers
            )

    assert await cancel_everywhere(scenario, moment=moment) >= 1


@MOMENTS
async def test_cancelled_while_the_server_takes_its_time(moment: Moment) -> None:
    async def scenario(mark: Mark) -> None:
        async with scene(maxsize=1) as play:
            play.server.react("COMMIT", after(1.0, hang_up), times=1)
            with suppress(asyncio.CancelledError):
                await mark(work(play))
            await asyncio.sleep(5)
            async with play.session.connection() as connection:
                assert not connection.in_transaction

    assert await cancel_everywhere(scenario, moment=moment) >= 1
