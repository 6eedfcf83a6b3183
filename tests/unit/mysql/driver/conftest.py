"""One connection and its scripted server."""

from collections.abc import AsyncIterator

import pytest

from quart_app.mysql.driver import Connection
from tests.support.server import ScriptedServer
from tests.unit.mysql.driver.lone import ADDRESS, driver_of


@pytest.fixture(name="server")
async def _server() -> ScriptedServer:
    server = ScriptedServer()
    server.serve_in_memory(ADDRESS)
    return server


@pytest.fixture(name="connection")
async def _connection(server: ScriptedServer) -> AsyncIterator[Connection]:
    assert server.peers == []
    connection = await driver_of().connect()
    yield connection
    connection.abort()
