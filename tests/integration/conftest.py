"""The app on a database with the real data."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client

from quart_app.app import create_app
from quart_app.cities.seed import Seeding
from quart_app.database_url import parse_database_url
from quart_app.extension import EXTENSION
from quart_app.migrations import migrate
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.settings import Settings
from quart_app.testing.servers import Server

WORLDS = pytest.StashKey[dict[str, str]]()


async def load_world(connect: ConnectConfig) -> None:
    """Make the tables and load the cities."""
    await migrate(connect)
    async with Pool(connect) as pool:
        await Seeding().load(Session(pool), report=lambda _: None)


@pytest.fixture(name="world_url")
def _world_url(mysql_server: Server, request: pytest.FixtureRequest) -> str:
    """The URL of a database with all cities, made once for each server. Tests only read it."""
    worlds = request.config.stash.setdefault(WORLDS, {})
    if mysql_server.kind not in worlds:
        url = mysql_server.new_database()
        asyncio.run(load_world(parse_database_url(url)))
        worlds[mysql_server.kind] = url
    return worlds[mysql_server.kind]


@pytest.fixture(name="app")
async def _app(world_url: str) -> AsyncIterator[Quart]:
    """The whole app, serving."""
    app = create_app(Settings(database=parse_database_url(world_url), access_log=False))
    async with app.test_app():
        await app.extensions[EXTENSION].pool.wait(timeout=10)
        yield app


@pytest.fixture(name="client")
def _client(app: Quart) -> Client:
    """A client of the app."""
    return app.test_client()
