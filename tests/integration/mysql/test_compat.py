"""The contract of ``aiomysql.create_pool`` and its pool, kept by ours: code written for it runs on."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiomysql
import pymysql
import pytest

from quart_app.mysql.compat import AiomysqlPool, create_pool
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.driver import connect

pytestmark = pytest.mark.mysql

Create = Callable[..., Awaitable[AiomysqlPool]]


@pytest.fixture(name="options")
def _options(config: ConnectConfig) -> dict[str, Any]:
    """The test's database in aiomysql's keywords."""
    endpoint = config.endpoints[0]
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "user": config.user,
        "password": config.password,
        "db": config.database,
    }


@pytest.fixture(name="create")
async def _create(options: dict[str, Any]) -> AsyncIterator[Create]:
    pools: list[AiomysqlPool] = []

    async def create(**more: Any) -> AiomysqlPool:
        pools.append(await create_pool(**options | more))
        return pools[-1]

    yield create
    for pool in pools:
        pool.terminate()
        await pool.wait_closed()


async def select(connection: aiomysql.Connection, sql: str) -> Any:
    async with connection.cursor() as cursor:
        await cursor.execute(sql)
        return await cursor.fetchall()


# -- making one ------------------------------------------------------------------------------------


async def test_defaults_and_type(create: Create) -> None:
    pool = await create()
    assert isinstance(pool, aiomysql.Pool)
    assert (pool.minsize, pool.maxsize, pool.size, pool.freesize) == (1, 10, 1, 1)
    assert pool.echo is False
    assert pool.closed is False


async def test_minimum_is_open_when_it_returns(create: Create) -> None:
    pool = await create(minsize=3, maxsize=5)
    assert (pool.size, pool.freesize) == (3, 3)


@pytest.mark.parametrize(("minsize", "maxsize"), [(-1, 10), (5, 2)])
async def test_impossible_sizes_are_value_errors(
    options: dict[str, Any], minsize: int, maxsize: int
) -> None:
    with pytest.raises(ValueError, match="size"):
        await create_pool(**options, minsize=minsize, maxsize=maxsize)


async def test_maxsize_zero_means_no_limit(create: Create) -> None:
    pool = await create(minsize=0, maxsize=0)
    connections = [await pool.acquire() for _ in range(12)]
    assert not pool.maxsize
    assert pool.size == 12
    for connection in connections:
        pool.release(connection)


async def test_create_pool_is_an_async_context_manager(options: dict[str, Any]) -> None:
    async with create_pool(**options) as pool, pool.acquire() as connection:
        assert await select(connection, "SELECT 7") == ((7,),)
    assert pool.closed


async def test_pool_is_an_async_context_manager(create: Create) -> None:
    async with await create() as pool:
        assert pool.freesize == 1
    assert pool.closed


async def test_wrong_password_raises_pymysqls_error_and_leaves_nothing(
    options: dict[str, Any],
) -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        await create_pool(**options | {"password": "wrong"})
    assert caught.value.args[0] == 1045


async def test_nobody_listening_raises_pymysqls_error(options: dict[str, Any]) -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        await create_pool(**options | {"port": 1})
    assert caught.value.args[0] == 2003


async def test_error_of_a_connect_in_acquire_is_pymysqls(create: Create) -> None:
    pool = await create(minsize=0, db="no_such_database")
    with pytest.raises(pymysql.err.OperationalError) as caught:
        await pool.acquire()
    assert caught.value.args[0] in {1044, 1049}


async def test_unknown_keyword_is_a_type_error(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        await create_pool(**options, no_such_option=1)


async def test_keywords_of_connections_are_passed_on(create: Create) -> None:
    pool = await create(
        charset="utf8mb4",
        autocommit=True,
        cursorclass=aiomysql.DictCursor,
        init_command="SET @mine = 5",
        sql_mode="'ANSI_QUOTES'",
        echo=True,
        program_name="contract",
        loop=asyncio.get_running_loop(),
    )
    assert pool.echo is True
    async with pool.acquire() as connection:
        assert connection.echo is True
        assert connection.charset == "utf8mb4"
        assert connection.get_autocommit() is True
        assert await select(connection, "SELECT @mine AS m, @@sql_mode AS s") in (
            [{"m": 5, "s": "ANSI_QUOTES"}],
            ({"m": 5, "s": "ANSI_QUOTES"},),
        )


async def test_autocommit_is_off_unless_asked_for(create: Create) -> None:
    pool = await create()
    async with pool.acquire() as connection:
        assert connection.get_autocommit() is False


# -- acquire and release ---------------------------------------------------------------------------


async def test_acquire_can_be_awaited(create: Create) -> None:
    pool = await create()
    connection = await pool.acquire()
    assert isinstance(connection, aiomysql.Connection)
    assert not connection.closed
    assert pool.freesize == 0
    assert await select(connection, "SELECT 1") == ((1,),)
    pool.release(connection)
    assert pool.freesize == 1


async def test_release_can_be_awaited(create: Create) -> None:
    pool = await create()
    connection = await pool.acquire()
    await pool.release(connection)
    assert pool.freesize == 1


async def test_acquire_can_be_a_task_and_can_be_gathered(create: Create) -> None:
    pool = await create(minsize=0, maxsize=3)
    one, two = await asyncio.gather(pool.acquire(), pool.acquire())
    three = await asyncio.wait_for(pool.acquire(), 5)
    assert len({one, two, three}) == 3
    assert pool.size == 3
    for connection in (one, two, three):
        pool.release(connection)
    assert pool.freesize == 3


async def test_old_with_statements_are_refused(create: Create) -> None:
    pool = await create()
    with pytest.raises(RuntimeError), pool:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with await pool as connection:
            assert await select(connection, "SELECT 1") == ((1,),)
    assert pool.freesize == 1


async def test_waiter_gets_what_another_releases(create: Create) -> None:
    pool = await create(maxsize=1)
    connection = await pool.acquire()
    waiter = asyncio.ensure_future(pool.acquire())
    await asyncio.sleep(0.05)
    assert not waiter.done()
    pool.release(connection)
    assert await waiter is connection
    pool.release(connection)


async def test_closed_connection_is_replaced(create: Create) -> None:
    pool = await create(minsize=2, maxsize=2)
    connection = await pool.acquire()
    await connection.ensure_closed()
    pool.release(connection)
    one, two = await pool.acquire(), await pool.acquire()
    assert connection not in {one, two}
    pool.release(one)
    pool.release(two)


async def test_connection_in_a_transaction_is_not_lent_again(create: Create) -> None:
    pool = await create(maxsize=1)
    connection = await pool.acquire()
    await connection.begin()
    await select(connection, "SELECT 1")
    pool.release(connection)
    other = await pool.acquire()
    assert other is not connection
    pool.release(other)


async def test_connection_that_the_server_ended_is_not_lent_again(create: Create) -> None:
    pool = await create(maxsize=1, init_command="SET SESSION wait_timeout = 1")
    async with pool.acquire() as connection:
        number = connection.thread_id()
    await asyncio.sleep(1.5)
    async with pool.acquire() as connection:
        assert connection.thread_id() != number


async def test_pool_recycle_replaces_what_was_idle_for_longer(create: Create) -> None:
    pool = await create(maxsize=1, pool_recycle=0.2)
    async with pool.acquire() as connection:
        number = connection.thread_id()
    await asyncio.sleep(0.5)
    async with pool.acquire() as connection:
        assert connection.thread_id() != number


async def test_cancelled_statement_does_not_answer_the_next(create: Create) -> None:
    pool = await create(maxsize=1)
    async with pool.acquire() as connection:
        task = asyncio.ensure_future(select(connection, "SELECT 1, SLEEP(0.5)"))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait({task})
    async with pool.acquire() as connection:
        assert await select(connection, "SELECT 2") == ((2,),)


async def test_pool_recycle_of_zero_lends_a_fresh_connection_each_time(create: Create) -> None:
    pool = await create(maxsize=1, pool_recycle=0)
    numbers = set()
    for _ in range(3):
        async with pool.acquire() as connection:
            numbers.add(connection.thread_id())
        await asyncio.sleep(0.01)  # idle for longer than no time, by uvloop's clock of milliseconds
    assert len(numbers) == 3


async def test_sizes_are_right_at_each_moment(create: Create) -> None:
    pool = await create(minsize=2, maxsize=3)
    connection = await pool.acquire()
    assert (pool.size, pool.freesize) == (2, 1)
    await select(connection, "SET @mine = 5")
    pool.release(connection)
    assert (pool.size, pool.freesize) == (2, 2), "also while its session is being reset"
    connection = await pool.acquire()
    await connection.ensure_closed()
    pool.release(connection)
    assert (pool.size, pool.freesize) == (1, 1)
    async with pool.acquire():
        assert (pool.size, pool.freesize) == (2, 1), "the minimum is there again"
    await pool.clear()
    assert (pool.size, pool.freesize) == (0, 0)


async def test_connections_are_lent_in_the_order_of_their_return(create: Create) -> None:
    pool = await create(minsize=3, maxsize=3)
    lent = [await pool.acquire() for _ in range(3)]
    for connection in lent:
        pool.release(connection)
    assert [await pool.acquire() for _ in range(3)] == lent
    for connection in lent:
        pool.release(connection)


@pytest.mark.parametrize("charset", ["", "utf8", "utf8mb4", "latin1"])
async def test_reset_keeps_character_set_and_collation(create: Create, charset: str) -> None:
    pool = await create(maxsize=1, charset=charset)
    look = "SELECT @@character_set_client, @@character_set_results, @@collation_connection"
    async with pool.acquire() as connection:
        number, before = connection.thread_id(), await select(connection, look)
        await select(connection, "SET NAMES ascii")
    async with pool.acquire() as connection:
        assert await select(connection, look) == before
        assert connection.thread_id() == number, "reset, not replaced"


# -- the end ---------------------------------------------------------------------------------------


async def test_clear_closes_what_is_free(create: Create) -> None:
    pool = await create(minsize=0, maxsize=3)
    async with pool.acquire(), pool.acquire():
        pass
    assert pool.freesize == 2
    await pool.clear()
    assert pool.freesize == 0


async def test_close_refuses_acquire_and_waits_for_release(create: Create) -> None:
    pool = await create()
    connection = await pool.acquire()
    pool.close()
    with pytest.raises(RuntimeError):
        await pool.acquire()
    waiting = asyncio.ensure_future(pool.wait_closed())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    pool.release(connection)
    await waiting
    assert pool.closed
    assert connection.closed


async def test_wait_closed_before_close_is_a_runtime_error(create: Create) -> None:
    pool = await create()
    with pytest.raises(RuntimeError):
        await pool.wait_closed()


async def test_terminate_closes_what_is_lent(create: Create) -> None:
    pool = await create()
    connection = await pool.acquire()
    pool.terminate()
    await pool.wait_closed()
    assert connection.closed
    assert pool.closed
    await pool.release(connection)
    pool.close()


async def test_failed_release_of_a_stranger_is_said(create: Create) -> None:
    pool = await create()
    async with pool.acquire() as connection:
        pass
    with pytest.raises((AssertionError, ValueError)):
        pool.release(connection)


# -- connections -----------------------------------------------------------------------------------


async def test_connect_can_be_awaited_and_used_as_a_block(options: dict[str, Any]) -> None:
    connection = await connect(**options)
    assert await select(connection, "SELECT 1") == ((1,),)
    await connection.ensure_closed()
    async with connect(**options) as connection:
        assert await select(connection, "SELECT 2") == ((2,),)
    assert connection.closed


async def test_converters_of_the_programs_own(create: Create) -> None:
    converters = dict.fromkeys(range(256), lambda value: f"<{value}>")
    pool = await create(conv=converters)
    async with pool.acquire() as connection:
        assert await select(connection, "SELECT 1, 'x'") == (("<1>", "<x>"),)


@pytest.mark.parametrize("end", ["KILL", "idle"])
async def test_lost_connection_has_a_number_that_is_looked_for(create: Create, end: str) -> None:
    pool = await create(maxsize=2, init_command="SET SESSION wait_timeout = 1")
    async with pool.acquire() as connection:
        if end == "KILL":
            async with pool.acquire() as other:
                await other.kill(connection.thread_id())
        else:
            await asyncio.sleep(1.5)
        with pytest.raises(pymysql.err.OperationalError) as caught:
            await select(connection, "SELECT 1")
        assert caught.value.args[0] in {2006, 2013}


async def test_transactions_cursors_and_parameters(create: Create) -> None:
    pool = await create(autocommit=True)
    async with pool.acquire() as connection:
        await select(connection, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT)")
        async with connection.cursor(aiomysql.DictCursor) as cursor:
            await connection.begin()
            await cursor.execute("INSERT INTO t (name) VALUES (%s)", ("it's",))
            assert cursor.lastrowid == 1
            await cursor.executemany("INSERT INTO t (name) VALUES (%s)", [("a",), ("b",)])
            assert cursor.rowcount == 2
            await connection.commit()
            await connection.begin()
            await cursor.execute("DELETE FROM t")
            await connection.rollback()
            await cursor.execute("SELECT name FROM t WHERE id = %(id)s", {"id": 1})
            assert await cursor.fetchone() == {"name": "it's"}
            assert await cursor.fetchone() is None
            await cursor.execute("SELECT name FROM t ORDER BY id")
            assert [row["name"] async for row in cursor] == ["it's", "a", "b"]


async def test_unbuffered_cursor_reads_row_by_row(create: Create) -> None:
    pool = await create()
    async with pool.acquire() as connection, connection.cursor(aiomysql.SSCursor) as cursor:
        await cursor.execute("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
        assert await cursor.fetchone() == (1,)
        assert await cursor.fetchmany(2) in ([(2,), (3,)], ((2,), (3,)))
        assert await cursor.fetchone() is None


async def test_errors_of_statements_are_pymysqls(create: Create) -> None:
    pool = await create(autocommit=True)
    async with pool.acquire() as connection:
        with pytest.raises(pymysql.err.ProgrammingError) as caught:
            await select(connection, "SELEC")
        assert caught.value.args[0] == 1064
        await select(connection, "CREATE TABLE t (id INT PRIMARY KEY)")
        await select(connection, "INSERT INTO t VALUES (1)")
        with pytest.raises(pymysql.err.IntegrityError):
            await select(connection, "INSERT INTO t VALUES (1)")
        assert await select(connection, "SELECT 1") == ((1,),)


async def test_parameter_may_be_a_list_of_values(create: Create) -> None:
    pool = await create()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("SELECT 2 IN %s, 'x' IN %s, 5 IN %s", ([1, 2], ("x", "y"), {6}))
        assert await cursor.fetchone() == (1, 1, 0)


async def test_ping_and_select_db_and_escape(create: Create, options: dict[str, Any]) -> None:
    pool = await create()
    async with pool.acquire() as connection:
        await connection.ping()
        await connection.select_db("information_schema")
        assert await select(connection, "SELECT DATABASE()") == (("information_schema",),)
        assert connection.escape("it's") == "'it\\'s'"
        assert connection.host == options["host"]
        assert connection.user == options["user"]
        assert connection.get_server_info()
    async with pool.acquire() as connection:
        assert await select(connection, "SELECT DATABASE()") == ((options["db"],),)


async def test_ping_reconnects_a_connection_that_was_lost(options: dict[str, Any]) -> None:
    connection = await connect(**options)
    connection.close()
    await connection.ping(reconnect=True)
    assert await select(connection, "SELECT 1") == ((1,),)
    await connection.ensure_closed()
