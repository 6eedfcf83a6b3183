"""How fresh must what is read be? Said by whoever handles a request, asked by whoever reads.

A token names a point in a server's history of writes: a GTID set (MySQL), a GTID position (MariaDB),
or ``sync:`` for a Galera cluster, where a server can be told to wait for the others. Who carries the
token of its last write sees that write on any server.
"""

import re
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import QueryError

MAX_TOKEN_LENGTH = 2000
_TOKEN = re.compile(r"mysql:[0-9a-fA-F:,-]+|mariadb:[0-9,-]+|sync:")


@dataclass(frozen=True, slots=True)
class Reading:
    """Replicas may be read from; *after* is the token of a write that must be seen, if any."""

    after: str | None = None


_reading: ContextVar[Reading | None] = ContextVar("quart_app_mysql_reading", default=None)


def current() -> Reading | None:
    """What the running task may read from replicas; None: nothing, ask the writer."""
    return _reading.get()


class from_replicas:  # noqa: N801 - reads as words: "with from_replicas(reading):"
    """Let reads in the block go to replicas, as far as *reading* allows; None: not at all."""

    __slots__ = ("_reading", "_token")

    def __init__(self, reading: Reading | None) -> None:
        self._reading = reading

    def __enter__(self) -> Self:
        self._token: Token[Reading | None] = _reading.set(self._reading)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _reading.reset(self._token)


def is_token(text: str) -> bool:
    """Tell whether *text* can be a token; it comes from clients."""
    return len(text) <= MAX_TOKEN_LENGTH and _TOKEN.fullmatch(text) is not None


async def token_of(connection: Connection) -> str | None:
    """The token of all that is written so far on this server; None if it keeps no such record.

    Waits, raises and is cancelled as every statement.
    """
    if not connection.server.is_mariadb:
        ((executed,),) = (await connection.run("SELECT @@global.gtid_executed")).rows
        token = "mysql:" + "".join(str(executed).split())
        return token if is_token(token) else None
    ((position,),) = (await connection.run("SELECT @@gtid_binlog_pos")).rows
    if position:
        return f"mariadb:{position}" if is_token(f"mariadb:{position}") else None
    status = (await connection.run("SHOW GLOBAL STATUS LIKE 'wsrep_ready'")).rows
    return "sync:" if status and status[0][1] == "ON" else None


async def is_caught_up(connection: Connection, token: str, *, wait: float) -> bool:
    """Wait for up to *wait* seconds until this server has what *token* names.

    Raises DatabaseError as every statement; a token of another kind of server is never reached.
    """
    kind, _, point = token.partition(":")
    try:
        if kind == "sync":
            await connection.run("SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 1")
            return True
        if (kind == "mariadb") != connection.server.is_mariadb:
            return False
        function = "MASTER_GTID_WAIT" if kind == "mariadb" else "WAIT_FOR_EXECUTED_GTID_SET"
        ((reached,),) = (await connection.run(f"SELECT {function}(%s, %s)", (point, wait))).rows
    except QueryError:  # no such point, no such function
        return False
    return bool(reached == 0)
