"""A network that breaks, before a server that does not."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.errors import ConnectionLost, PoolTimeout, QueryTimeout
from quart_app.mysql.pool import Pool
from quart_app.torture.cuts import Cut, Direction
from quart_app.torture.proxy import FaultProxy, Mode
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql


@pytest.fixture(name="proxy")
async def _proxy(config: ConnectConfig) -> AsyncIterator[FaultProxy]:
    endpoint = config.endpoints[0]
    async with FaultProxy(endpoint.host, endpoint.port) as proxy:
        yield proxy


@pytest.fixture(name="behind")
async def _behind(config: ConnectConfig, proxy: FaultProxy) -> ConnectConfig:
    """The same database, reached through the proxy, without TLS: packets can be counted."""
    through = (Endpoint(host="127.0.0.1", port=proxy.port),)
    return replace(config, endpoints=through, tls_mode=TLSMode.DISABLED)


async def ask(pool: Pool) -> object:
    async with pool.acquire() as connection:
        return (await connection.run("SELECT 1")).rows[0][0]


async def warm(pool: Pool, count: int) -> None:
    """Have *count* connections open and idle."""
    connections = [await pool.acquire() for _ in range(count)]
    for connection in connections:
        pool.release(connection)


async def gone(pool: Pool) -> None:
    """Wait until the pool has noticed, unasked, that its idle connections ended."""
    async with asyncio.timeout(2):
        while pool.freesize:  # noqa: ASYNC110  # the pool has no event for this
            await asyncio.sleep(0.005)


@pytest.mark.row("A")
@pytest.mark.parametrize("mode", [Mode.DEAF, Mode.SILENT])
async def test_hanging_connects_delay_nobody_who_can_be_served(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool, mode: Mode
) -> None:
    pool = await open_pool(behind, maxsize=3, connect_timeout=30.0)
    await warm(pool, 1)
    await proxy.switch(Mode.DEAF)
    async with pool.acquire():
        hanging = [asyncio.create_task(ask(pool)) for _ in range(2)]
        await asyncio.sleep(0.2)
    await asyncio.gather(*hanging)
    slowest = 0.0
    for _ in range(50):
        began = time.monotonic()
        await ask(pool)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 5
    await proxy.switch(mode)


@pytest.mark.row("D")
@pytest.mark.parametrize("mode", [Mode.DEAF, Mode.SILENT])
async def test_server_that_accepts_and_never_answers_is_given_up(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool, mode: Mode
) -> None:
    await proxy.switch(mode)
    pool = await open_pool(behind, connect_timeout=0.4, acquire_timeout=1.0)
    began = time.monotonic()
    with pytest.raises(PoolTimeout, match="timed out"):
        await pool.acquire()
    assert time.monotonic() - began < 5
    assert pool.stats().connect_failures >= 1


async def test_pool_heals_when_the_port_opens_again(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool
) -> None:
    pool = await open_pool(behind, acquire_timeout=20)
    await warm(pool, 3)
    await proxy.switch(Mode.REFUSE)
    proxy.end_all(Cut.RST)
    await gone(pool)
    waiting = [asyncio.create_task(ask(pool)) for _ in range(10)]
    await asyncio.sleep(1)
    await proxy.switch(Mode.PASS)
    assert await asyncio.gather(*waiting) == [1] * 10


@pytest.mark.row("H")
@pytest.mark.parametrize("how", [Cut.FIN, Cut.RST])
async def test_idle_connections_that_end_are_dropped_at_once(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool, how: Cut
) -> None:
    pool = await open_pool(behind)
    await warm(pool, 4)
    proxy.end_all(how)
    await gone(pool)
    assert await ask(pool) == 1


@pytest.mark.row("E")
async def test_half_open_connections_are_found_by_one_ping_and_replaced(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool
) -> None:
    pool = await open_pool(behind, probe_after_idle=0.1, probe_timeout=0.3, keepalive=0)
    await warm(pool, 4)
    await asyncio.sleep(0.2)
    await proxy.switch(Mode.SILENT)
    proxy.mode = Mode.PASS  # the old connections stay half open; new ones pass
    began = time.monotonic()
    assert await ask(pool) == 1
    assert time.monotonic() - began < 5
    assert pool.stats().evictions == {"ping failed": 4}


@pytest.mark.row("E")
async def test_statement_on_a_half_open_connection_ends_at_its_deadline(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool
) -> None:
    pool = await open_pool(behind)
    async with pool.acquire() as connection:
        await proxy.switch(Mode.SILENT)
        began = time.monotonic()
        with deadline.within(0.4), pytest.raises(QueryTimeout):
            await connection.run("SELECT 1")
        assert 0.39 < time.monotonic() - began < 5
    await proxy.switch(Mode.PASS)


async def test_commit_whose_answer_is_lost_may_have_been_executed(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool
) -> None:
    pool = await open_pool(behind)
    async with pool.acquire() as connection:
        await connection.run("CREATE TABLE t (a INT)")
        await connection.begin()
        await connection.run("INSERT INTO t VALUES (1)")
        proxy.cut(Direction.TO_CLIENT)
        with pytest.raises(ConnectionLost) as caught:
            await connection.run("COMMIT")
        assert caught.value.sent is True
    proxy.mend()
    async with pool.acquire() as connection:
        assert (await connection.run("SELECT a FROM t")).rows == [(1,)]


@pytest.mark.parametrize("how", [Cut.FIN, Cut.RST, Cut.SILENCE])
@pytest.mark.parametrize("packets", range(5))
async def test_result_cut_at_any_packet_is_an_error_and_never_half_a_result(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool, packets: int, how: Cut
) -> None:
    pool = await open_pool(behind)
    async with pool.acquire() as connection:
        proxy.cut(Direction.TO_CLIENT, packets=packets, bytes_=2, how=how)
        with deadline.within(0.5), pytest.raises((ConnectionLost, QueryTimeout)):
            await connection.run("SELECT 1 UNION ALL SELECT 2")
        assert not connection.is_alive()
    proxy.mend()
    assert await ask(pool) == 1


@pytest.mark.parametrize("packets", range(3))
async def test_handshake_cut_at_any_packet_is_tried_again(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool, packets: int
) -> None:
    proxy.cut(Direction.TO_CLIENT, packets=packets, bytes_=1)
    pool = await open_pool(behind, acquire_timeout=20)
    asyncio.get_running_loop().call_later(0.3, proxy.mend)
    assert await ask(pool) == 1
    assert pool.stats().connect_failures >= 1


@pytest.mark.row("F")
async def test_large_statement_over_a_slow_network_arrives_whole(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool
) -> None:
    pool = await open_pool(behind)
    async with pool.acquire() as connection:
        await connection.run("CREATE TABLE t (a LONGTEXT)")
        proxy.latency, proxy.bytes_per_second = 0.001, 5_000_000.0
        await proxy.switch(Mode.SLOW)
        await connection.run("INSERT INTO t VALUES (%s)", ("x" * 1_000_000,))
        rows = (await connection.run("SELECT a FROM t")).rows
        assert rows == [("x" * 1_000_000,)]


@pytest.mark.row("F")
async def test_large_statement_that_nobody_reads_ends_at_its_deadline(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool
) -> None:
    pool = await open_pool(behind)
    async with pool.acquire() as connection:
        proxy.latency, proxy.bytes_per_second = 60.0, 1.0
        await proxy.switch(Mode.SLOW)
        began = time.monotonic()
        with deadline.within(0.5), pytest.raises(QueryTimeout):
            await connection.run("SELECT '" + "x" * 15_000_000 + "'")
        assert time.monotonic() - began < 5


async def test_reconnects_are_few_while_the_network_is_broken_and_gentle_after(
    behind: ConnectConfig, proxy: FaultProxy, open_pool: OpenPool
) -> None:
    pool = await open_pool(behind, maxsize=16, acquire_timeout=20)
    await warm(pool, 16)
    before = proxy.accepted
    await proxy.switch(Mode.RESET)
    await gone(pool)
    waiting = [asyncio.create_task(ask(pool)) for _ in range(200)]
    await asyncio.sleep(2)
    assert proxy.accepted - before < 16 + 2 / 0.05 * 1.5
    await proxy.switch(Mode.PASS)
    assert await asyncio.gather(*waiting) == [1] * 200
    assert proxy.most_open <= 16
