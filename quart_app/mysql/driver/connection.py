"""The upper half of a connection: statements, their answers, and the state they leave it in."""

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any

from aiomysql.connection import MySQLResult
from aiomysql.utils import _ConnectionContextManager
from pymysql.connections import TEXT_TYPES
from pymysql.constants import CLIENT, COMMAND, CR, FIELD_TYPE
from pymysql.converters import escape_bytes, through
from pymysql.err import InterfaceError, InternalError, MySQLError, OperationalError
from pymysql.protocol import (
    EOFPacketWrapper,
    FieldDescriptorPacket,
    MysqlPacket,
    OKPacketWrapper,
)

from quart_app.mysql import journal
from quart_app.mysql.driver.naming import as_database_error, unsent
from quart_app.mysql.driver.session_text import (
    clustered_sql,
    sets_next_transaction,
    touches_session,
)
from quart_app.mysql.driver.values import Condition, Deferred, Result, ServerInfo
from quart_app.mysql.driver.wire import IN_TRANSACTION, Wire
from quart_app.mysql.errors import ConnectionLost, DatabaseError
from quart_app.mysql.reply import HEADER, Column, Convert, OutOfTurnError, Reply, ReplyError

COM_RESET_CONNECTION = 0x1F
DRAIN_ABOVE_BYTES = 64 * 1024
ERR_MIN_BYTES = 9  # marker, number, and a state or a text
COLUMNS_KEPT = 1024
BINARY = 63  # the number of the character set that is none
UTF8 = ("utf8", "utf-8", "ascii")
SEQUENCES = frozenset((tuple, list, set, frozenset))
CLEAN = Condition.CLEAN
BEGIN = "BEGIN"
NEXT = b";\n"  # between statements that are sent together


class Connection(Wire):
    """One connection to one server; an ``aiomysql.Connection`` in every respect.

    Every statement obeys the ambient deadline (deadline.py); one that passes it raises, and the
    connection is destroyed, since its answer may still come. Used by two tasks at the same time,
    or after its release, it raises at once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.evicted: str | None = None
        self.switched = False  # the first to an endpoint not used before: the others should go
        self._columns: dict[bytes, Column] = {}  # definitions seen
        self._dirty = False
        self._next_transaction_set = False
        self._deferred: list[Deferred] = []
        self._born_as = (self._charset, self._encoding, self.autocommit_mode)
        self._born_with = "", ""  # the server's character set and collation

    async def _set_up(self) -> None:
        """Ask once for all that the pool wants to know. A proxy that refuses tells nothing.

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
        self.server = ServerInfo(
            identity=self._as_text(row[0]),
            version=self.server_version,
            is_mariadb=is_mariadb,
            thread_id=self.thread_id(),
            wait_timeout=float(row[1]),
            max_allowed_packet=int(row[2]),
            read_only=self._as_text(row[3]).upper() in ("1", "ON", "TRUE"),
            is_alone=self._as_text(row[6]) == "0",
        )
        self._born_with = self._as_text(row[4]), self._as_text(row[5])
        self._dirty = self._next_transaction_set = False

    @staticmethod
    def _as_text(value: object) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    # -- state ----------------------------------------------------------------------------------

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

    def _unfinished(self) -> bool:
        result = self._result
        return result is not None and bool(result.unbuffered_active or result.has_next)

    # -- statements -----------------------------------------------------------------------------

    async def run(self, sql: str, args: Any = None, *, text: bool = False) -> Result:
        """Send one statement and read its whole answer; with *text*, values as the server wrote them.

        Waits until the ambient deadline. Raises the errors of errors.py. Cancelled while the
        server works, it closes the connection; the pool then kills the statement there.
        """
        data = self._written(sql, args)
        try:
            return await self._run(data, touches=sql, text=text)
        except Exception as exc:
            raise self._named(exc) from exc

    def defer(self, sql: str, args: Any = None) -> Deferred:
        """Have one statement sent together with the next, ahead of it: one round trip for both.

        The server carries out what is sent together in its order, and stops where one fails: none
        after that is begun. What failed is raised by the call of the next statement. For statements
        of one answer (no CALL), and BEGIN, which ends the connection if it fails.
        """
        deferred = Deferred(sql, _to_be_followed(self._written(sql, args)))
        self._deferred.append(deferred)
        return deferred

    @property
    def deferred(self) -> Sequence[Deferred]:
        """What goes out with the next statement."""
        return self._deferred

    def forget_deferred(self) -> bool:
        """Send nothing of what was deferred; tell whether a transaction was to begin with it."""
        begins, self._deferred = self._begins(), []
        return begins

    async def flush(self) -> None:
        """Send what was deferred, one statement after the other."""
        try:
            await self._flush()
        except Exception as exc:
            raise self._named(exc) from exc

    async def stream(self, sql: str, args: Any = None) -> AsyncGenerator[tuple[Any, ...], None]:
        """Send one statement and yield its rows as they come, holding one at a time.

        Waits, raises and is cancelled as run(). Left before the last row, the connection cannot be
        used again: it is closed, and the statement killed, on release.
        """
        query = sql if args is None else sql % self._escaped(args)
        try:
            await self.query(query, unbuffered=True)
            result = self._result
            while result.unbuffered_active:
                row = await result._read_rowdata_packet_unbuffered()
                if row is not None:
                    yield row
        except Exception as exc:
            raise self._named(exc) from exc

    def _named(self, exc: Exception) -> DatabaseError:
        """Our name for what went wrong in the middle of a statement.

        Anything but an error of the driver's own means that it and the server no longer agree on
        what comes next: that connection is of no more use.
        """
        error = as_database_error(exc)
        if error is None:
            self.abort()
            error = ConnectionLost("the answer could not be read", sent=True)
        return error

    def escape(self, obj: Any) -> Any:
        """Write a value as SQL. aiomysql's own fails on bytes and on ``IN %s`` since PyMySQL 1.2."""
        if type(obj) is int:
            return str(obj)
        if isinstance(obj, bytes | bytearray):
            return escape_bytes(bytes(obj))
        if type(obj) in SEQUENCES:
            return f"({','.join(map(self.escape, obj))})"
        return super().escape(obj)

    def _escaped(self, args: Any) -> Any:
        if isinstance(args, tuple | list):
            return tuple(self.escape(arg) for arg in args)
        if isinstance(args, dict):
            return {key: self.escape(value) for key, value in args.items()}
        return self.escape(args)

    def _written(self, sql: str, args: Any) -> bytes:
        query = sql if args is None else sql % self._escaped(args)
        return query.encode(self._encoding, "surrogateescape")

    def _begins(self) -> bool:
        return bool(self._deferred) and self._deferred[0].sql == BEGIN

    @property
    def _ahead(self) -> Sequence[Deferred]:
        """What can be sent in one packet with the next statement: all or nothing.

        Galera looks only between packets whether another server's write has ended the transaction:
        of statements in one packet the rest would run outside of it, and COMMIT say OK.
        """
        together = self.server.is_alone and self.server_capabilities & CLIENT.MULTI_STATEMENTS
        return self._deferred if together else ()

    async def _flush(self) -> None:
        waiting, self._deferred = self._deferred, []
        for statement in waiting:
            try:
                statement.result = await self._run(statement.data, touches=statement.sql)
            except MySQLError as exc:
                self._note_failed(statement, exc)
                raise

    async def _settle(self, statement: Deferred) -> None:
        """Read the answer to a statement that was sent ahead of another."""
        try:
            reply = await self._read_reply(self._column)
        except MySQLError as exc:
            self._note_failed(statement, exc)
            raise
        if not reply.more:
            raise ReplyError("fewer answers than statements")
        statement.result = _result_of(reply)

    def _note_failed(self, statement: Deferred, exc: MySQLError) -> None:
        statement.error = as_database_error(exc)
        if statement.sql == BEGIN:
            self.abort()  # what came next would be outside of a transaction

    async def _run(self, query: bytes, *, touches: str = "", text: bool = False) -> Result:
        ahead = self._ahead
        touching = touches.encode() or query
        await self._execute_command(COMMAND.COM_QUERY, query, touches=touching, ahead=ahead)
        for statement in ahead:
            await self._settle(statement)
        reply = await self._read_reply(self._text_column if text else self._column)
        more = reply.more
        while more:  # CALL ends with an OK packet of its own
            more = (await self._read_reply(self._column)).more
        return _result_of(reply)

    async def query(self, sql: Any, unbuffered: bool = False) -> int:
        if isinstance(sql, str):
            sql = sql.encode(self.encoding, "surrogateescape")
        await self._execute_command(COMMAND.COM_QUERY, bytes(sql))
        await self._read_query_result(unbuffered=unbuffered)
        return int(self._affected_rows or 0)

    async def _execute_command(
        self,
        command: int,
        sql: Any,
        *,
        touches: bytes = b"",
        ahead: Sequence[Deferred] = (),
    ) -> None:
        """Send a command. Raises, with nothing sent, if this connection may not or cannot be used."""
        if self._deferred and not ahead:
            await self._flush()
        self._ensure_alive()
        if self._reader._waiter is not None or self._draining:
            raise unsent(InterfaceError("This connection is in use by another task"))
        self._set_deadline()
        payload = sql.encode(self._encoding) if isinstance(sql, str) else sql
        if not self._unfinished():
            self._ensure_heard_nothing()
        joined = (
            NEXT.join([*(statement.data for statement in ahead), payload]) if ahead else payload
        )
        self._ensure_fits(joined)
        for statement in ahead:
            self._note_effects(command, statement.sql.encode())
        self._note_effects(command, touches or payload)
        if ahead:
            self._deferred = []
        await super()._execute_command(command, joined)
        if len(joined) > DRAIN_ABOVE_BYTES:
            await self._drain()

    def _note_effects(self, command: int, text: bytes) -> None:
        if command == COMMAND.COM_QUERY:
            journal.sent(self, text)
            if sets_next_transaction(text):
                self._next_transaction_set = True
            elif touches_session(text):
                self._dirty = True
        elif command != COMMAND.COM_PING:
            self._dirty = True

    # -- answers --------------------------------------------------------------------------------

    async def _read_reply(self, column: Callable[[bytes], Column]) -> Reply:
        """Read one answer straight from the stream's buffer, whole packets at a time."""
        self._result = None
        reply, reader = Reply(column, sequence=self._next_seq_id), self._reader
        try:
            while True:
                buffer = reader._buffer
                # A long row comes in many pieces: copied once it is whole, not with each of them.
                if len(buffer) >= HEADER + int.from_bytes(buffer[:3], "little"):
                    del buffer[: reply.feed(bytes(buffer))]
                    reader._maybe_resume_transport()
                if reply.done:
                    break
                await self._read_more()
        except OutOfTurnError as exc:
            self.abort()
            if exc.payload[:1] == b"\xff":
                raise self._error_out_of_turn(exc.payload) from exc
            raise InternalError(str(exc)) from exc
        self._next_seq_id = reply.sequence
        self._conclude(reply)
        return reply

    def _conclude(self, reply: Reply) -> None:
        if reply.error is not None:
            if len(reply.error) < ERR_MIN_BYTES:
                raise ReplyError("an error without a number")
            self._note_refusal(int.from_bytes(reply.error[1:3], "little"))
            MysqlPacket(reply.error, self._encoding).raise_for_error()
        assert reply.status is not None  # an answer that is complete has one, or an error
        self.server_status = reply.status
        if reply.is_ok:
            self._note_ok(reply.status)

    def _column(self, definition: bytes) -> Column:
        """Name and converter of a column; the same query sends the same bytes every time."""
        column = self._columns.get(definition)
        if column is None:
            if len(self._columns) >= COLUMNS_KEPT:
                self._columns.clear()
            column = self._columns[definition] = self._read_column(definition)
        return column

    def _text_column(self, definition: bytes) -> Column:
        name, _, kind = self._column(definition)
        binary = kind[1] == BINARY and kind[0] in TEXT_TYPES
        return name, None if binary else _converter(self._encoding, None), kind

    def _read_column(self, definition: bytes) -> Column:
        field: Any = FieldDescriptorPacket(definition, self._encoding)  # its stubs lack its fields
        decode = self.decoders.get(field.type_code)
        kind = (field.type_code, field.charsetnr, field.scale)
        if decode in (int, float):
            return field.name, decode, kind
        if field.type_code == FIELD_TYPE.JSON:
            encoding: str | None = self._encoding
        elif field.type_code in TEXT_TYPES:
            encoding = None if field.charsetnr == BINARY else self._encoding
        else:
            encoding = "ascii"
        if not self.use_unicode:
            encoding = None
        return field.name, _converter(encoding, None if decode is through else decode), kind

    async def _read_query_result(self, unbuffered: bool = False) -> None:
        self._result = None
        result = _Result(self)
        try:
            await (result.init_unbuffered_query() if unbuffered else result.read())
        except BaseException:
            result.unbuffered_active = False
            result.connection = None
            raise
        self._result = result
        self._affected_rows = result.affected_rows
        if result.server_status is not None:
            self.server_status = result.server_status
            if not result.field_count:
                self._note_ok(result.server_status)

    async def _read_ok_packet(self) -> bool:
        packet = await self._read_packet()
        if not packet.is_ok_packet():
            raise OperationalError(CR.CR_COMMANDS_OUT_OF_SYNC, "Command Out of Sync")
        self.server_status = OKPacketWrapper(packet).server_status
        self._note_ok(self.server_status)
        return True

    def _note_ok(self, status: int) -> None:
        self._ok_status = status
        if status & IN_TRANSACTION:
            self._next_transaction_set = False

    # -- upkeep ---------------------------------------------------------------------------------

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


class _Result(MySQLResult):  # type: ignore[misc] # aiomysql is untyped
    """Keeps the status flags of EOF packets, which aiomysql drops."""

    connection: Any
    unbuffered_active: bool

    async def _read_rowdata_packet_unbuffered(self) -> Any:
        """Read the next row; whoever takes the rows sets the pace, so each has its own time.

        Raises InterfaceError if the connection was closed or released meanwhile.
        """
        if self.unbuffered_active:
            if self.connection.closed or self.connection.returned:  # no proof that nothing was done
                raise InterfaceError(
                    "The connection was closed or released before all rows were read"
                )
            self.connection._begin_time()
        return await super()._read_rowdata_packet_unbuffered()

    async def _finish_unbuffered_query(self) -> None:
        """Read what is left, as closing a cursor does; whenever that is, it has its own time.

        Of a closed connection nothing is left: a cursor that outlives it can be closed all the same.
        """
        if self.unbuffered_active and self.connection.closed:
            self.unbuffered_active, self.connection = False, None
        if self.unbuffered_active:
            self.connection._begin_time()
        await super()._finish_unbuffered_query()

    def _check_packet_is_eof(self, packet: Any) -> bool:
        if not packet.is_eof_packet():
            return False
        eof = EOFPacketWrapper(packet)
        self.warning_count = eof.warning_count
        self.has_next = eof.has_next
        self.server_status = eof.server_status
        self.connection.server_status = eof.server_status  # let go only after the last packet
        return True


def _result_of(reply: Reply) -> Result:
    return Result(
        reply.rows, tuple(reply.columns), reply.affected_rows, reply.insert_id, tuple(reply.kinds)
    )


def _to_be_followed(statement: bytes) -> bytes:
    """A statement that another may follow: without a semicolon, and with an end to its comment."""
    bare = statement.rstrip(b"; \t\r\n")
    return bare + b"\n" if b"--" in bare or b"#" in bare else bare


def _converter(encoding: str | None, decode: Callable[[Any], Any] | None) -> Convert:
    """What makes a value of a column's bytes: as aiomysql does, with fewer calls."""
    if encoding is None:
        return decode
    to_text = bytes.decode if encoding in UTF8 else partial(str, encoding=encoding)
    if decode is None:
        return to_text
    return lambda data: decode(to_text(data))


def connect(**options: Any) -> Any:
    """As ``aiomysql.connect``: to be awaited, or used with ``async with``."""
    return _ConnectionContextManager(_connect(options))


async def _connect(options: dict[str, Any]) -> Connection:
    connection = Connection(**options)
    await connection._connect()
    return connection
