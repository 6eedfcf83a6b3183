"""The budget of connections against a real server's limit."""

import asyncio
import logging

import pytest

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.settings import Settings
from quart_app.testing.servers import Server

pytestmark = pytest.mark.mysql


@pytest.mark.parametrize("instances", [1, 1000])
async def test_app_says_at_its_start_when_its_connections_do_not_fit(
    mysql_server: Server,
    database_url: str,
    instances: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(
        database=parse_database_url(database_url), instances=instances, access_log=False
    )
    app = create_app(settings)
    with caplog.at_level(logging.WARNING, logger="quart_app"):
        async with app.test_app():
            (task,) = [one for one in asyncio.all_tasks() if one.get_name() == "quart_app-budget"]
            async with asyncio.timeout(10):
                await task
    limit = mysql_server.execute("SELECT @@max_connections")[0][0]
    said = [record.getMessage() for record in caplog.records if "connections may" in record.message]
    assert [f"takes {limit}" in text for text in said] == ([True] if instances > 1 else [])
