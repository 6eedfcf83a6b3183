"""The app and a database that is not there: at the start, in between, or not as the settings say."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client

from quart_app.app import create_app
from quart_app.check import check
from quart_app.database_url import parse_database_url
from quart_app.extension import EXTENSION
from quart_app.migrations import migrate
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.errors import ConnectError
from quart_app.mysql.pool import Pool
from quart_app.settings import Settings
from quart_app.testing.servers import Server


def settings_for(connect: ConnectConfig, **other: object) -> Settings:
    return Settings.model_validate(
        {"database": connect, "access_log": False, "request_timeout": 6.0, **other}
    )


@pytest.fixture(name="stopped")
async def _stopped(breakable_server: Server) -> AsyncIterator[Quart]:
    """The app, started while its server was down."""
    connect = parse_database_url(breakable_server.url)
    breakable_server.process.stop()
    app = create_app(settings_for(connect))
    async with app.test_app():
        yield app


async def status(client: Client, path: str) -> int:
    return (await client.get(path)).status_code


async def _connected(pool: Pool) -> None:
    """wait() tells each failure; the attempt under way may have begun before the server did."""
    async with asyncio.timeout(20):
        while not pool.ready:
            with contextlib.suppress(ConnectError):
                await pool.wait()


async def test_app_starts_without_its_database_and_heals(
    stopped: Quart, breakable_server: Server
) -> None:
    client = stopped.test_client()
    assert await status(client, "/health/live") == 200
    assert await status(client, "/health/ready") == 503
    response = await client.get("/?city=London")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert json.loads(await response.get_data())["type"] == "/problems/unavailable"

    breakable_server.process.start()
    await _connected(stopped.extensions[EXTENSION].pool)
    assert await status(client, "/health/ready") == 200
    assert await status(client, "/countries") in (200, 500), "the tables may be missing"


async def test_stopped_app_leaves_no_connection(world_url: str, mysql_server: Server) -> None:
    count = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()"
    database = parse_database_url(world_url).database
    app = create_app(settings_for(parse_database_url(world_url)))
    async with app.test_app():
        db = app.extensions[EXTENSION]
        await db.pool.wait(timeout=10)
        assert await db.fetch_val(count) >= 1
    ids = "SELECT id FROM information_schema.processlist WHERE db = %s"
    assert mysql_server.execute(ids, database) == []


async def test_check_is_content_with_what_works(world_url: str) -> None:
    findings = await check(settings_for(parse_database_url(world_url)))
    assert [finding.text for finding in findings if not finding.ok] == []
    assert findings[0].text.startswith("connected: ")


@pytest.mark.parametrize(
    "many", [{"maxsize": 100_000}, {"workers": 100_000}, {"instances": 100_000}], ids=str
)
async def test_check_tells_of_missing_tables_and_too_many_connections(
    database_url: str, many: dict[str, int]
) -> None:
    settings = settings_for(parse_database_url(database_url), pool_recycle=1_000_000.0, **many)
    wrong = [finding.text for finding in await check(settings) if not finding.ok]
    assert [word for text in wrong for word in text.split() if word.isupper() and "_" in word] == [
        "QUART_APP_POOL_RECYCLE",
        "QUART_APP_MAXSIZE",
    ]
    assert "100000" in wrong[1]
    assert "quart-app migrate" in wrong[-1]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"password": "wrong"}, "password"),
        ({"database": "quart_app_test_nothing"}, "database"),
        ({"user": "nobody"}, "user"),
    ],
)
async def test_check_names_what_is_wrong(
    mysql_server: Server, change: dict[str, str], word: str
) -> None:
    connect = replace(parse_database_url(mysql_server.admin_url), **change)  # type: ignore[arg-type] # names checked by replace()
    (finding,) = await check(settings_for(connect))
    assert finding.fatal
    assert word in finding.text
    assert "DATABASE_URL" in finding.text


async def test_check_of_a_closed_port_names_host_and_port(mysql_server: Server) -> None:
    connect = parse_database_url(mysql_server.url)
    closed = replace(connect, endpoints=(replace(connect.endpoints[0], port=1),))
    (finding,) = await check(settings_for(closed))
    assert "host and port in DATABASE_URL" in finding.text


async def test_tables_made_under_a_running_app_are_used(database_url: str) -> None:
    connect = parse_database_url(database_url)
    app = create_app(settings_for(connect))
    async with app.test_app() as serving:
        client = serving.test_client()
        assert await status(client, "/countries") == 500
        await migrate(connect)
        assert await status(client, "/countries") == 200
