"""Migrations on every server: once, by one, and again after having been cut off."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from quart_app.database_url import parse_database_url
from quart_app.migrations import ForeignTables, MigrationBusy, migrate, read_state, runner
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.errors import (
    AccessDenied,
    ConnectError,
    IntegrityError,
    TLSRequired,
    UnknownDatabase,
)
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.testing.servers import Server

KEY = (
    "INSERT INTO idempotency_key (caller, idempotency_key, owner, fingerprint)"
    " VALUES (%s, 'k', '', '')"
)


@pytest.fixture(name="connect")
def _connect(database_url: str) -> ConnectConfig:
    return parse_database_url(database_url)


async def tables(connect: ConnectConfig) -> set[str]:
    async with Pool(connect) as pool:
        return {name for (name,) in await Session(pool).fetch_all("SHOW TABLES")}


async def test_empty_database_gets_everything_once(connect: ConnectConfig) -> None:
    before = await read_state(connect)
    assert before.current is None
    assert before.pending[0] == "0001"
    assert await tables(connect) == set(), "asking changes nothing"

    assert await migrate(connect) == before
    after = await read_state(connect)
    assert after.current == before.pending[-1]
    assert after.pending == ()
    assert {"city", "country", "dataset"} <= await tables(connect)

    assert (await migrate(connect)).pending == ()


async def test_other_programs_tables_are_not_taken_for_ours(connect: ConnectConfig) -> None:
    """Sakila's city was: `migrate` said all was well, and `seed` failed with an unknown column."""
    async with Pool(connect) as pool:
        await Session(pool).execute("CREATE TABLE city (city_id INT PRIMARY KEY, city VARCHAR(50))")
    with pytest.raises(ForeignTables, match="other tables named city already"):
        await migrate(connect)
    assert await tables(connect) == {"city"}


async def test_of_ten_at_once_one_works_and_the_others_wait(connect: ConnectConfig) -> None:
    states = await asyncio.gather(*(migrate(connect) for _ in range(10)))
    assert sum(bool(state.pending) for state in states) == 1
    assert (await read_state(connect)).pending == ()


async def test_step_that_was_cut_off_is_done_again(connect: ConnectConfig) -> None:
    await migrate(connect)
    async with Pool(connect) as pool:
        session = Session(pool)
        await session.execute("DROP TABLE city")
        await session.execute("DELETE FROM alembic_version")
    await migrate(connect)
    assert "city" in await tables(connect)


async def test_a_key_is_unique_for_its_caller(connect: ConnectConfig) -> None:
    await migrate(connect)
    async with Pool(connect) as pool:
        session = Session(pool)
        await session.execute("DELETE FROM alembic_version")
        await migrate(connect)  # each step once more
        for caller in (b"1" * 32, b"2" * 32):
            await session.execute(KEY, (caller,))
        with pytest.raises(IntegrityError):
            await session.execute(KEY, (b"1" * 32,))


async def test_wait_for_another_has_an_end(connect: ConnectConfig) -> None:
    async with Pool(connect) as pool, Session(pool).connection() as other:
        name = runner._LOCK.replace(":seconds", "0")
        assert (await other.run(name)).rows == [(1,)]
        with pytest.raises(MigrationBusy):
            await migrate(connect, lock_timeout=0.1)
    assert (await migrate(connect)).pending


async def test_lock_is_given_back_after_a_failure(
    connect: ConnectConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Connection) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(runner, "_upgrade", fail)
        await migrate(connect)
    assert (await migrate(connect, lock_timeout=1)).pending


async def test_migration_that_is_cut_off_says_no_more_than_that(
    connect: ConnectConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    def work(connection: Connection) -> None:
        begun.set()
        connection.execute(text("SELECT SLEEP(60)"))

    with monkeypatch.context() as patched:
        patched.setattr(runner, "_upgrade", work)
        migrating = asyncio.create_task(migrate(connect))
        await begun.wait()
        migrating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await migrating
    assert (await migrate(connect, lock_timeout=10)).pending


async def test_wrong_password_database_and_port_are_told_apart(
    connect: ConnectConfig, mysql_server: Server
) -> None:
    with pytest.raises(AccessDenied):
        await migrate(replace(connect, password="wrong"))
    admin = parse_database_url(mysql_server.admin_url)
    with pytest.raises(UnknownDatabase):
        await migrate(replace(admin, database="quart_app_test_nothing"))
    closed = tuple(replace(endpoint, port=1) for endpoint in connect.endpoints)
    with pytest.raises(ConnectError) as caught:
        await migrate(replace(connect, endpoints=closed))
    assert not isinstance(caught.value, TLSRequired)
