"""THE ENGINE: a pool of aiomysql connections, and what a coroutine does with them.

Knows no Quart, no settings and no domain; could be a wheel of its own. Where to begin reading:
pool.py and the floors beneath it (lending), session.py (what is retried), driver/ (what is mended in
aiomysql).
"""

from quart_app.mysql.compat import create_pool
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, RetryPolicy, TLSMode
from quart_app.mysql.driver import Connection, Result, as_database_error, connect
from quart_app.mysql.errors import (
    AccessDenied,
    CommitUnknown,
    ConnectError,
    ConnectionLost,
    DatabaseError,
    Deadlock,
    IntegrityError,
    LockWaitTimeout,
    PoolClosed,
    PoolError,
    PoolTimeout,
    QueryError,
    QueryTimeout,
    ReadOnlyServer,
    StorageFailed,
    TLSRequired,
    TooManyConnections,
    TooManyRequests,
    TransientError,
    UnknownDatabase,
)
from quart_app.mysql.observer import Observer, PoolStats
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session

__all__ = [
    "AccessDenied",
    "CommitUnknown",
    "ConnectConfig",
    "ConnectError",
    "Connection",
    "ConnectionLost",
    "DatabaseError",
    "Deadlock",
    "Endpoint",
    "IntegrityError",
    "LockWaitTimeout",
    "Observer",
    "Pool",
    "PoolClosed",
    "PoolConfig",
    "PoolError",
    "PoolStats",
    "PoolTimeout",
    "QueryError",
    "QueryTimeout",
    "ReadOnlyServer",
    "Result",
    "RetryPolicy",
    "Session",
    "StorageFailed",
    "TLSMode",
    "TLSRequired",
    "TooManyConnections",
    "TooManyRequests",
    "TransientError",
    "UnknownDatabase",
    "as_database_error",
    "connect",
    "create_pool",
]
