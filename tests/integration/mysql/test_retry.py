"""Retry on real servers: what breaks, and what is left in the table afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace

import pytest

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, RetryPolicy, TLSMode
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import (
    CommitUnknown,
    ConnectionLost,
    Deadlock,
    IntegrityError,
    LockWaitTimeout,
    QueryError,
    QueryTimeout,
    ReadOnlyServer,
)
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.mysql.transaction import Isolation
from quart_app.testing.servers import Server
from quart_app.torture.cuts import Cut
from quart_app.torture.proxy import FaultProxy
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql

POLICY = RetryPolicy(timeout=8.0, wait_initial=0.01, wait_max=0.2)


@dataclass
class Play:
    """A session, and another one that breaks things."""

    session: Session
    other: Session

    async def ids(self) -> list[int]:
        return [row[0] for row in await self.other.fetch_all("SELECT id FROM t ORDER BY id")]

    async def kill(self, connection: Connection) -> None:
        await self.other.execute("KILL %s", (connection.server.thread_id,))


async def insert(session: Session, number: int) -> None:
    await session.execute("INSERT INTO t (id) VALUES (%s)", (number,))


@pytest.fixture(name="play")
async def _play(config: ConnectConfig, open_pool: OpenPool) -> Play:
    session = Session(await open_pool(config), POLICY)
    other = Session(await open_pool(config), POLICY)
    await other.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 0)")
    return Play(session, other)


async def test_values_come_and_go(play: Play) -> None:
    session = play.session
    result = await session.execute_many("INSERT INTO t (id, a) VALUES (%s, %s)", [(1, 2), (3, 4)])
    assert result.affected_rows == 2
    assert await session.fetch_all("SELECT id, a FROM t ORDER BY id") == [(1, 2), (3, 4)]
    assert await session.fetch_val("SELECT a FROM t WHERE id = %(id)s", {"id": 3}) == 4
    assert [row async for row in session.iterate("SELECT id FROM t ORDER BY id")] == [(1,), (3,)]


async def test_many_rows_are_all_or_none(play: Play) -> None:
    rows = [(number,) for number in range(1000)] + [(0,)]
    with pytest.raises(IntegrityError):
        await play.session.execute_many("INSERT INTO t (id) VALUES (%s)", rows)
    assert await play.ids() == []


async def test_a_read_killed_under_way_is_read_again(play: Play) -> None:
    async def kill_soon() -> None:  # the server tells nobody when a statement begins
        sql = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%%'"
        while not (rows := await play.other.fetch_all(sql)):  # noqa: ASYNC110 # as said
            await asyncio.sleep(0.02)
        with suppress(QueryError):
            await play.other.execute("KILL %s", rows[0])

    killer = asyncio.create_task(kill_soon())
    assert await play.session.fetch_val("SELECT SLEEP(0.7) + 5") == 5
    await killer


async def test_work_killed_under_way_is_done_again(play: Play) -> None:
    times = 0

    async def work(connection: Connection) -> None:
        nonlocal times
        times += 1
        await insert(play.session, times)
        if times == 1:
            await play.kill(connection)
        await insert(play.session, 100 + times)

    await play.session.run(work, idempotent=False)
    assert await play.ids() == [2, 102]


async def test_work_killed_before_its_commit_is_done_again(play: Play) -> None:
    times = 0

    async def work(connection: Connection) -> None:
        nonlocal times
        times += 1
        await insert(play.session, times)
        if times == 1:
            await play.kill(connection)
            await asyncio.sleep(0.2)  # the socket's end is here before COMMIT goes out

    await play.session.run(work, idempotent=False)
    assert await play.ids() == [2]


async def test_a_write_on_a_connection_known_to_be_dead_is_sent_on_another(play: Play) -> None:
    async with play.session.connection() as connection:
        await play.kill(connection)
        await asyncio.sleep(0.2)
        with pytest.raises(ConnectionLost) as caught:
            await insert(play.session, 1)
        assert not caught.value.sent
    await insert(play.session, 1)
    assert await play.ids() == [1]


async def test_idle_connections_that_timed_out_do_not_cost_a_write(play: Play) -> None:
    async with play.session.connection() as connection:
        await connection.run("SET SESSION wait_timeout = 1")
        await asyncio.sleep(1.5)
        with pytest.raises(ConnectionLost) as caught:
            await insert(play.session, 1)
        assert not caught.value.sent
    await insert(play.session, 1)
    assert await play.ids() == [1]


async def test_deadlocks_are_resolved_by_doing_the_work_again(play: Play) -> None:
    await play.session.execute_many("INSERT INTO t (id) VALUES (%s)", [(1,), (2,)])
    both_hold_one = asyncio.Barrier(2)
    times = 0

    async def work(first: int, second: int) -> None:
        async def swap(connection: Connection) -> None:
            nonlocal times
            times += 1
            await connection.run("UPDATE t SET a = a + 1 WHERE id = %s", (first,))
            if not both_hold_one.broken and times <= 2:
                await both_hold_one.wait()
            await connection.run("UPDATE t SET a = a + 1 WHERE id = %s", (second,))

        await play.session.run(swap, idempotent=False)

    await asyncio.gather(work(1, 2), work(2, 1))
    assert times >= 3
    assert await play.session.fetch_all("SELECT a FROM t") == [(2,), (2,)]


async def test_a_deadlock_in_a_block_is_raised_and_leaves_nothing(play: Play) -> None:
    await play.session.execute_many("INSERT INTO t (id) VALUES (%s)", [(1,), (2,)])
    held = asyncio.Barrier(2)

    async def swap(first: int, second: int) -> None:
        async with play.session.transaction():
            await play.session.execute("UPDATE t SET a = a + 1 WHERE id = %s", (first,))
            await held.wait()
            await play.session.execute("UPDATE t SET a = a + 1 WHERE id = %s", (second,))

    outcomes = await asyncio.gather(swap(1, 2), swap(2, 1), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Deadlock", "NoneType"]
    assert await play.session.fetch_all("SELECT a FROM t") == [(1,), (1,)]


async def test_after_a_swallowed_deadlock_nothing_is_committed(play: Play) -> None:
    await play.session.execute_many("INSERT INTO t (id) VALUES (%s)", [(1,), (2,)])
    held, seen = asyncio.Barrier(2), []

    async def swap(first: int, second: int) -> None:
        async with play.session.transaction():
            await insert(play.session, first * 100)
            await play.session.execute("UPDATE t SET a = a + 1 WHERE id = %s", (first,))
            await held.wait()
            try:
                await play.session.execute("UPDATE t SET a = a + 1 WHERE id = %s", (second,))
            except Deadlock as error:
                seen.append(error)
                await insert(play.session, first * 100 + 1)

    outcomes = await asyncio.gather(swap(1, 2), swap(2, 1), return_exceptions=True)
    assert len(seen) == 1
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "QueryError"]
    assert len(await play.ids()) == 3


async def test_a_lock_wait_that_ends_is_waited_for(play: Play) -> None:
    await insert(play.session, 1)

    async def work(connection: Connection) -> None:
        await connection.run("SET SESSION innodb_lock_wait_timeout = 1")
        await connection.run("UPDATE t SET a = 7 WHERE id = 1")

    async with play.other.transaction():
        await play.other.execute("UPDATE t SET a = 1 WHERE id = 1")
        worker = asyncio.create_task(play.session.run(work, idempotent=False))
        await asyncio.sleep(1.5)
    await worker
    assert await play.session.fetch_val("SELECT a FROM t") == 7


async def test_a_lock_wait_that_does_not_end_is_an_error_at_the_deadline(play: Play) -> None:
    await insert(play.session, 1)

    async def work(connection: Connection) -> None:
        await connection.run("SET SESSION innodb_lock_wait_timeout = 1")
        await connection.run("UPDATE t SET a = 7 WHERE id = 1")

    async with play.other.transaction():
        await play.other.execute("UPDATE t SET a = 1 WHERE id = 1")
        with pytest.raises((LockWaitTimeout, QueryTimeout)):
            await play.session.run(work, idempotent=False, timeout=2.5)
    assert await play.session.fetch_val("SELECT a FROM t") == 1


async def test_a_statement_past_its_deadline_ends_on_the_server_too(play: Play) -> None:
    with pytest.raises(QueryTimeout), deadline.within(0.5):
        await play.session.execute("DO SLEEP(60)")
    sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%%'"
    async with asyncio.timeout(2):
        while await play.other.fetch_val(sql):  # noqa: ASYNC110 # the server tells nobody
            await asyncio.sleep(0.05)
    assert await play.session.fetch_val("SELECT 1") == 1


async def test_isolation_is_for_one_transaction(play: Play) -> None:
    variable = "@@transaction_isolation"
    if (await play.session.fetch_val("SELECT VERSION()")).startswith("10."):
        variable = "@@tx_isolation"
    async with play.session.transaction(isolation=Isolation.READ_COMMITTED):
        await insert(play.other, 1)
        assert await play.session.fetch_val("SELECT COUNT(*) FROM t") == 1
        await insert(play.other, 2)
        assert await play.session.fetch_val("SELECT COUNT(*) FROM t") == 2
    assert await play.session.fetch_val(f"SELECT {variable}") == "REPEATABLE-READ"


async def test_a_reading_transaction_refuses_to_write_and_blames_no_server(play: Play) -> None:
    with pytest.raises(ReadOnlyServer):
        async with play.session.transaction(readonly=True):
            await insert(play.session, 1)
    assert await play.ids() == []


async def test_savepoints(play: Play) -> None:
    async with play.session.transaction():
        await insert(play.session, 1)
        with pytest.raises(KeyError):
            async with play.session.transaction():
                await insert(play.session, 2)
                raise KeyError
        async with play.session.transaction():
            await insert(play.session, 3)
    assert await play.ids() == [1, 3]


async def test_an_error_in_a_block_leaves_nothing(play: Play) -> None:
    with pytest.raises(KeyError):
        async with play.session.transaction():
            await insert(play.session, 1)
            raise KeyError
    assert await play.ids() == []


async def test_a_million_rows_are_not_held_at_once(play: Play) -> None:
    await play.session.execute_many(
        "INSERT INTO t (id) VALUES (%s)", [(number,) for number in range(2000)]
    )
    sql = "SELECT x.id + y.id FROM t AS x, t AS y"
    async with aclosing(play.session.iterate(sql)) as rows:
        seen = 0
        async for _ in rows:
            seen += 1
            if seen == 50_000:
                break
    assert seen == 50_000
    assert await play.session.fetch_val("SELECT COUNT(*) FROM t") == 2000


# -- the server itself ---------------------------------------------------------------------------


@pytest.fixture(name="fragile")
async def _fragile(breakable_config: ConnectConfig, open_pool: OpenPool) -> Play:
    session = Session(await open_pool(breakable_config, acquire_timeout=5.0), POLICY)
    other = Session(await open_pool(breakable_config, acquire_timeout=5.0), POLICY)
    await other.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 0)")
    return Play(session, other)


async def test_a_restart_under_load_fails_no_read(fragile: Play, breakable_server: Server) -> None:
    ended = asyncio.Event()

    async def read() -> int:
        count = 0
        while not ended.is_set():
            assert await fragile.session.fetch_val("SELECT 1 + 1") == 2
            count += 1
        return count

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(8)]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(breakable_server.process.kill)
        await asyncio.to_thread(breakable_server.process.start)
        await asyncio.sleep(0.5)
        ended.set()
    assert all(reader.result() for reader in readers)


async def test_a_read_only_server_refuses_and_later_takes_a_write(
    fragile: Play, breakable_server: Server
) -> None:
    # The first wait would go past the deadline: no try is cut off by it.
    slow = replace(POLICY, wait_initial=60.0, wait_max=60.0)
    session = Session(fragile.session.pool, slow, uniform=lambda _, longest: longest)
    breakable_server.execute("SET GLOBAL read_only = ON")
    try:
        with pytest.raises(ReadOnlyServer), deadline.within(30):
            await insert(session, 1)
        writing = asyncio.create_task(insert(fragile.session, 2))
        working = asyncio.create_task(
            fragile.session.run(lambda _: insert(fragile.session, 3), idempotent=False)
        )
        await asyncio.sleep(0.5)
    finally:
        breakable_server.execute("SET GLOBAL read_only = OFF")
    await asyncio.gather(writing, working)
    assert await fragile.ids() == [2, 3]


# -- the network -----------------------------------------------------------------------------------


@dataclass
class Behind:
    """A session behind a proxy, and one that goes round it."""

    play: Play
    proxy: FaultProxy


@pytest.fixture(name="behind")
async def _behind(config: ConnectConfig) -> AsyncIterator[Behind]:
    async with AsyncExitStack() as stack:
        endpoint = config.endpoints[0]
        proxy = await stack.enter_async_context(FaultProxy(endpoint.host, endpoint.port))
        through = replace(
            config,
            endpoints=(Endpoint(host="127.0.0.1", port=proxy.port),),
            tls_mode=TLSMode.DISABLED,
        )
        sizes = PoolConfig(minsize=0, maxsize=4, close_timeout=2.0, statement_timeout=1.0)
        pool = await stack.enter_async_context(Pool(through, sizes))
        other = await stack.enter_async_context(Pool(config, replace(sizes, statement_timeout=9.0)))
        play = Play(Session(pool, POLICY), Session(other, POLICY))
        await play.other.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 0)")
        yield Behind(play, proxy)


@pytest.mark.parametrize("how", list(Cut))
async def test_a_lost_commit_is_unknown_and_there_once(behind: Behind, how: Cut) -> None:
    behind.proxy.lose_answers(b"COMMIT", how)
    with pytest.raises(CommitUnknown):
        await behind.play.session.run(lambda _: insert(behind.play.session, 1), idempotent=False)
    assert await behind.play.ids() == [1]


@pytest.mark.parametrize("how", list(Cut))
async def test_a_lost_commit_of_idempotent_work_is_found_out(behind: Behind, how: Cut) -> None:
    session = behind.play.session

    async def work(connection: Connection) -> bool:
        try:
            await connection.run("INSERT INTO t (id) VALUES (1)")
        except IntegrityError:
            return False
        behind.proxy.lose_answers(b"COMMIT", how)
        return True

    async def mend_once_struck() -> None:
        while not behind.proxy.struck:  # noqa: ASYNC110 # the proxy tells nobody
            await asyncio.sleep(0.005)
        behind.proxy.lose_answers(b"none", how)  # not mend(): the cut is yet to come

    mending = asyncio.create_task(mend_once_struck())
    assert await session.run(work, idempotent=True) is False
    assert await behind.play.ids() == [1]
    await mending


@pytest.mark.parametrize("how", list(Cut))
async def test_a_lost_answer_to_a_write_is_said_and_not_sent_again(
    behind: Behind, how: Cut
) -> None:
    behind.proxy.lose_answers(b"INSERT INTO T (ID) VALUES (1)", how)
    with pytest.raises((ConnectionLost, QueryTimeout)) as caught:
        await insert(behind.play.session, 1)
    assert getattr(caught.value, "sent", False) is True
    assert behind.proxy.struck == 1
    assert await behind.play.ids() == [1]


@pytest.mark.parametrize("how", list(Cut))
async def test_a_lost_answer_to_a_read_is_asked_for_again(behind: Behind, how: Cut) -> None:
    await behind.play.session.fetch_val("SELECT 2")
    behind.proxy.lose_answers(b"SELECT 1", how)
    reading = asyncio.create_task(behind.play.session.fetch_val("SELECT 1"))
    while not behind.proxy.struck:  # noqa: ASYNC110 # the proxy tells nobody
        await asyncio.sleep(0.005)
    behind.proxy.lose_answers(b"none", how)
    assert await reading == 1
