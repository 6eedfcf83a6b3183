"""deploy/sql/users.sql: with these rights, and no more, everything works."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pymysql
import pytest
from pymysql.constants import CLIENT
from quart.typing import TestClientProtocol as Client

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.migrations import migrate
from quart_app.mysql import deadline
from quart_app.mysql.config import PoolConfig
from quart_app.mysql.errors import DatabaseError, QueryTimeout
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.settings import Settings
from quart_app.testing.servers import Server
from quart_app.tokens import parse_tokens

USERS = Path(__file__).parents[2] / "deploy" / "sql" / "users.sql"
TOKEN = "token of a test"  # noqa: S105
DENIED = {1044, 1045, 1142, 1227, 1370, 1419}  # by database, right to files, table, privilege, ...
DATA = (
    "INSERT INTO country VALUES (1, 'Utopia', 'UT', 'UTO', 'EU', 'Amaurot', 1, NOW())",
    "INSERT INTO city VALUES (1, 'Amaurot', 1, 1, 0, 0, NOW())",
    "INSERT INTO student VALUES (1, 'Thomas')",
    "INSERT INTO chapter VALUES (1, 'Of their towns')",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """URLs of one database for the two users."""

    app: str
    migrate: str


@pytest.fixture(name="users")
def _users(mysql_server: Server) -> Iterator[Users]:
    """A database and two users, made by the file that deployments use, under names of their own."""
    suffix = secrets.token_hex(4)
    name, password = f"quart_app_{suffix}", f"it's \\ {suffix}"
    sql = USERS.read_text().replace("quart\\_app", f"quart\\_app\\_{suffix}")
    sql = sql.replace("`quart_app`", f"`{name}`")
    sql = sql.replace("''quart_app", f"''{suffix}_app").replace("'quart_app", f"'{suffix}_app")
    with _administrator(mysql_server) as cursor:
        cursor.execute("SET @app_password = %s, @migrate_password = %s", (password, password))
        cursor.execute(sql)
        while cursor.nextset():
            pass
    app, migrating = f"{suffix}_app", f"{suffix}_app_migrate"
    yield Users(
        app=_url(mysql_server, app, password, name),
        migrate=_url(mysql_server, migrating, password, name),
    )
    with _administrator(mysql_server) as cursor:
        cursor.execute(f"DROP USER '{app}', '{migrating}'; DROP DATABASE `{name}`")


@contextlib.contextmanager
def _administrator(server: Server) -> Iterator[pymysql.cursors.Cursor]:
    parts = urlsplit(server.admin_url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        autocommit=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor


def _url(server: Server, user: str, password: str, database: str) -> str:
    parts = urlsplit(server.url)
    quoted = password.replace("\\", "%5C").replace(" ", "%20").replace("'", "%27")
    where = f"{user}:{quoted}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=where, path=f"/{database}"))


@pytest.fixture(name="migrated")
async def _migrated(users: Users) -> Users:
    """Tables made, and a little data loaded, by the user for that."""
    connect = parse_database_url(users.migrate)
    await migrate(connect)
    async with Pool(connect, PoolConfig(maxsize=1)) as pool:
        for statement in DATA:
            await Session(pool).execute(statement)
    return users


@pytest.fixture(name="client")
async def _client(migrated: Users) -> AsyncIterator[Client]:
    """A client of the API, which runs as the user for that."""
    tokens = parse_tokens("students:" + hashlib.sha256(TOKEN.encode()).hexdigest())
    settings = Settings(database=parse_database_url(migrated.app), tokens=tokens, access_log=False)
    app = create_app(settings)
    async with app.test_app() as served:
        yield served.test_client()


async def test_api_reads_and_writes_with_the_rights_of_its_user(client: Client) -> None:
    found = await client.get("/", query_string={"city": "Amaurot"})
    assert (await found.get_data()).rstrip() == b'City "Amaurot" is #1'
    for path in ("/cities?prefix=Am", "/cities/1", "/countries", "/health/ready"):
        assert (await client.get(path)).status_code == HTTPStatus.OK, path
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "1"}
    attempt = {"score": 1, "max_score": 2, "taken_at": "2026-01-01T00:00:00Z"}
    for replayed in (None, "true"):
        recorded = await client.post(
            "/students/1/chapters/1/attempts", headers=headers, json=attempt
        )
        assert recorded.status_code == HTTPStatus.CREATED
        assert recorded.headers.get("Idempotent-Replayed") == replayed
    summary = await client.get("/students/1/chapters/1", headers=headers)
    assert (await summary.get_json())["attempts"] == 1


async def test_engine_ends_its_statements_with_the_rights_of_its_user(
    migrated: Users, mysql_server: Server
) -> None:
    user = urlsplit(migrated.app).username
    async with Pool(parse_database_url(migrated.app), PoolConfig(maxsize=2)) as pool:
        with pytest.raises(QueryTimeout), deadline.within(0.5):
            await Session(pool).fetch_all("SELECT SLEEP(60)")
        until = time.monotonic() + 10
        while await asyncio.to_thread(_sleeping, mysql_server, user):
            assert time.monotonic() < until, "the statement was not ended"
            await asyncio.sleep(0.05)
        assert pool.stats().kills == 1


def _sleeping(server: Server, user: str | None) -> int:
    sql = "SELECT id FROM information_schema.processlist WHERE user = %s AND info LIKE 'SELECT SLEEP%%'"
    return len(server.execute(sql, user))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (i INT)",
        "ALTER TABLE city ADD COLUMN mine INT",
        "DROP TABLE city",
        "TRUNCATE TABLE city",
        "CREATE INDEX mine ON city (population)",
        "CREATE TRIGGER mine BEFORE INSERT ON city FOR EACH ROW SET @x = 1",
        "CREATE PROCEDURE mine() SELECT 1",
        "SELECT * FROM mysql.user",
        "SELECT 'x' INTO OUTFILE '/tmp/quart-app-test'",
        "SET GLOBAL max_connections = 1000",
        "GRANT SELECT ON city TO CURRENT_USER()",
        "CREATE DATABASE somebody_elses",
    ],
)
async def test_user_of_the_api_may_do_no_more(migrated: Users, statement: str) -> None:
    async with Pool(parse_database_url(migrated.app), PoolConfig(maxsize=1)) as pool:
        with pytest.raises(DatabaseError) as refused:
            await Session(pool).execute(statement)
    assert refused.value.errno in DENIED


async def test_user_of_migrations_may_not_touch_other_databases(
    migrated: Users, database_url: str
) -> None:
    other = urlsplit(database_url).path.removeprefix("/")
    async with Pool(parse_database_url(migrated.migrate), PoolConfig(maxsize=1)) as pool:
        with pytest.raises(DatabaseError) as refused:
            await Session(pool).execute(f"CREATE TABLE `{other}`.mine (i INT)")
    assert refused.value.errno in DENIED
