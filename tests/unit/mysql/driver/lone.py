"""A connection without a pool, to a scripted server: exact bytes, virtual time, no socket."""

import asyncio
from typing import Any

from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.connector import MySQLDriver
from tests.support.virtual import VirtualLoop

ADDRESS = ("db", 3306)


def now() -> float:
    return asyncio.get_running_loop().time()


def network() -> Any:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.network


def driver_of(**config: Any) -> MySQLDriver:
    known: dict[str, Any] = {
        "endpoints": (Endpoint(host="db"),),
        "user": "app",
        "password": "secret",
        "tls_mode": TLSMode.DISABLED,
    }
    return MySQLDriver(ConnectConfig(**known | config))
