"""What one borrower leaves in the session never reaches the next."""

import asyncio

import aiomysql
import pytest

from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import IntegrityError
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql


async def value(connection: Connection, sql: str) -> object:
    return (await connection.run(sql)).rows[0][0]


async def one_connection(config: ConnectConfig, open_pool: OpenPool, **options: object) -> Pool:
    return await open_pool(config, maxsize=1, **options)


@pytest.mark.row("K")
@pytest.mark.parametrize(
    ("change", "look"),
    [
        ("SET @a = 1", "SELECT @a"),
        ("SET SESSION sql_mode = ''", "SELECT @@sql_mode"),
        ("SET time_zone = '+05:00'", "SELECT @@time_zone"),
        ("SET NAMES latin1", "SELECT @@character_set_client"),
        ("SET autocommit = 0", "SELECT @@autocommit"),
        ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@{isolation}"),
        ("SET foreign_key_checks = 0", "SELECT @@foreign_key_checks"),
        ("USE information_schema", "SELECT DATABASE()"),
        ("SELECT GET_LOCK('mine', 0)", "SELECT IS_USED_LOCK('mine')"),
        ("SELECT 1 INTO @b", "SELECT @b"),
        ("SET @c = 1; SELECT 1", "SELECT @c"),
    ],
)
async def test_changed_session_is_as_new_for_the_next(
    config: ConnectConfig, open_pool: OpenPool, change: str, look: str
) -> None:
    pool = await one_connection(config, open_pool)
    async with pool.acquire() as connection:
        name = "tx_isolation" if connection.server.is_mariadb else "transaction_isolation"
        look = look.format(isolation=name)
        number, before = connection.server.thread_id, await value(connection, look)
        await connection.run(change)
    async with pool.acquire() as connection:
        assert await value(connection, look) == before
        assert connection.server.thread_id == number, "reset, not replaced"


@pytest.mark.row("K")
async def test_temporary_table_is_gone_for_the_next(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await one_connection(config, open_pool)
    for _ in range(2):
        async with pool.acquire() as connection:
            await connection.run("CREATE TEMPORARY TABLE mine (a INT)")


@pytest.mark.row("K")
async def test_locked_tables_are_unlocked_for_the_next(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config, maxsize=2)
    async with pool.acquire() as connection:
        await connection.run("CREATE TABLE t (a INT)")
        await connection.run("LOCK TABLES t WRITE")
    async with pool.acquire() as one, pool.acquire() as other:
        async with asyncio.timeout(5):
            await one.run("INSERT INTO t VALUES (1)")
            await other.run("INSERT INTO t VALUES (2)")


@pytest.mark.row("K")
async def test_prepared_statement_is_gone_for_the_next(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await one_connection(config, open_pool)
    async with pool.acquire() as connection:
        await connection.run("PREPARE mine FROM 'SELECT 1'")
    async with pool.acquire() as connection:
        with pytest.raises(Exception, match="1243"):
            await connection.run("EXECUTE mine")


@pytest.mark.row("K")
async def test_change_by_a_cursor_is_seen_too(config: ConnectConfig, open_pool: OpenPool) -> None:
    pool = await one_connection(config, open_pool)
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("SET @a = %s", (5,))
    async with pool.acquire() as connection:
        assert await value(connection, "SELECT @a") is None


@pytest.mark.row("K")
async def test_own_set_up_survives_the_reset(config: ConnectConfig, open_pool: OpenPool) -> None:
    pool = await one_connection(
        config, open_pool, init_command="SET @mine = 7, SESSION time_zone = '+03:00'"
    )
    for _ in range(3):
        async with pool.acquire() as connection:
            assert await value(connection, "SELECT @mine") == 7
            assert await value(connection, "SELECT @@time_zone") == "+03:00"
            assert await value(connection, "SELECT @@autocommit") == 1
            assert await value(connection, "SELECT DATABASE()") == config.database
            assert await value(connection, "SELECT @@character_set_client") == "utf8mb4"
            await connection.run("SET @mine = 0, time_zone = '+00:00', autocommit = 0")
            await connection.run("SET NAMES latin1")
            await connection.run("USE information_schema")


@pytest.mark.row("J")
@pytest.mark.parametrize("way", ["begin", "autocommit", "sql"])
async def test_open_transaction_is_rolled_back_for_the_next(
    config: ConnectConfig, open_pool: OpenPool, way: str
) -> None:
    pool = await one_connection(config, open_pool)
    async with pool.acquire() as connection:
        await connection.run("CREATE TABLE t (a INT)")
        if way == "begin":
            await connection.begin()
        elif way == "autocommit":
            await connection.autocommit(False)
        else:
            await connection.run("START TRANSACTION")
        await connection.run("INSERT INTO t VALUES (1)")
    async with pool.acquire() as connection:
        assert await value(connection, "SELECT COUNT(*) FROM t") == 0
        assert await value(connection, "SELECT @@autocommit") == 1


@pytest.mark.row("J")
async def test_read_view_of_one_borrower_is_not_the_nexts(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(config, maxsize=1, autocommit=False)
    other = await open_pool(config, maxsize=1)
    async with other.acquire() as writer:
        await writer.run("CREATE TABLE t (a INT)")
        for expected in range(3):
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT COUNT(*) FROM t")
                assert await cursor.fetchone() == (expected,)
            await writer.run("INSERT INTO t VALUES (1)")


@pytest.mark.row("L")
async def test_rows_left_unread_by_a_cursor_never_reach_the_next(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await one_connection(config, open_pool)
    async with pool.acquire() as connection:
        cursor = await connection.cursor(aiomysql.SSCursor)
        await cursor.execute("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
        assert await cursor.fetchone() == (1,)
    async with pool.acquire() as connection:
        assert await value(connection, "SELECT 42") == 42


@pytest.mark.row("L")
async def test_second_result_never_reaches_the_next(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await one_connection(config, open_pool)
    async with pool.acquire() as connection:
        cursor = await connection.cursor()
        await cursor.execute("SELECT 1; SELECT 2")
    async with pool.acquire() as connection:
        assert await value(connection, "SELECT 42") == 42


@pytest.mark.row("M")
async def test_two_tasks_on_one_connection_get_an_error_not_each_others_rows(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await one_connection(config, open_pool)
    async with pool.acquire() as connection:
        results = await asyncio.gather(
            connection.run("SELECT 1, SLEEP(0.2)"),
            connection.run("SELECT 2"),
            return_exceptions=True,
        )
        assert sum(isinstance(result, Exception) for result in results) == 1
        assert await value(connection, "SELECT 3") == 3


async def test_clean_session_is_lent_again_without_a_round_trip(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await one_connection(config, open_pool)
    for _ in range(5):
        async with pool.acquire() as connection:
            await connection.run("SELECT 1")
    assert pool.stats().resets == 0


@pytest.mark.row("X")
async def test_many_rows_are_written_all_or_none(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    session = Session(await open_pool(config))
    await session.execute("CREATE TABLE t (a INT PRIMARY KEY, b TEXT)")
    # more than fits into one INSERT of the driver; the last row repeats the first one's key
    rows = [(number % 2999, "x" * 1000) for number in range(3000)]
    with pytest.raises(IntegrityError):
        await session.execute_many("INSERT INTO t VALUES (%s, %s)", rows)
    assert await session.fetch_val("SELECT COUNT(*) FROM t") == 0
    result = await session.execute_many("INSERT INTO t VALUES (%s, %s)", rows[:-1])
    assert result.affected_rows == 2999
    assert await session.fetch_val("SELECT COUNT(*) FROM t") == 2999
