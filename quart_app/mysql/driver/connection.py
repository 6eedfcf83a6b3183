"""A connection as the pool has it: what state it is in, and how it is brought back to that of its birth.

Statements and their answers are what it is built on: statements.py, answers.py, packets.py, wire.py.
"""

from typing import Any

from aiomysql.utils import _ConnectionContextManager
from pymysql.constants import COMMAND
from pymysql.err import MySQLError

from quart_app.mysql.driver.packets import IN_TRANSACTION
from quart_app.mysql.driver.session_text import clustered_sql
from quart_app.mysql.driver.statements import StatementRunner
from quart_app.mysql.driver.values import Condition, ServerInfo

COM_RESET_CONNECTION = 0x1F
CLEAN = Condition.CLEAN


class Connection(StatementRunner):
    """One connection to one server; an ``aiomysql.Connection`` in every respect.

    Every statement obeys the ambient deadline (deadline.py); one that passes it raises, and the
    connection is destroyed, since its answer may still come. Used by two tasks at the same time,
    or after its release, it raises at once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.evicted: str | None = None
        self.switched = False  # the first to an endpoint not used before: the others should go
        self.autocommit_mode: bool | None
        self._born_as = (self._charset, self._encoding, self.autocommit_mode)
        self._born_with = "", ""  # the server's character set and collation

    async def _set_up(self) -> None:
        """Ask once for all that the pool wants to know."""
        row = await self._facts()
        self.server = ServerInfo(
            identity=self._as_text(row[0]),
            version=self.server_version,
            is_mariadb="MariaDB" in self.server_version,
            thread_id=self.thread_id(),
            wait_timeout=float(row[1]),
            max_allowed_packet=int(row[2]),
            read_only=self._as_text(row[3]).upper() in ("1", "ON", "TRUE"),
            is_alone=self._as_text(row[6]) == "0",
        )
        self._born_with = self._as_text(row[4]), self._as_text(row[5])
        self._dirty = self._next_transaction_set = False

    async def _facts(self) -> tuple[Any, ...]:
        """Who the server is, its limits, and its role. A proxy that refuses tells nothing.

        As text: what the program's own converters (*conv*) would make of it is not ours to read.
        """
        is_mariadb = "MariaDB" in self.server_version
        identity = (
            "CONCAT_WS(':', @@hostname, @@port, @@server_id)" if is_mariadb else "@@server_uuid"
        )
        sql = (
            f"SELECT {identity}, @@wait_timeout, @@max_allowed_packet, @@global.read_only,"
            " @@character_set_connection, @@collation_connection,"
            f" {clustered_sql(self.server_version)}"
        )
        try:
            (row,) = (await self._run(sql.encode(), text=True)).rows
        except MySQLError as exc:
            if self._writer is None or not isinstance(exc.args[0], int):
                raise
            row = ("", ServerInfo().wait_timeout, ServerInfo().max_allowed_packet, 0, "", "", 1)
        return row

    @staticmethod
    def _as_text(value: object) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    # -- state --------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether the next statement is in a transaction: by the server's last word, or deferred."""
        return bool(self.server_status & IN_TRANSACTION) or self._begins()

    def condition(self) -> Condition:
        """Tell what must happen before another borrower may have this connection."""
        reader = self._reader
        if reader is None or self._heard_end or reader._buffer or self.evicted is not None:
            return Condition.UNUSABLE
        if self._ok_status & IN_TRANSACTION or reader._waiter is not None or self._draining:
            return Condition.UNUSABLE
        if (self._result is not None and self._unfinished()) or self._deferred:
            return Condition.UNUSABLE
        if self._dirty or self._next_transaction_set:
            return Condition.DIRTY
        return Condition.SNAPSHOT if self.server_status & IN_TRANSACTION else CLEAN

    def evict(self, reason: str) -> None:
        """Have this connection closed, not pooled, when it is released."""
        self.evicted = reason

    # -- upkeep -------------------------------------------------------------------------------

    async def probe(self) -> None:
        """Ask the server whether it is there. Waits until the ambient deadline."""
        await super().ping(reconnect=False)

    async def reset(self) -> None:
        """Bring the session back to how it was after connecting.

        COM_RESET_CONNECTION rolls back, drops locks, variables and temporary tables; it keeps the
        database and sets autocommit and the character set to the server's defaults.
        """
        self._charset, self._encoding, self.autocommit_mode = self._born_as
        self._columns.clear()
        await self._execute_command(COM_RESET_CONNECTION, b"")
        await self._read_ok_packet()
        await self._execute_command(COMMAND.COM_QUERY, self._names())
        await self._read_ok_packet()
        if self._db:
            await self.select_db(self._db)
        if self.sql_mode is not None:
            await self.query(f"SET sql_mode={self.sql_mode}")
        if self.init_command is not None:
            await self.query(self.init_command)
            await self.commit()
        if self.autocommit_mode is not None:
            await self.autocommit(self.autocommit_mode)
        self._dirty = self._next_transaction_set = False

    def _names(self) -> str:
        """What brings back the character set and the collation of the beginning.

        As the server told them: by their default, "utf8" is another one than in the handshake, and the
        collation of utf8mb4, too, of MySQL 8 and later.
        """
        charset, collation = self._born_with
        if not collation:  # nothing was told
            return f"SET NAMES {self.escape(self._charset)}"
        return f"SET NAMES {self.escape(charset)} COLLATE {self.escape(collation)}"

    async def kill(self, thread_id: int) -> None:
        """End another session, by SQL: the command aiomysql sends is gone in MySQL 8.4."""
        await self.query(f"KILL {int(thread_id)}")

    async def set_charset(self, charset: str) -> None:
        await super().set_charset(charset)
        self._columns.clear()

    async def ping(self, reconnect: bool = True) -> None:
        """As aiomysql's; but a lost transaction is not papered over by a new connection."""
        lost_work = self._ok_status & IN_TRANSACTION
        await super().ping(reconnect=reconnect and not lost_work and not self.returned)


def connect(**options: Any) -> Any:
    """As ``aiomysql.connect``: to be awaited, or used with ``async with``."""
    return _ConnectionContextManager(_connect(options))


async def _connect(options: dict[str, Any]) -> Connection:
    connection = Connection(**options)
    await connection._connect()
    return connection
