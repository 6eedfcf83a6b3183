"""The seam to aiomysql: with compat.py, the only file that imports it or PyMySQL.

Not a driver of its own: aiomysql speaks the protocol. This subclass mends what its connection cannot
do: keep what the server said (ERR packets out of turn, the status in EOF packets), end by a deadline,
refuse use by two tasks or after release, and tell what state it is in when it comes back to the pool.
"""

import asyncio
import contextlib
import math
import re
import struct
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from typing import Any

import aiomysql
from aiomysql.connection import MySQLResult
from aiomysql.utils import _ConnectionContextManager
from pymysql.connections import TEXT_TYPES
from pymysql.constants import CLIENT, COMMAND, CR, ER, FIELD_TYPE, SERVER_STATUS
from pymysql.converters import through
from pymysql.err import (
    DataError,
    InterfaceError,
    InternalError,
    MySQLError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from pymysql.protocol import (
    EOFPacketWrapper,
    FieldDescriptorPacket,
    MysqlPacket,
    OKPacketWrapper,
)

from quart_app.mysql import deadline, journal
from quart_app.mysql.classify import ROLLED_BACK, error_class
from quart_app.mysql.errors import (
    ConnectError,
    ConnectionLost,
    DatabaseError,
    QueryError,
    QueryTimeout,
)
from quart_app.mysql.reply import Column, Convert, Kind, OutOfTurnError, Reply, ReplyError
from quart_app.mysql.sockets import set_keepalive

INTERACTION_TIMEOUT = 4031  # ER_CLIENT_INTERACTION_TIMEOUT: MySQL closes idle connections with it
COM_RESET_CONNECTION = 0x1F
IN_TRANSACTION = SERVER_STATUS.SERVER_STATUS_IN_TRANS
DRAIN_ABOVE_BYTES = 64 * 1024
LONG_TEXT_BYTES = 4096
MAX_FRAGMENT_BYTES = 0xFFFFFF
ERR_MIN_BYTES = 9  # marker, number, and a state or a text
COLUMNS_KEPT = 1024
BINARY = 63  # the number of the character set that is none
UTF8 = ("utf8", "utf-8", "ascii")

# Statements that begin like this and mention nothing of _TOUCHING leave the session as it was.
_TIDY = re.compile(
    rb"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|VALUES|COMMIT|ROLLBACK|BEGIN|START\s+TRANSACTION"
    rb"|SAVEPOINT|RELEASE\s+SAVEPOINT|SHOW|EXPLAIN|DESCRIBE|DESC|KILL)\b",
    re.IGNORECASE,
)
_TOUCHING = re.compile(rb"@|\bGET_LOCK\b|;\s*\S|\bCHAIN\b", re.IGNORECASE)
_LITERAL = re.compile(rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", re.DOTALL)
_NEXT_TRANSACTION = re.compile(rb"\s*SET\s+TRANSACTION\s", re.IGNORECASE)


class Condition(Enum):
    """What a connection needs before somebody else may have it.

    CLEAN     nothing
    SNAPSHOT  a ROLLBACK: reads under autocommit=0 left a view open
    DIRTY     COM_RESET_CONNECTION: variables, locks, temporary tables or the database were changed
    UNUSABLE  to be closed: lost, evicted, a transaction left open, or results left unread
    """

    CLEAN = "clean"
    SNAPSHOT = "snapshot"
    DIRTY = "dirty"
    UNUSABLE = "unusable"


CLEAN = Condition.CLEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What the server said of itself when the connection was made.

    *identity* tells two servers behind one address apart; *wait_timeout* is in seconds.
    """

    identity: str = ""
    version: str = ""
    is_mariadb: bool = False
    thread_id: int = 0
    wait_timeout: float = 28800.0
    max_allowed_packet: int = 1 << 24
    read_only: bool = False


class Result:
    """What one statement answered. *rows* are tuples; *insert_id* is 0 where there is none.

    *kinds* are the columns' types: the protocol's numbers of type and character set.
    """

    __slots__ = ("affected_rows", "columns", "insert_id", "kinds", "rows")

    def __init__(
        self,
        rows: list[tuple[Any, ...]],
        columns: tuple[str, ...],
        affected_rows: int,
        insert_id: int,
        kinds: tuple[Kind, ...] = (),
    ) -> None:
        self.kinds = kinds
        self.rows = rows
        self.columns = columns
        self.affected_rows = affected_rows
        self.insert_id = insert_id


def _converter(encoding: str | None, decode: Callable[[Any], Any] | None) -> Convert:
    """What makes a value of a column's bytes: as aiomysql does, with fewer calls."""
    if encoding is None:
        return decode
    to_text = bytes.decode if encoding in UTF8 else partial(str, encoding=encoding)
    if decode is None:
        return to_text
    return lambda data: decode(to_text(data))


def touches_session(sql: bytes) -> bool:
    """Tell whether a statement, by its text, may leave something behind in the session.

    Unsure means yes: a needless reset costs a round trip, a missed one shows a user another's
    variables. What a stored function changes does not show in the text, and is not seen.
    """
    if len(sql) > LONG_TEXT_BYTES:  # neither worth keeping nor worth taking its literals out
        return not _TIDY.match(sql) or bool(_TOUCHING.search(sql))
    return _touches_session(sql)


@lru_cache(maxsize=1024)
def _touches_session(sql: bytes) -> bool:
    if not _TIDY.match(sql):
        return True
    return bool(_TOUCHING.search(sql)) and bool(_TOUCHING.search(_LITERAL.sub(b"''", sql)))


def as_database_error(  # noqa: PLR0911 # one return a kind of foreign error
    exc: BaseException, *, connecting: bool = False
) -> DatabaseError | None:
    """Rename an exception of the driver; None if *exc* is none of the driver's.

    The one place where foreign errors get our names. ``ConnectionLost.sent`` is False only where
    the driver marked the exception as proven not executed.
    """
    if isinstance(exc, DatabaseError):
        return exc
    if isinstance(exc, OSError | asyncio.IncompleteReadError) and connecting:
        return ConnectError(f"cannot connect: {type(exc).__name__}", errno=CR.CR_CONN_HOST_ERROR)
    if not isinstance(exc, MySQLError):
        return None
    errno = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
    if errno is None and isinstance(exc, ProgrammingError | DataError | NotSupportedError):
        return QueryError(f"refused by the driver: {type(exc).__name__}")
    text = str(exc.args[1]) if len(exc.args) > 1 else ""
    if getattr(exc, "timed_out", False) and not connecting:
        sent = not getattr(exc, "not_executed", False)
        return QueryTimeout("the statement did not end by its deadline", sent=sent, errno=errno)
    kind = error_class(errno, connecting=connecting, read_only="read-only" in text)
    sqlstate = getattr(exc, "sqlstate", None)
    message = f"{kind.__name__} ({errno})" if errno else kind.__name__
    if kind is ConnectionLost:
        sent = not getattr(exc, "not_executed", False)
        return ConnectionLost(message, sent=sent, errno=errno, sqlstate=sqlstate)
    return kind(message, errno=errno, sqlstate=sqlstate)


def _unsent(error: MySQLError) -> MySQLError:
    error.not_executed = True  # type: ignore[attr-defined] # read back by as_database_error alone
    return error


class _Result(MySQLResult):  # type: ignore[misc] # aiomysql is untyped
    """Keeps the status flags of EOF packets, which aiomysql drops (row J)."""

    def _check_packet_is_eof(self, packet: Any) -> bool:
        if not packet.is_eof_packet():
            return False
        eof = EOFPacketWrapper(packet)
        self.warning_count = eof.warning_count
        self.has_next = eof.has_next
        self.server_status = eof.server_status
        if self.connection is not None:
            self.connection.server_status = eof.server_status
        return True


class Connection(aiomysql.Connection):  # type: ignore[misc] # aiomysql is untyped
    """One connection to one server; an ``aiomysql.Connection`` in every respect.

    Arguments (besides aiomysql's):
        *require_tls*: refuse to authenticate when the server offers no TLS (row R).
        *statement_timeout*: seconds a statement may take where no nearer deadline is ambient.

    ``connect_timeout`` covers name resolution, TCP, TLS, authentication and session set-up. Every
    statement obeys the ambient deadline (deadline.py); one that passes it raises, and the
    connection is destroyed, since its answer may still come.
    """

    def __init__(
        self,
        *args: Any,
        require_tls: bool = False,
        statement_timeout: float | None = None,
        connect_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        # None for aiomysql: its wait_for round the TCP connect could lose the socket (style A4).
        super().__init__(*args, connect_timeout=None, **kwargs)
        self._charset: str
        self._encoding: str
        self.autocommit_mode: bool | None
        self._result: Any = None
        self._next_seq_id = 0
        self._close_reason: str | None = None
        self.require_tls = require_tls
        self.statement_timeout = statement_timeout
        self.server = ServerInfo()
        self.orphaned = False  # closed while the server may still be at work for us
        self.returned = False  # back in its pool: whoever still holds it may not use it
        self.evicted: str | None = None
        self.switched = False  # the first to an endpoint not used before: the others should go
        self.on_lost: Callable[[], None] | None = None
        self.last_command_at = self._loop.time()
        self._handshake_timeout = connect_timeout
        self._deadline = math.inf
        self._watchdog: asyncio.TimerHandle | None = None
        self._columns: dict[bytes, Column] = {}  # definitions seen
        self._left: asyncio.StreamWriter | None = None
        self._heard_end = False
        self._draining = False
        self._dirty = False
        self._next_transaction_set = False
        self._ok_status = 0
        self._born_as = (self._charset, self._encoding, self.autocommit_mode)

    # -- opening ------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Open, authenticate and set up under one deadline (row D).

        Raises OperationalError 2003 on a timeout, or what the server answered. Cancelled or failed,
        it leaves no socket behind.
        """
        self._close_reason = None
        try:
            async with asyncio.timeout(self._handshake_timeout):
                await super()._connect()
                await self._learn_server()
        except TimeoutError as exc:
            self.abort()
            raise OperationalError(
                CR.CR_CONN_HOST_ERROR,
                f"Can't connect to MySQL server on {self._host!r} (timed out)",
            ) from exc
        except BaseException:
            self.abort()
            raise
        self._dirty = self._next_transaction_set = self.orphaned = False
        self._watch_for_eof()

    async def _request_authentication(self) -> None:
        if self.require_tls and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, "The server does not offer TLS")
        await super()._request_authentication()

    def _set_keep_alive(self) -> None:
        set_keepalive(self._writer.transport.get_extra_info("socket"))

    async def _learn_server(self) -> None:
        """Ask once for all that the pool wants to know. A proxy that refuses tells nothing."""
        is_mariadb = "MariaDB" in self.server_version
        identity = (
            "CONCAT_WS(':', @@hostname, @@port, @@server_id)" if is_mariadb else "@@server_uuid"
        )
        sql = f"SELECT {identity}, @@wait_timeout, @@max_allowed_packet, @@global.read_only"
        try:
            (row,) = (await self._run(sql.encode())).rows
        except MySQLError as exc:
            if self._writer is None or not isinstance(exc.args[0], int):
                raise
            row = ("", ServerInfo().wait_timeout, ServerInfo().max_allowed_packet, 0)
        self.server = ServerInfo(
            identity=self._as_text(row[0]),
            version=self.server_version,
            is_mariadb=is_mariadb,
            thread_id=self.thread_id(),
            wait_timeout=float(row[1]),
            max_allowed_packet=int(row[2]),
            read_only=self._as_text(row[3]).upper() in ("1", "ON", "TRUE"),
        )

    @staticmethod
    def _as_text(value: object) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    def _watch_for_eof(self) -> None:
        """Have the socket's end reported at once, not when somebody next asks (row H)."""
        reader = self._reader
        feed_eof, set_exception = reader.feed_eof, reader.set_exception

        def on_eof() -> None:
            feed_eof()
            self._heard_end = True
            self._report_lost()

        def on_exception(exc: BaseException) -> None:
            set_exception(exc)
            self._heard_end = True
            self._report_lost()

        self._heard_end = reader._eof or reader._exception is not None
        reader.feed_eof, reader.set_exception = on_eof, on_exception

    def _report_lost(self) -> None:
        callback, self.on_lost = self.on_lost, None
        if callback is not None:
            callback()

    # -- state --------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether the server has a transaction open for us, by its own last word."""
        return bool(self.server_status & IN_TRANSACTION)

    def is_alive(self) -> bool:
        """Look for signs of death without asking the server.

        Bytes nobody asked for count: MySQL's 4031 lies there before the FIN is seen.
        """
        reader = self._reader
        return reader is not None and not self._heard_end and not reader._buffer

    def condition(self) -> Condition:
        """Tell what must happen before another borrower may have this connection."""
        reader = self._reader
        if reader is None or self._heard_end or reader._buffer or self.evicted is not None:
            return Condition.UNUSABLE
        if self._ok_status & IN_TRANSACTION or reader._waiter is not None or self._draining:
            return Condition.UNUSABLE
        if self._result is not None and self._unfinished():
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

    # -- statements ---------------------------------------------------------------------------

    async def run(self, sql: str, args: Any = None) -> Result:
        """Send one statement and read its whole answer.

        Waits until the ambient deadline. Raises the errors of errors.py. Cancelled while the
        server works, it closes the connection; the pool then kills the statement there.
        """
        query = sql if args is None else sql % self._escaped(args)
        data = query.encode(self._encoding, "surrogateescape")
        try:
            return await self._run(data, touches=sql)
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
        """Our name for what went wrong in the middle of a statement (row W).

        Anything but an error of the driver's own means that it and the server no longer agree on
        what comes next: that connection is of no more use.
        """
        error = as_database_error(exc)
        if error is None:
            self.abort()
            error = ConnectionLost("the answer could not be read", sent=True)
        return error

    def _escaped(self, args: Any) -> Any:
        if isinstance(args, tuple | list):
            return tuple(self.escape(arg) for arg in args)
        if isinstance(args, dict):
            return {key: self.escape(value) for key, value in args.items()}
        return self.escape(args)

    async def _run(self, query: bytes, *, touches: str = "") -> Result:
        await self._execute_command(COMMAND.COM_QUERY, query, touches=touches.encode() or query)
        reply = await self._read_reply()
        more = reply.more
        while more:  # CALL ends with an OK packet of its own
            more = (await self._read_reply()).more
        return Result(
            reply.rows,
            tuple(reply.columns),
            reply.affected_rows,
            reply.insert_id,
            tuple(reply.kinds),
        )

    async def _read_reply(self) -> Reply:
        """Read one answer straight from the stream's buffer, whole packets at a time."""
        self._result = None
        reply, reader = Reply(self._column, sequence=self._next_seq_id), self._reader
        try:
            while True:
                consumed = reply.feed(bytes(reader._buffer))
                if consumed:
                    del reader._buffer[:consumed]
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

    async def _read_more(self) -> None:
        """Wait for bytes to arrive, until the deadline."""
        reader = self._reader
        if reader._eof and reader._exception is None:
            raise self._lost(EOFError())
        self._watch()
        try:
            if reader._exception is not None:
                raise reader._exception  # caught below with what a wait raises
            await reader._wait_for_data("run")
        except asyncio.CancelledError:
            self._close_on_cancel()
            raise
        except OSError as exc:
            raise self._lost(exc) from exc

    def _conclude(self, reply: Reply) -> None:
        if reply.error is not None:
            if len(reply.error) < ERR_MIN_BYTES:
                raise ReplyError("an error without a number")
            self._note_refusal(int.from_bytes(reply.error[1:3], "little"))
            MysqlPacket(reply.error, self._encoding).raise_for_error()
        if reply.status is not None:
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

    def _read_column(self, definition: bytes) -> Column:
        field: Any = FieldDescriptorPacket(definition, self._encoding)  # its stubs lack its fields
        decode, kind = self.decoders.get(field.type_code), (field.type_code, field.charsetnr)
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

    async def query(self, sql: Any, unbuffered: bool = False) -> int:
        if isinstance(sql, str):
            sql = sql.encode(self.encoding, "surrogateescape")
        await self._execute_command(COMMAND.COM_QUERY, bytes(sql))
        await self._read_query_result(unbuffered=unbuffered)
        return int(self._affected_rows or 0)

    async def _execute_command(self, command: int, sql: Any, *, touches: bytes = b"") -> None:
        """Send a command. Raises, with nothing sent, if this connection may not or cannot be used."""
        self._ensure_alive()
        if self._reader._waiter is not None or self._draining:
            raise _unsent(InterfaceError("This connection is in use by another task"))
        self._set_deadline()
        payload = sql.encode(self._encoding) if isinstance(sql, str) else sql
        if not self._unfinished():
            self._ensure_heard_nothing()
        self._ensure_fits(payload)
        self._note_effects(command, touches or payload)
        if command == COMMAND.COM_QUERY:
            journal.sent(self, payload)
        await super()._execute_command(command, payload)
        if len(payload) > DRAIN_ABOVE_BYTES:
            await self._drain()

    def _set_deadline(self) -> None:
        """The nearer of the ambient deadline and our own limit; one that lies behind sends nothing."""
        self.last_command_at = now = self._loop.time()
        limit, ambient = self.statement_timeout, deadline.current()
        self._deadline = math.inf if limit is None else now + limit
        if ambient is not None and ambient < self._deadline:
            self._deadline = ambient
        if self._deadline <= now:
            error = OperationalError(CR.CR_SERVER_LOST, "The deadline passed before the statement")
            error.timed_out = True  # type: ignore[attr-defined] # read back by as_database_error
            raise _unsent(error)

    def _ensure_alive(self) -> None:
        if self.returned:
            raise _unsent(InterfaceError("This connection was released to its pool"))
        try:
            super()._ensure_alive()
        except InterfaceError as exc:
            raise _unsent(exc) from None

    def _ensure_heard_nothing(self) -> None:
        """Refuse to write to a connection that is known to be dead: then nothing was executed."""
        if self.is_alive() and not self._writer.transport.is_closing():
            return
        packet = bytes(self._reader._buffer)
        self.abort()
        if packet[3:5] == b"\x00\xff" and len(packet) > 8:  # noqa: PLR2004 # header, ERR, its code
            raise self._error_out_of_turn(packet[4:])
        raise _unsent(OperationalError(CR.CR_SERVER_GONE_ERROR, "MySQL server has gone away"))

    def _ensure_fits(self, payload: bytes) -> None:
        """Refuse what the server would refuse by hanging up (row F)."""
        if len(payload) >= self.server.max_allowed_packet:
            raise _unsent(
                OperationalError(
                    ER.NET_PACKET_TOO_LARGE,
                    f"The statement has {len(payload)} bytes;"
                    f" max_allowed_packet is {self.server.max_allowed_packet}",
                )
            )

    def _note_effects(self, command: int, text: bytes) -> None:
        if command == COMMAND.COM_QUERY:
            if _NEXT_TRANSACTION.match(text):
                self._next_transaction_set = True
            elif touches_session(text):
                self._dirty = True
        elif command != COMMAND.COM_PING:
            self._dirty = True

    async def _drain(self) -> None:
        self._draining = True
        self._watch()
        try:
            await self._writer.drain()
        except asyncio.CancelledError:
            self._close_on_cancel()
            raise
        except OSError as exc:
            raise self._lost(exc) from exc
        finally:
            self._draining = False

    # -- answers ------------------------------------------------------------------------------

    async def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        try:
            payload = await self._read_payload()
        except asyncio.CancelledError:
            self._close_on_cancel()
            raise
        packet = packet_type(payload, self._encoding)
        if packet.is_error_packet():
            if self._result is not None:
                self._result.unbuffered_active = False
            self._note_refusal(int.from_bytes(payload[1:3], "little"))
            packet.raise_for_error()
        return packet

    def _note_refusal(self, errno: int) -> None:
        """An ERR packet carries no status: some of them mean that our transaction is gone."""
        journal.refused(self, errno)
        if errno in ROLLED_BACK:
            self.server_status &= ~IN_TRANSACTION

    async def _read_payload(self) -> bytes:
        payload = b""
        while True:
            header = await self._read_bytes(4)
            size = int.from_bytes(header[:3], "little")
            if header[3] != self._next_seq_id:
                await self._read_out_of_turn(header[3], size)
            self._next_seq_id = (self._next_seq_id + 1) % 256
            payload += await self._read_bytes(size)
            if size < MAX_FRAGMENT_BYTES:
                return payload

    async def _read_out_of_turn(self, sequence: int, size: int) -> None:
        """Raise for a packet with the wrong number; an ERR with number 0 keeps its words (row G)."""
        expected = self._next_seq_id
        payload = await self._read_bytes(size) if sequence == 0 else b""
        self.abort()
        if payload[:1] == b"\xff":
            raise self._error_out_of_turn(payload)
        raise InternalError(f"Packet sequence number wrong - got {sequence} expected {expected}")

    def _error_out_of_turn(self, payload: bytes) -> MySQLError:
        """The error in *payload*. 4031 proves that the server had read no part of our command.

        MySQL sends it only while it waits for a command's first packet (net_serv.cc,
        net_read_raw_loop: pkt_nr == 0), and closes.
        """
        try:
            journal.refused(self, int.from_bytes(payload[1:3], "little"))
            MysqlPacket(payload, self._encoding).raise_for_error()
        except MySQLError as exc:
            if exc.args[0] != INTERACTION_TIMEOUT:
                return exc
            journal.refused(self, INTERACTION_TIMEOUT)
            return _unsent(exc)
        raise AssertionError("unreachable")

    async def _read_bytes(self, num_bytes: int) -> bytes:
        if len(self._reader._buffer) < num_bytes:
            self._watch()
        try:
            data: bytes = await self._reader.readexactly(num_bytes)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise self._lost(exc) from exc
        return data

    def _lost(self, exc: BaseException) -> MySQLError:
        timed_out = isinstance(exc, TimeoutError)
        self.abort()
        self.orphaned = timed_out
        why = " (deadline exceeded)" if timed_out else f" ({exc})" if str(exc) else ""
        error = OperationalError(
            CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query{why}"
        )
        error.timed_out = timed_out  # type: ignore[attr-defined] # read back by as_database_error
        return error

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

    # -- deadlines ----------------------------------------------------------------------------

    def _watch(self) -> None:
        """See to it that a timer looks at this statement's deadline.

        One timer a connection, moved only when it would come too late: most statements touch none.
        """
        if self._deadline == math.inf:
            return
        if self._watchdog is not None:
            if self._watchdog.when() <= self._deadline:
                return
            self._watchdog.cancel()
        self._watchdog = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._watchdog = None
        reader = self._reader
        if reader is None or not (self._draining or reader._waiter is not None):
            return
        if self._loop.time() < self._deadline:
            self._watch()
            return
        writer = self._writer
        reader.set_exception(TimeoutError())
        if self._draining:
            writer.transport.abort()

    # -- for the pool -------------------------------------------------------------------------

    async def probe(self) -> None:
        """Ask the server whether it is there. Waits until the ambient deadline."""
        await super().ping(reconnect=False)

    async def reset(self) -> None:
        """Bring the session back to how it was after connecting (row K).

        COM_RESET_CONNECTION rolls back, drops locks, variables and temporary tables; it keeps the
        database and sets autocommit and the character set to the server's defaults.
        """
        self._charset, self._encoding, self.autocommit_mode = self._born_as
        self._columns.clear()
        await self._execute_command(COM_RESET_CONNECTION, b"")
        await self._read_ok_packet()
        await self._execute_command(COMMAND.COM_QUERY, f"SET NAMES {self.escape(self._charset)}")
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

    def quit(self) -> None:
        """Take leave with COM_QUIT and close; waits for nothing (row O)."""
        if self._writer is None:
            return
        if self.is_alive() and self._reader._waiter is None and not self._draining:
            self._writer.write(struct.pack("<iB", 1, COMMAND.COM_QUIT))
        transport = self._writer.transport
        self.close()
        if transport.get_extra_info("ssl_object") is not None:
            self._loop.call_later(1.0, transport.abort)  # a frozen peer answers no TLS goodbye

    async def wait_gone(self, timeout: float) -> None:
        """Wait until the socket of a closed connection is, *timeout* seconds at most."""
        if self._left is not None:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(timeout):
                    await self._left.wait_closed()

    def abort(self) -> None:
        """Close at once, whatever is buffered."""
        if self._writer is not None:
            self._writer.transport.abort()
        self.close()

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        self._left = self._writer or self._left
        super().close()
        self._report_lost()

    def _close_on_cancel(self) -> None:
        self.abort()
        self.orphaned = True
        self._close_reason = "Cancelled during execution"

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
