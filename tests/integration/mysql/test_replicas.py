"""Reads from a real replica: what was written is seen, however far behind the replica is."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from quart_app.database_url import parse_database_url
from quart_app.local_server import LocalServer
from quart_app.mysql import consistency
from quart_app.mysql.config import ConnectConfig, Endpoint
from quart_app.mysql.consistency import Reading, from_replicas
from quart_app.mysql.replicas import Replicas
from quart_app.mysql.session import Session
from quart_app.testing.container import (
    ContainerServer,
    use_reaper_if_it_can_be_had,
    why_no_engine,
    why_no_image,
)
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql

COUNT = "SELECT COUNT(*) FROM thing"
LOG = ("--log-bin=log", "--server-id={}")
GTID = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")


@dataclass(frozen=True)
class Pair:
    """A writer, and a replica that is told where to find it."""

    writer: ConnectConfig
    replica: ConnectConfig
    follow: tuple[str, ...]
    pause: str
    resume: str


@pytest.fixture(scope="module", name="mariadb_pair")
def _mariadb_pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="qa-")))
        one, two = (
            stack.enter_context(
                LocalServer(folder / str(n), options=[option.format(n) for option in LOG])
            )
            for n in (1, 2)
        )
        writer = parse_database_url(one.admin_url)
        follow = (
            "STOP SLAVE",
            "SET GLOBAL gtid_slave_pos = '{}'",
            (
                f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {one.port},"
                f" MASTER_USER = '{writer.user}', MASTER_PASSWORD = '{writer.password}',"
                " MASTER_USE_GTID = slave_pos"
            ),
            "START SLAVE",
        )
        replica = parse_database_url(two.admin_url)
        yield Pair(writer, replica, follow, "STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD")


@pytest.fixture(scope="module", name="mysql_pair")
def _mysql_pair() -> Iterator[Pair]:
    missing = why_no_engine() or why_no_image("mysql:9")
    if missing:
        pytest.skip(missing)
    use_reaper_if_it_can_be_had()
    with ExitStack() as stack:
        one, two = (
            ContainerServer("mysql:9", options=[option.format(n) for option in (*LOG, *GTID)])
            for n in (1, 2)
        )
        for server in (one, two):
            stack.callback(server.stop)
            server.start()
        writer = parse_database_url(one.admin_url)
        follow = (
            "STOP REPLICA",
            "RESET BINARY LOGS AND GTIDS",
            "SET GLOBAL gtid_purged = '{}'",
            (
                f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{one.address_inside}', SOURCE_PORT = 3306,"
                f" SOURCE_USER = '{writer.user}', SOURCE_PASSWORD = '{writer.password}',"
                " SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
            ),
            "START REPLICA",
        )
        replica = parse_database_url(two.admin_url)
        yield Pair(writer, replica, follow, "STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD")


@pytest.fixture(
    name="pair", params=["mariadb_pair", pytest.param("mysql_pair", marks=pytest.mark.docker)]
)
def _pair(request: pytest.FixtureRequest) -> Pair:
    pair: Pair = request.getfixturevalue(request.param)
    return pair


@pytest.fixture(name="session")
async def _session(pair: Pair, open_pool: OpenPool) -> Session:
    """A session that may read from a replica that follows; both have an empty table."""
    writer = await open_pool(pair.writer, maxsize=4)
    replica = await open_pool(replace(pair.replica, any_role=True), maxsize=2)
    async with writer.acquire() as one, replica.acquire() as two:
        await two.run("DROP TABLE IF EXISTS thing")
        await one.run("DROP TABLE IF EXISTS thing")
        token = await consistency.token_of(one)
        assert token is not None
        for statement in pair.follow:
            await two.run(statement.format(token.partition(":")[2]))
        await one.run("CREATE TABLE thing (id INT PRIMARY KEY)")
        token = await consistency.token_of(one)
        assert token is not None
        assert await consistency.is_caught_up(two, token, wait=20.0)
    session = Session(writer)
    session.replicas = Replicas(replica)
    return session


async def _write(session: Session, number: int) -> str:
    """Insert a row; returns the token of that write."""
    await session.execute("INSERT INTO thing VALUES (%s)", (number,))
    async with session.connection() as connection:
        token = await consistency.token_of(connection)
    assert token is not None
    assert consistency.is_token(token)
    return token


async def _on_replica(session: Session, statement: str) -> None:
    assert session.replicas is not None
    async with session.replicas.pool.acquire() as connection:
        await connection.run(statement)


async def test_without_leave_everything_is_read_from_the_writer(session: Session) -> None:
    assert session.replicas is not None
    await _write(session, 1)
    assert await session.fetch_val(COUNT) == 1
    assert session.replicas.answered == 0


async def test_reader_sees_the_write_it_names(session: Session) -> None:
    assert session.replicas is not None
    for number in range(1, 30):
        token = await _write(session, number)
        with from_replicas(Reading(token)):
            assert await session.fetch_val(COUNT) == number
    assert session.replicas.answered > 20


async def test_replica_that_lags_leaves_the_reader_to_the_writer(
    session: Session, pair: Pair
) -> None:
    assert session.replicas is not None
    await _on_replica(session, pair.pause)
    token = await _write(session, 1)
    with from_replicas(Reading()):
        assert await session.fetch_val(COUNT) == 0
    with from_replicas(Reading(token)):
        assert await session.fetch_val(COUNT) == 1
    assert session.replicas.left_to_writer == 1
    await _on_replica(session, pair.resume)


async def test_replica_that_catches_up_in_time_is_waited_for(session: Session, pair: Pair) -> None:
    assert session.replicas is not None
    await _on_replica(session, pair.pause)
    token = await _write(session, 1)

    async def read() -> object:
        with from_replicas(Reading(token)):
            return await session.fetch_val(COUNT)

    reading = asyncio.create_task(read())
    await _on_replica(session, pair.resume)
    assert await reading == 1
    assert session.replicas.answered == 1


async def test_lookups_and_json_come_from_replicas_too(session: Session) -> None:
    assert session.replicas is not None
    lookup = session.lookup("SELECT id FROM thing WHERE id = %s")
    token = await _write(session, 7)
    await lookup(1)
    with from_replicas(Reading(token)):
        answers = await asyncio.gather(*(lookup(number) for number in range(10)))
        assert await session.fetch_json("SELECT id FROM thing") == b'[{"id":7}]'
    assert answers == [[(7,)] if number == 7 else [] for number in range(10)]
    assert session.replicas.answered > 1


async def test_transaction_reads_its_own_writes(session: Session) -> None:
    assert session.replicas is not None
    with from_replicas(Reading()):
        async with session.transaction():
            await session.execute("INSERT INTO thing VALUES (1)")
            assert await session.fetch_val(COUNT) == 1
    assert session.replicas.answered == 0


@pytest.mark.parametrize("token", ["mysql:nonsense", "mariadb:9-9-9999999", "mysql:-", "sync:"])
async def test_made_up_token_costs_a_wait_at_most(session: Session, token: str) -> None:
    await _write(session, 1)
    with from_replicas(Reading(token)):
        assert await session.fetch_val(COUNT) in (0, 1)


async def test_replicas_that_are_away_are_not_missed(session: Session, open_pool: OpenPool) -> None:
    gone = await open_pool(ConnectConfig(endpoints=(Endpoint(host="127.0.0.1", port=1),)))
    session.replicas = Replicas(gone, max_wait=0.05)
    await _write(session, 1)
    with from_replicas(Reading()):
        assert await session.fetch_val(COUNT) == 1
    assert session.replicas.left_to_writer == 1
