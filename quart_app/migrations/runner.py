"""Run Alembic on one of the engine's own connections, under an advisory lock.

Going through the engine means that migrations obey DATABASE_URL to the letter: TLS, unix socket,
several hosts. When ten containers start at once one of them works; the others wait and find nothing
left to do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import StaticPool

from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.mysql.pool import Pool

# GET_LOCK's names are server-wide: the database's name is part of ours.
# SHA2 shortened: MySQL 9.7 has no MD5 any more, and a lock's name has 64 characters at most.
_NAME = "CONCAT('quart_app.migrate.', LEFT(SHA2(DATABASE(), 256), 32))"
_LOCK = f"SELECT GET_LOCK({_NAME}, :seconds)"
_UNLOCK = f"SELECT RELEASE_LOCK({_NAME})"
# Of each table that others may have, too (Sakila has the first two), a column that ours has.
_MARKS = {
    "city": "population",
    "country": "iso2",
    "student": "name",
    "chapter": "title",
    "attempt": "permyriad",
}
_FOREIGN = (
    "SELECT COUNT(*) FROM information_schema.tables AS found"
    " WHERE table_schema = DATABASE() AND table_name = :table AND NOT EXISTS"
    " (SELECT 1 FROM information_schema.columns AS ours WHERE ours.table_schema = DATABASE()"
    " AND ours.table_name = :table AND ours.column_name = :column)"
)


class MigrationBusy(Exception):  # noqa: N818 - beside the engine's PoolTimeout
    """Another process is still migrating after the longest wait."""


class ForeignTables(Exception):  # noqa: N818 - as above
    """The database has tables of other programs under names that are ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Which steps a database has had (*current*, None: none) and which it lacks, oldest first."""

    current: str | None
    pending: tuple[str, ...]


async def migrate(connect: ConnectConfig, *, lock_timeout: float = 60.0) -> State:
    """Bring the database up to date; tell what was done as *pending* of the state found.

    Waits for the lock at most *lock_timeout* seconds. Raises MigrationBusy after that,
    ForeignTables before anything is changed, or what the engine raises of a database that cannot be
    reached. A step that failed half-way is run again from its beginning the next time.
    """
    async with _connection(connect) as connection, _lock(connection, lock_timeout):
        before = await connection.run_sync(_read_state)
        if before.current is None:
            await _refuse_foreign_tables(connection)
        await connection.run_sync(_upgrade)
        return before


async def read_state(connect: ConnectConfig) -> State:
    """Tell where the database stands; changes nothing."""
    async with _connection(connect) as connection:
        return await connection.run_sync(_read_state)


@asynccontextmanager
async def _connection(connect: ConnectConfig) -> AsyncIterator[AsyncConnection]:
    async with Pool(connect, PoolConfig(name="migrations", maxsize=1)) as pool:
        await pool.wait(timeout=connect.connect_timeout)
        async with pool.acquire() as ours, _alchemy(ours) as connection:
            yield connection


@asynccontextmanager
async def _alchemy(ours: object) -> AsyncIterator[AsyncConnection]:
    """Let SQLAlchemy work on *ours*; it goes back to its pool open, so the engine is not disposed."""

    async def creator() -> object:
        return ours

    engine = create_async_engine("mysql+aiomysql://", async_creator=creator, poolclass=StaticPool)
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def _lock(connection: AsyncConnection, seconds: float) -> AsyncIterator[None]:
    if await connection.scalar(text(_LOCK), {"seconds": seconds}) != 1:
        message = f"another process has been migrating this database for {seconds:g} s"
        raise MigrationBusy(message)
    yield
    # After an error, or Ctrl-C, the connection may be of no more use: the lock ends with its session.
    await connection.execute(text(_UNLOCK))


async def _refuse_foreign_tables(connection: AsyncConnection) -> None:
    """Steps pass over tables that a run cut off has made; those of others are not to be taken for it."""
    found = [
        table
        for table, column in _MARKS.items()
        if await connection.scalar(text(_FOREIGN), {"table": table, "column": column})
    ]
    if found:
        message = (
            f"the database has other tables named {', '.join(found)} already: "
            "name a database of its own in DATABASE_URL"
        )
        raise ForeignTables(message)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "quart_app:migrations")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


def _read_state(connection: Connection) -> State:
    current = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(_config(connection))
    pending = [step.revision for step in script.walk_revisions(current or "base", "head")]
    if current in pending:
        pending.remove(current)
    return State(current=current, pending=tuple(reversed(pending)))
