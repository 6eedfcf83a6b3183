"""Connections that end: killed, timed out, restarted, frozen. Nobody who borrows may notice."""

import asyncio
import time

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.errors import (
    ConnectionLost,
    DatabaseError,
    PoolTimeout,
    QueryTimeout,
    TooManyConnections,
)
from quart_app.mysql.pool import Pool
from quart_app.testing.servers import Server
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql


async def ask(pool: Pool) -> int:
    """Ask the server for the connection's number."""
    async with pool.acquire() as connection:
        rows = (await connection.run("SELECT CONNECTION_ID()")).rows
    return int(rows[0][0])


async def settle(pool: Pool, *, idle: int, within: float = 5.0) -> None:
    """Wait until the pool has *idle* idle connections."""
    async with asyncio.timeout(within):
        while pool.freesize != idle:  # noqa: ASYNC110  # the pool has no event for this
            await asyncio.sleep(0.005)


async def executed_on(server: Server, sql: str, *args: object) -> list[tuple[object, ...]]:
    """Run *sql* as the administrator without blocking the loop."""
    return await asyncio.to_thread(server.execute, sql, *args)


async def test_killed_idle_connection_is_gone_before_anybody_asks(
    mysql_server: Server, config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config)
    number = await ask(pool)
    await executed_on(mysql_server, f"KILL {number}")
    await settle(pool, idle=0)
    assert pool.stats().evictions == {"lost": 1}
    assert await ask(pool) != number


async def test_killed_busy_connection_fails_its_statement_only(
    mysql_server: Server, config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config)
    async with pool.acquire() as connection:
        number = connection.server.thread_id
        # a long SELECT, not SLEEP: that one ends early and without an error when it is killed
        task = asyncio.create_task(
            connection.run("SELECT BENCHMARK(2000000000, MD5('x')) FROM (SELECT 1) AS one")
        )
        await asyncio.sleep(0.3)
        await executed_on(mysql_server, f"KILL {number}")
        with pytest.raises(DatabaseError):
            await asyncio.wait_for(task, 10)
    assert await ask(pool) != number


async def test_connection_that_timed_out_on_the_server_is_never_lent(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config, init_command="SET SESSION wait_timeout = 1", pool_recycle=-1)
    number = await ask(pool)
    await asyncio.sleep(1.8)
    assert pool.freesize == 0
    assert await ask(pool) != number


@pytest.mark.row("G")
async def test_server_that_timed_out_a_lent_connection_did_not_execute_the_next_statement(
    config: ConnectConfig, open_pool: OpenPool, server_kind: str
) -> None:
    pool = await open_pool(config)
    async with pool.acquire() as connection:
        await connection.run("CREATE TABLE t (a INT)")
        await connection.run("SET SESSION wait_timeout = 1")
        await asyncio.sleep(2)
        with pytest.raises(ConnectionLost) as caught:
            await connection.run("INSERT INTO t VALUES (1)")
        assert caught.value.sent is False
        if server_kind == "mysql":
            assert caught.value.errno == 4031
    async with pool.acquire() as connection:
        assert (await connection.run("SELECT COUNT(*) FROM t")).rows == [(0,)]


async def test_wait_timeout_of_the_server_is_learnt_and_obeyed(
    breakable_server: Server, breakable_config: ConnectConfig, open_pool: OpenPool
) -> None:
    await executed_on(breakable_server, "SET GLOBAL wait_timeout = 2")
    try:
        pool = await open_pool(breakable_config, minsize=2)
        await pool.wait()
        await asyncio.sleep(5)
        assert pool.stats().evictions.keys() <= {"pool_recycle"}, "we close before the server does"
        await settle(pool, idle=2)
    finally:
        await executed_on(breakable_server, "SET GLOBAL wait_timeout = 28800")


@pytest.mark.row("I")
async def test_connection_closed_by_its_borrower_harms_nobody(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config, maxsize=1)
    for _ in range(3):
        async with pool.acquire() as connection:
            connection.close()
    async with pool.acquire() as connection:
        await connection.ensure_closed()
    await ask(pool)


async def test_restart_of_the_server_is_not_noticed_by_borrowers(
    breakable_server: Server, breakable_config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(breakable_config, minsize=4, acquire_timeout=30)
    await pool.wait()
    await asyncio.to_thread(breakable_server.process.restart)
    assert len({await ask(pool) for _ in range(8)}) >= 1
    await settle(pool, idle=4, within=20)


async def test_waiters_outlive_a_server_that_was_killed(
    breakable_server: Server, breakable_config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(breakable_config, minsize=2, acquire_timeout=60)
    await pool.wait()
    await asyncio.to_thread(breakable_server.process.kill)
    waiting = [asyncio.create_task(ask(pool)) for _ in range(20)]
    await asyncio.sleep(1)
    assert not any(task.done() for task in waiting)
    assert pool.stats().connect_failures <= 25, "one prober, not twenty"
    await asyncio.to_thread(breakable_server.process.start)
    await asyncio.gather(*waiting)


async def test_frozen_server_delays_nobody_beyond_his_deadline(
    breakable_server: Server, breakable_config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(breakable_config, minsize=2, acquire_timeout=1, probe_timeout=0.3)
    await pool.wait()
    await asyncio.sleep(1.2)
    await asyncio.to_thread(breakable_server.process.pause)
    try:
        began = time.monotonic()
        with pytest.raises(PoolTimeout):
            await pool.acquire()
        assert time.monotonic() - began < 5
    finally:
        await asyncio.to_thread(breakable_server.process.resume)
    await asyncio.sleep(0.5)
    async with asyncio.timeout(20):
        while True:
            try:
                await ask(pool)
                break
            except DatabaseError:
                await asyncio.sleep(0.1)


async def test_statement_on_a_frozen_server_ends_at_its_deadline(
    breakable_server: Server, breakable_config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(breakable_config)
    async with pool.acquire() as connection:
        await asyncio.to_thread(breakable_server.process.pause)
        try:
            with deadline.within(0.5), pytest.raises(QueryTimeout):
                await connection.run("SELECT 1")
        finally:
            await asyncio.to_thread(breakable_server.process.resume)


async def test_server_that_is_full_is_said_to_be_and_recovers(
    breakable_server: Server, breakable_config: ConnectConfig, open_pool: OpenPool
) -> None:
    before = (await executed_on(breakable_server, "SELECT @@GLOBAL.max_connections"))[0][0]
    holder = await open_pool(breakable_config, minsize=10, maxsize=10)
    await holder.wait()
    await executed_on(breakable_server, "SET GLOBAL max_connections = 10")
    try:
        pool = await open_pool(breakable_config, acquire_timeout=0.7)
        with pytest.raises(PoolTimeout) as caught:
            await pool.acquire()
        assert isinstance(caught.value.__cause__, TooManyConnections)
        holder.close()
        await holder.wait_closed()
        await asyncio.sleep(0.3)
        assert await ask(pool)
    finally:
        await executed_on(breakable_server, f"SET GLOBAL max_connections = {before}")


async def test_cancelled_query_is_gone_on_the_server_within_a_second(
    mysql_server: Server, config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config)

    async def query() -> None:
        async with pool.acquire() as connection:
            await connection.run("SELECT SLEEP(60) /* to be cancelled */")

    task = asyncio.create_task(query())
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.wait({task})
    await _gone(mysql_server, "to be cancelled")
    assert pool.stats().kills == 1


@pytest.mark.row("V")
async def test_query_past_its_deadline_is_killed_by_sql(
    mysql_server: Server, config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config)
    with deadline.within(0.3), pytest.raises(QueryTimeout):
        async with pool.acquire() as connection:
            await connection.run("SELECT SLEEP(60) /* too slow */")
    await _gone(mysql_server, "too slow")


@pytest.mark.row("L")
async def test_stream_left_early_is_killed_on_the_server(
    mysql_server: Server, config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config)
    async with pool.acquire() as connection:
        await connection.run("CREATE TABLE t (a INT)")
        await connection.run("INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)")
        rows = connection.stream(
            "SELECT /* left early */ one.a FROM t one, t two, t three, t four, t five, t six, t seven"
        )
        assert len(await anext(rows)) == 1
        await rows.aclose()
    await _gone(mysql_server, "left early")
    assert await ask(pool)


async def _gone(server: Server, marker: str) -> None:
    """Assert that within a second no statement with *marker* runs any more."""
    sql = (
        "SELECT COUNT(*) FROM information_schema.processlist"
        " WHERE command <> 'Sleep' AND info LIKE CONCAT('%%', %s, '%%')"
        " AND id <> CONNECTION_ID()"
    )
    async with asyncio.timeout(1.5):
        while (await executed_on(server, sql, marker))[0][0] != 0:  # noqa: ASYNC110  # nor the server
            await asyncio.sleep(0.05)


async def test_hundreds_of_cancellations_leave_no_connection_behind(
    mysql_server: Server, config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config, maxsize=8)
    name = config.database

    async def query() -> None:
        async with pool.acquire() as connection:
            await connection.run("SELECT SLEEP(0.01)")

    for _ in range(10):
        tasks = [asyncio.create_task(query()) for _ in range(30)]
        await asyncio.sleep(0.02)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s"
        count = (await executed_on(mysql_server, sql, name))[0][0]
        assert isinstance(count, int)
        assert count <= 8 + 1, "ours, and one that kills"
    assert await ask(pool)
