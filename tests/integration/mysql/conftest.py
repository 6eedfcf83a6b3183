"""The engine on real servers, each test on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from quart_app.database_url import parse_database_url
from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.mysql.pool import Pool
from quart_app.testing.servers import Server

OpenPool = Callable[..., Awaitable[Pool]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], Any]]:
    """Run every async test below this directory on asyncio's own loop and on uvloop."""
    assert config is item.config
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(name="config")
def _config(database_url: str) -> ConnectConfig:
    """A new database on the shared server."""
    return parse_database_url(database_url)


@pytest.fixture(name="breakable_config")
def _breakable_config(breakable_server: Server) -> ConnectConfig:
    """A database on the server that may be broken."""
    return parse_database_url(breakable_server.new_database())


@pytest.fixture(name="open_pool")
async def _open_pool() -> AsyncIterator[OpenPool]:
    """Open pools that are closed at the end: ``await open_pool(config, maxsize=3)``."""
    async with AsyncExitStack() as stack:

        async def opener(config: ConnectConfig, **sizes: Any) -> Pool:
            known: dict[str, Any] = {"minsize": 0, "maxsize": 4, "close_timeout": 2.0}
            connect = {key: sizes.pop(key) for key in list(sizes) if hasattr(config, key)}
            pool = Pool(replace(config, **connect), PoolConfig(**known | sizes))
            return await stack.enter_async_context(pool)

        yield opener
