"""The answers to statements: rows as values, and the status flags that come with them.

What was asked is no matter here (statements.py), nor how bytes arrive (packets.py). Whole answers are
taken apart by reply.py; aiomysql's own way, an object for each packet, is left to cursors and streams.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from aiomysql.connection import MySQLResult
from pymysql.connections import TEXT_TYPES
from pymysql.constants import CR, FIELD_TYPE
from pymysql.converters import through
from pymysql.err import InterfaceError, InternalError, OperationalError
from pymysql.protocol import (
    EOFPacketWrapper,
    FieldDescriptorPacket,
    MysqlPacket,
    OKPacketWrapper,
)

from quart_app.mysql.driver.packets import IN_TRANSACTION, PacketWire
from quart_app.mysql.reply import HEADER, Column, Convert, OutOfTurnError, Reply, ReplyError

ERR_MIN_BYTES = 9  # marker, number, and a state or a text
COLUMNS_KEPT = 1024
BINARY = 63  # the number of the character set that is none
UTF8 = ("utf8", "utf-8", "ascii")


class AnswerReader(PacketWire):
    """A connection that reads answers whole, and keeps the flags of EOF packets, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._columns: dict[bytes, Column] = {}  # definitions seen
        self._ok_status = 0
        self._next_transaction_set = False  # by a statement; until an answer says that one began

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

    # -- columns ------------------------------------------------------------------------------

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

    # -- as aiomysql reads --------------------------------------------------------------------

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

    # -- what was said ------------------------------------------------------------------------

    def _note_ok(self, status: int) -> None:
        self._ok_status = status
        if status & IN_TRANSACTION:
            self._next_transaction_set = False

    def _unfinished(self) -> bool:
        result = self._result
        return result is not None and bool(result.unbuffered_active or result.has_next)


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


def _converter(encoding: str | None, decode: Callable[[Any], Any] | None) -> Convert:
    """What makes a value of a column's bytes: as aiomysql does, with fewer calls."""
    if encoding is None:
        return decode
    to_text = bytes.decode if encoding in UTF8 else partial(str, encoding=encoding)
    if decode is None:
        return to_text
    return lambda data: decode(to_text(data))
