"""Answers of a server, made up: what they mean and, by an encoder of their own, their bytes.

Written from the protocol's description alone; shares nothing with the reader that it tests.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

MAX_FRAGMENT = 0xFFFFFF
UTF8MB4, BINARY = 45, 63
LONGLONG, DOUBLE, DATETIME, VAR_STRING, BLOB = 8, 5, 12, 253, 252
Row = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's definition."""

    name: str
    kind: int
    charset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows and what comes round them, or (no columns) an OK packet, or an error."""

    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    affected_rows: int = 0
    insert_id: int = 0
    status: int = 2
    error: bytes | None = None

    def payloads(self) -> list[bytes]:
        """The packets' contents, in order."""
        end = b"\xff\x28\x04#42000" + self.error if self.error is not None else self._eof()
        if self.columns:
            head = [number(len(self.columns)), *(definition(column) for column in self.columns)]
            return [*head, self._eof(), *(row(cells) for cells in self.rows), end]
        if self.error is not None:
            return [end]
        counts = number(self.affected_rows) + number(self.insert_id)
        return [b"\x00" + counts + self.status.to_bytes(2, "little") + b"\x00\x00"]

    def _eof(self) -> bytes:
        return b"\xfe\x00\x00" + self.status.to_bytes(2, "little")


def encode(payloads: list[bytes], *, sequence: int = 1, fragment: int = MAX_FRAGMENT) -> bytes:
    """Wrap *payloads* into packets of at most *fragment* bytes."""
    out = bytearray()
    for payload in payloads:
        position, size = 0, fragment
        while size == fragment:
            piece = payload[position : position + fragment]
            position, size = position + fragment, len(piece)
            out += size.to_bytes(3, "little") + bytes([sequence % 256]) + piece
            sequence += 1
    return bytes(out)


def number(value: int) -> bytes:
    """A length-encoded integer."""
    for marker, size in ((b"\xfc", 2), (b"\xfd", 3), (b"\xfe", 8)):
        if value < 251:  # greater first bytes are markers
            return bytes([value])
        if value < 1 << 8 * size:
            return marker + value.to_bytes(size, "little")
    raise AssertionError("unreachable")


def definition(column: Column) -> bytes:
    """A column's definition as the server sends it."""
    name = column.name.encode()
    names = b"".join(number(len(part)) + part for part in (b"def", b"", b"t", b"t", name, name))
    fixed = column.charset.to_bytes(2, "little") + (1024).to_bytes(4, "little")
    return names + b"\x0c" + fixed + bytes([column.kind]) + b"\x00\x00\x00\x00\x00"


def row(cells: Row) -> bytes:
    """A row: each cell with its length, or NULL."""
    return b"".join(b"\xfb" if cell is None else number(len(cell)) + cell for cell in cells)


def _cells(column: Column) -> st.SearchStrategy[bytes | None]:
    integers = st.integers(-(1 << 63), (1 << 64) - 1).map(lambda value: str(value).encode())
    floats = st.floats(allow_nan=False, allow_infinity=False).map(
        lambda value: repr(value).encode()
    )
    dates = st.datetimes().map(lambda value: value.isoformat(" ").encode())
    zero = st.just(b"0000-00-00 00:00:00")
    texts = st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)
    long = st.integers(250, 70_000).map(lambda size: f"{size:016x}" * (size // 16))
    cells = {
        LONGLONG: integers,
        DOUBLE: floats,
        DATETIME: dates | zero,
        VAR_STRING: texts | long.map(str.encode),
        BLOB: st.binary(),
    }
    return st.none() | cells[column.kind]


_KINDS = st.sampled_from(
    [
        (LONGLONG, BINARY),
        (DOUBLE, BINARY),
        (DATETIME, BINARY),
        (VAR_STRING, UTF8MB4),
        (BLOB, BINARY),
    ]
)
_COLUMNS = st.lists(
    st.builds(
        lambda name, kind: Column(name=name, kind=kind[0], charset=kind[1]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        _KINDS,
    ),
    min_size=1,
    max_size=5,
)
# Without the flag that says another answer follows.
_STATUSES = st.integers(0, 0xFFFF).map(lambda status: status & ~0x0008)
_ERRORS = st.binary(max_size=40)


@st.composite
def _with_rows(draw: st.DrawFn) -> Answer:
    columns = tuple(draw(_COLUMNS))
    rows = draw(st.lists(st.tuples(*map(_cells, columns)), max_size=6))
    error = draw(st.none() | _ERRORS)
    return Answer(columns=columns, rows=tuple(rows), status=draw(_STATUSES), error=error)


_COUNTS = st.integers(0, (1 << 64) - 1)
_OKS = st.builds(Answer, affected_rows=_COUNTS, insert_id=_COUNTS, status=_STATUSES)
ANSWERS = _with_rows() | _OKS | st.builds(Answer, error=_ERRORS)
WITH_ROWS = _with_rows().filter(lambda answer: answer.error is None)


@st.composite
def mutated(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """*source* with a few bytes changed, taken out, put in, or the end cut off."""
    data = bytearray(draw(source))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.sampled_from(["set", "cut", "insert", "truncate"]))
        if change == "truncate":
            del data[at:]
        elif change == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=5))
        else:
            end = at + 1 if change == "set" else at + draw(st.integers(1, 8))
            data[at:end] = bytes([draw(st.integers(0, 255))]) if change == "set" else b""
    return bytes(data)
