"""aiomysql's interface on a scripted server: what the real ones cannot be made to show quickly."""

import asyncio
import ssl
from typing import Any

import aiomysql
import pytest
from pymysql.err import OperationalError

from quart_app.mysql.compat import AiomysqlPool, connect_config, create_pool
from quart_app.mysql.config import TLSMode
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import PoolTimeout
from quart_app.mysql.slot import SlotState
from tests.support.server import (
    ScriptedServer,
    after,
    greet,
    hang_up,
    last_words,
    refuse,
    say_nothing,
)


@pytest.fixture(name="server", autouse=True)
async def _server() -> ScriptedServer:
    server = ScriptedServer()
    server.serve_in_memory(("localhost", 3306))
    return server


async def close(pool: AiomysqlPool) -> None:
    pool.close()
    await pool.wait_closed()


async def test_pool_is_made_with_its_minimum_and_is_aiomysqls(server: ScriptedServer) -> None:
    pool = await create_pool(minsize=3, user="app")
    assert isinstance(pool, aiomysql.Pool)
    assert len(server.peers) == pool.size == pool.freesize == 3
    assert (len(pool._free), pool._used) == (3, set())
    connection = await pool.acquire()
    assert pool._used == {connection}
    await pool.release(connection)
    await close(pool)


async def released(pool: AiomysqlPool, statement: str) -> Connection:
    """A connection that has just come back after *statement*."""
    async with pool.acquire() as connection:
        await connection.query(statement)
    return connection


async def test_connection_is_free_as_soon_as_it_is_released() -> None:
    pool = await create_pool(user="app", minsize=2)
    await released(pool, "SET @mine = 1")
    assert pool.slot_states().count(SlotState.RESETTING) == 1
    assert (pool.size, pool.freesize, len(pool._free)) == (2, 2, 2)
    await close(pool)


async def test_cleared_pool_has_nothing_even_if_something_was_being_reset() -> None:
    pool = await create_pool(user="app", minsize=2)
    await released(pool, "SET @mine = 1")
    await pool.clear()
    assert (pool.size, pool.freesize, len(pool._free)) == (0, 0, 0)
    await asyncio.sleep(1)
    assert (pool.size, pool.freesize) == (2, 2), "the minimum is there again, in the background"
    await close(pool)


async def test_what_is_made_counts_once_it_is_there_or_somebody_waits(
    server: ScriptedServer,
) -> None:
    pool = await create_pool(user="app", minsize=1, maxsize=2)
    connection = await pool.acquire()
    connection.close()
    server.react("GREETING", after(1, greet))
    pool.release(connection)
    assert (pool.size, pool.freesize) == (0, 0)
    waiting = asyncio.ensure_future(pool.acquire())
    await asyncio.sleep(0.5)
    assert (pool.size, pool.freesize) == (1, 0)
    pool.release(await waiting)
    assert (pool.size, pool.freesize) == (1, 1)
    await close(pool)


async def break_one(pool: AiomysqlPool) -> None:
    connection = await pool.acquire()
    connection.close()
    pool.release(connection)


async def test_minimum_is_there_again_when_the_next_acquire_returns(server: ScriptedServer) -> None:
    pool = await create_pool(user="app", minsize=3)
    server.react("GREETING", after(0.05, greet))
    await break_one(pool)
    assert (pool.size, pool.freesize) == (2, 2)
    async with pool.acquire():
        assert (pool.size, pool.freesize) == (3, 2)
    await close(pool)


async def test_minimum_is_waited_for_while_the_others_are_being_reset(
    server: ScriptedServer,
) -> None:
    pool = await create_pool(user="app", minsize=2)
    server.react("GREETING", after(0.05, greet))
    await released(pool, "SET @mine = 1")
    await break_one(pool)
    async with pool.acquire():
        assert (pool.size, pool.freesize) == (2, 1)
    await close(pool)


@pytest.mark.parametrize(("timeout", "waited"), [(None, 0.25), (0.03, 0.03)])
async def test_nobody_waits_for_long_for_a_minimum_that_does_not_come(
    server: ScriptedServer, timeout: float | None, waited: float
) -> None:
    pool = await create_pool(user="app", minsize=3, connect_timeout=5)
    server.react("GREETING", say_nothing)
    await break_one(pool)
    began = asyncio.get_running_loop().time()
    async with pool.acquire(timeout=timeout):
        assert asyncio.get_running_loop().time() - began == pytest.approx(waited)
    await close(pool)


async def test_nobody_waits_for_the_minimum_of_a_server_that_is_away(
    server: ScriptedServer,
) -> None:
    pool = await create_pool(user="app", minsize=3)
    server.react("GREETING", hang_up)
    await break_one(pool)
    await asyncio.sleep(0.01)
    server.react("GREETING", say_nothing)
    await asyncio.sleep(1)
    began = asyncio.get_running_loop().time()
    async with pool.acquire():
        assert asyncio.get_running_loop().time() == began
    await close(pool)


async def test_connection_idle_longest_is_lent_first() -> None:
    pool = await create_pool(user="app", minsize=3)
    lent = [await pool.acquire() for _ in range(3)]
    for connection in lent:
        pool.release(connection)
    assert list(pool._free) == lent
    assert [await pool.acquire() for _ in range(3)] == lent
    for connection in lent:
        pool.release(connection)
    await close(pool)


async def test_connection_idle_longest_is_lent_first_after_a_ping_too() -> None:
    pool = await create_pool(user="app", minsize=3, keepalive=0)
    first, second, _ = pool._free
    await asyncio.sleep(5)
    async with pool.acquire() as connection:
        assert connection is first
    async with pool.acquire() as connection:
        assert connection is second
    assert pool.stats().pings == 2
    await close(pool)


async def test_pool_used_as_a_block_is_closed_after_it() -> None:
    async with create_pool(user="app") as pool, pool.acquire() as connection:
        assert not connection.closed
    assert pool.closed


async def test_refusal_is_pymysqls_and_nothing_is_left(server: ScriptedServer) -> None:
    server.react("LOGIN", refuse(1045, "28000"))
    with pytest.raises(OperationalError) as caught:
        await create_pool(user="app")
    assert caught.value.args[0] == 1045
    await asyncio.sleep(0.1)
    assert all(peer.writer.transport.is_closing() for peer in server.peers)


async def test_refusal_of_a_later_connect_is_pymysqls_too(server: ScriptedServer) -> None:
    pool = await create_pool(user="app", minsize=0)
    server.react("LOGIN", refuse(1045, "28000"))
    with pytest.raises(OperationalError):
        await pool.acquire()
    await close(pool)


async def test_making_a_pool_that_is_cancelled_leaves_nothing(server: ScriptedServer) -> None:
    task = asyncio.ensure_future(create_pool(user="app", minsize=2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(5)
    assert task.cancelled()
    assert all(peer.writer.transport.is_closing() for peer in server.peers)


async def test_acquire_waits_for_half_a_minute_unless_told_otherwise() -> None:
    pool = await create_pool(user="app", maxsize=1)
    connection = await pool.acquire()
    began = asyncio.get_running_loop().time()
    with pytest.raises(PoolTimeout):
        await pool.acquire()
    assert asyncio.get_running_loop().time() - began == 30
    pool.release(connection)
    await close(pool)


async def test_server_that_is_away_for_too_long_is_the_error_of_connecting_too() -> None:
    pool = await create_pool(user="app", host="nobody", minsize=0, acquire_timeout=2)
    with pytest.raises(OperationalError) as caught:
        await pool.acquire()
    assert caught.value.args[0] == 2003
    assert isinstance(caught.value, PoolTimeout)
    await close(pool)


async def test_server_that_says_nothing_is_the_error_of_connecting(server: ScriptedServer) -> None:
    server.react("GREETING", say_nothing)
    with pytest.raises(OperationalError) as caught:
        await create_pool(user="app", connect_timeout=2)
    assert caught.value.args[0] == 2003


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"user": 5}, TypeError), ({"charset": "no_such"}, AttributeError)],
)
async def test_option_of_the_wrong_kind_is_told_as_aiomysql_does(
    options: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await create_pool(**{"user": "app"} | options)


async def test_idle_end_has_a_number_that_code_for_aiomysql_knows(server: ScriptedServer) -> None:
    pool = await create_pool(user="app", keepalive=0)
    connection = await pool.acquire()
    server.react("SELECT 1", last_words(4031))
    with pytest.raises(OperationalError, match="4031") as caught:
        await connection.query("SELECT 1")
    assert caught.value.args[0] == 2006
    pool.release(connection)
    await close(pool)


async def test_tls_that_the_server_does_not_offer_is_pymysqls_error() -> None:
    with pytest.raises(OperationalError) as caught:
        await create_pool(user="app", ssl=ssl.create_default_context())
    assert caught.value.args[0] == 2026


async def test_our_own_settings_can_be_given(server: ScriptedServer) -> None:
    pool = await create_pool(user="app", acquire_timeout=2, name="cities", echo=True)
    assert (pool.config.acquire_timeout, pool.name, pool.echo) == (2, "cities", True)
    assert server.peers
    await close(pool)


async def test_no_recycling_unless_asked_for(server: ScriptedServer) -> None:
    pool = await create_pool(user="app", keepalive=0, max_lifetime=0)
    await asyncio.sleep(3600)
    assert len(server.peers) == 1
    await close(pool)


async def test_unknown_keywords_are_type_errors() -> None:
    with pytest.raises(TypeError, match="colour, self, size"):
        connect_config(size=1, colour=2, self=3)


@pytest.mark.parametrize(("given", "mode"), [(None, TLSMode.DISABLED), ("any", TLSMode.REQUIRED)])
async def test_tls_is_what_the_keyword_says(given: Any, mode: TLSMode) -> None:
    assert connect_config(ssl=given).tls_mode is mode


async def test_defaults_are_aiomysqls() -> None:
    config = connect_config()
    assert (config.autocommit, config.charset, config.user, config.password) == (
        False,
        "",
        None,
        "",
    )
    assert config.endpoints[0].host == "localhost"
