"""A private MariaDB or MySQL server: own data folder, own socket, a loopback port, one owner.

It is not a server for production and touches nothing system-wide. Read `server.py` first.
"""

from quart_app.local_server.binary import ServerBinary, find_server, how_to_get_one
from quart_app.local_server.errors import FolderInUse, LocalServerError, NoServerBinary, StartFailed
from quart_app.local_server.server import LocalServer

__all__ = [
    "FolderInUse",
    "LocalServer",
    "LocalServerError",
    "NoServerBinary",
    "ServerBinary",
    "StartFailed",
    "find_server",
    "how_to_get_one",
]
