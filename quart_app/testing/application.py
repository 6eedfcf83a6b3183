"""Fixtures for proving a blueprint: the app on a database server that the test may break.

To have your own blueprint in it, override `app` in your test:

    @pytest.fixture
    def app(app):
        app.register_blueprint(mine)
        return app
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.migrations import migrate
from quart_app.settings import Settings
from quart_app.testing.servers import Server
from quart_app.torture.faults import Faults
from quart_app.torture.proxy import FaultProxy


@pytest.fixture(name="faults")
async def _faults(breakable_server: Server) -> AsyncIterator[Faults]:
    """Everything that can break, by name: ``await faults.restart()``. Mended after the test."""
    address = urlsplit(breakable_server.url)
    async with FaultProxy(address.hostname or "127.0.0.1", breakable_server.port) as proxy:
        yield Faults(breakable_server.process, proxy)


@pytest.fixture(name="app_settings")
async def _app_settings(breakable_server: Server, faults: Faults) -> Settings:
    """The defaults, and a new, migrated database behind the proxy. Override it for others."""
    url = breakable_server.new_database()
    settings = Settings(database=parse_database_url(faults.through(url)), access_log=False)
    await migrate(settings.connect)
    return settings


@pytest.fixture(name="app")
def _app(app_settings: Settings) -> Quart:
    """The app, not yet started: blueprints may still be registered."""
    return create_app(app_settings)


@pytest.fixture(name="client")
async def _client(app: Quart) -> AsyncIterator[TestClientProtocol]:
    """A client of the app, which is started for it and stopped after the test."""
    async with app.test_app() as served:
        yield served.test_client()
