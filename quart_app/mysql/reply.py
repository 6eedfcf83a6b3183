"""Reads the answer to one COM_QUERY out of bytes: no I/O, no packet object for each row.

The protocol is that of MySQL's manual, "Text Resultset" and "Generic Response Packets", without
CLIENT_DEPRECATE_EOF, as aiomysql negotiates it. Whatever does not fit it raises ReplyError: then
driver and server no longer agree on what comes next, and the connection is of no more use.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

MORE_RESULTS = 0x0008
HEADER = 4
FULL_FRAGMENT = 0xFFFFFF
NULL, TWO_BYTES, THREE_BYTES, EIGHT_BYTES = 0xFB, 0xFC, 0xFD, 0xFE
OK, LOCAL_INFILE, EOF, ERR = 0x00, 0xFB, 0xFE, 0xFF
EOF_MAX_BYTES = 9

Convert = Callable[[bytes], Any] | None
Kind = tuple[int, int, int]  # numbers of type, character set and decimals
Column = tuple[str, Convert, Kind]


class ReplyError(ValueError):
    """The bytes are no answer to a query."""


class OutOfTurnError(ReplyError):
    """A packet has the wrong number; *payload* is kept where its number is 0."""

    def __init__(self, sequence: int, expected: int, payload: bytes) -> None:
        super().__init__(f"Packet sequence number wrong - got {sequence} expected {expected}")
        self.payload = payload if sequence == 0 else b""


class Expecting(Enum):
    """FIRST -> DONE (OK, ERR); FIRST -> COLUMNS -> COLUMNS_END -> ROWS -> DONE (EOF, ERR)."""

    FIRST = "first"
    COLUMNS = "columns"
    COLUMNS_END = "columns end"
    ROWS = "rows"
    DONE = "done"


class Reply:
    """One answer, as far as it has been read.

    Arguments:
        *column*: makes a name, a converter and a kind out of a column definition.
        *sequence*: the number the first packet must have.
    """

    __slots__ = (
        "_column",
        "_converters",
        "_expecting",
        "_fragments",
        "_left",
        "affected_rows",
        "columns",
        "error",
        "insert_id",
        "is_ok",
        "kinds",
        "rows",
        "sequence",
        "status",
    )

    def __init__(self, column: Callable[[bytes], Column], *, sequence: int) -> None:
        self._column = column
        self._converters: list[Convert] = []
        self._expecting = Expecting.FIRST
        self._fragments = b""
        self._left = 0
        self.sequence = sequence
        self.rows: list[tuple[Any, ...]] = []
        self.columns: list[str] = []
        self.kinds: list[Kind] = []
        self.affected_rows = 0
        self.insert_id = 0
        self.status: int | None = None
        self.is_ok = False
        self.error: bytes | None = None

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self._expecting is Expecting.DONE

    @property
    def more(self) -> bool:
        """Whether another answer follows."""
        return bool(self.status is not None and self.status & MORE_RESULTS)

    def feed(self, data: bytes) -> int:
        """Read as many whole packets as *data* begins with; returns how many bytes they are."""
        position, end = 0, len(data)
        while self._expecting is not Expecting.DONE and position + HEADER <= end:
            if self._expecting is Expecting.ROWS and len(self._converters) == 1:
                position = self._feed_values(data, position)
                if position + HEADER > end:
                    break
            size = data[position] | data[position + 1] << 8 | data[position + 2] << 16
            stop = position + HEADER + size
            if stop > end:
                break
            self._check_turn(data, position, stop)
            if size == FULL_FRAGMENT or self._fragments:
                self._fragments += data[position + HEADER : stop]
                if size < FULL_FRAGMENT:
                    payload, self._fragments = self._fragments, b""
                    self._take(payload)
            elif self._expecting is Expecting.ROWS and data[position + HEADER : stop][:1] < b"\xfe":
                self.rows.append(_row(data, position + HEADER, stop, self._converters))
            else:
                self._take(data[position + HEADER : stop])
            position = stop
        return position

    def _feed_values(self, data: bytes, position: int) -> int:
        """Read rows of one column, up to the first packet that is anything else.

        Lists of JSON objects come so: a row costs a third of what it costs feed().
        """
        (convert,), rows, sequence = self._converters, self.rows, self.sequence
        end = len(data) - HEADER - 1
        while position <= end:
            size = data[position] | data[position + 1] << 8 | data[position + 2] << 16
            begin, length = position + HEADER + 1, data[position + HEADER]
            if length == TWO_BYTES and begin + 2 <= len(data):
                length, begin = data[begin] | data[begin + 1] << 8, begin + 2
            elif length >= NULL:
                break
            stop = begin + length
            if stop > len(data) or stop != position + HEADER + size or size == FULL_FRAGMENT:
                break
            if data[position + 3] != sequence or self._fragments:
                break  # feed() says what is wrong, or puts the pieces together
            value = data[begin:stop]
            rows.append((value if convert is None else convert(value),))
            sequence, position = (sequence + 1) & 0xFF, stop
        self.sequence = sequence
        return position

    def _check_turn(self, data: bytes, position: int, stop: int) -> None:
        sequence = data[position + 3]
        if sequence != self.sequence:
            raise OutOfTurnError(sequence, self.sequence, data[position + HEADER : stop])
        self.sequence = (sequence + 1) & 0xFF

    def _take(self, payload: bytes) -> None:
        if not payload:
            raise ReplyError("an empty packet")
        if payload[0] == ERR:
            self.error = payload
            self._expecting = Expecting.DONE
        elif self._expecting is Expecting.FIRST:
            self._take_first(payload)
        elif self._expecting is Expecting.COLUMNS:
            self._take_column(payload)
        elif payload[0] == EOF and len(payload) < EOF_MAX_BYTES:
            self._take_end(payload)
        elif self._expecting is Expecting.ROWS:
            self.rows.append(_row(payload, 0, len(payload), self._converters))
        else:
            raise ReplyError("columns without an end")

    def _take_first(self, payload: bytes) -> None:
        if payload[0] == OK:
            self.affected_rows, position = _length(payload, 1)
            self.insert_id, position = _length(payload, position)
            self.status = _two_bytes(payload, position)
            self.is_ok = True
            self._expecting = Expecting.DONE
            return
        if payload[0] == LOCAL_INFILE:
            raise ReplyError("the server asks for a file")
        self._left, _ = _length(payload, 0)
        self._expecting = Expecting.COLUMNS

    def _take_column(self, payload: bytes) -> None:
        name, convert, kind = self._column(payload)
        self.columns.append(name)
        self.kinds.append(kind)
        self._converters.append(convert)
        self._left -= 1
        if self._left <= 0:
            self._expecting = Expecting.COLUMNS_END

    def _take_end(self, payload: bytes) -> None:
        if self._expecting is Expecting.COLUMNS_END:
            self._expecting = Expecting.ROWS
            return
        self.status = _two_bytes(payload, 3)
        self.affected_rows = len(self.rows)
        self._expecting = Expecting.DONE


def _row(data: bytes, position: int, stop: int, converters: Sequence[Convert]) -> tuple[Any, ...]:
    """One row: for each column a length and as many bytes. The hottest loop there is."""
    values: list[Any] = []
    for convert in converters:
        if position >= stop:
            raise ReplyError("a row with too few columns")
        size = data[position]
        position += 1
        if size == NULL:
            values.append(None)
            continue
        if size > NULL:
            size, position = _length(data, position - 1)
        after = position + size
        value = data[position:after]
        values.append(value if convert is None else convert(value))
        position = after
    if position != stop:
        raise ReplyError("a row with other columns than announced")
    return tuple(values)


def _length(data: bytes, position: int) -> tuple[int, int]:
    """A length-encoded integer at *position*, and the position after it."""
    if position >= len(data):
        raise ReplyError("cut off")
    first = data[position]
    if first < NULL:
        return first, position + 1
    size = {TWO_BYTES: 2, THREE_BYTES: 3, EIGHT_BYTES: 8}.get(first)
    if size is None or position + 1 + size > len(data):
        raise ReplyError("no length")
    after = position + 1 + size
    return int.from_bytes(data[position + 1 : after], "little"), after


def _two_bytes(data: bytes, position: int) -> int:
    if position + 2 > len(data):
        raise ReplyError("cut off")
    return int.from_bytes(data[position : position + 2], "little")
