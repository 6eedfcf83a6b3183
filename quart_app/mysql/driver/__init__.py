"""The seam to aiomysql: with compat.py, the only place that imports it or PyMySQL.

Not a driver of its own: aiomysql speaks the protocol. Its connection is mended where it loses what
the server said, waits without end, or cannot tell what state it is in.
"""

from quart_app.mysql.driver.connection import Connection, connect
from quart_app.mysql.driver.naming import as_database_error
from quart_app.mysql.driver.session_text import touches_session
from quart_app.mysql.driver.values import Condition, Deferred, Result, ServerInfo

__all__ = [
    "Condition",
    "Connection",
    "Deferred",
    "Result",
    "ServerInfo",
    "as_database_error",
    "connect",
    "touches_session",
]
