"""The MySQL wire format, the server's half: the few packets that a scripted server sends. Pure."""

import struct

from pymysql.constants import CLIENT, FIELD_TYPE, SERVER_STATUS

AUTOCOMMIT = SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT
IN_TRANSACTION = SERVER_STATUS.SERVER_STATUS_IN_TRANS
MORE_RESULTS = SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS

CAPABILITIES = (
    CLIENT.LONG_PASSWORD
    | CLIENT.LONG_FLAG
    | CLIENT.CONNECT_WITH_DB
    | CLIENT.PROTOCOL_41
    | CLIENT.TRANSACTIONS
    | CLIENT.SECURE_CONNECTION
    | CLIENT.MULTI_STATEMENTS
    | CLIENT.MULTI_RESULTS
    | CLIENT.PLUGIN_AUTH
)

EOF_BYTES = 5
SALT = b"abcdefghijklmnopqrst"
Value = str | bytes | int | None


def packet(sequence: int, payload: bytes) -> bytes:
    """*payload* with its header."""
    return struct.pack("<I", len(payload))[:3] + bytes([sequence % 256]) + payload


def length_encoded(number: int) -> bytes:
    """*number* as a length-encoded integer."""
    if number < 251:
        return bytes([number])
    if number < 1 << 16:
        return b"\xfc" + struct.pack("<H", number)
    if number < 1 << 24:
        return b"\xfd" + struct.pack("<I", number)[:3]
    return b"\xfe" + struct.pack("<Q", number)


def text(value: Value) -> bytes:
    """One cell of a row in the text protocol."""
    if value is None:
        return b"\xfb"
    data = value if isinstance(value, bytes) else str(value).encode()
    return length_encoded(len(data)) + data


def greeting(
    *,
    thread_id: int,
    version: str,
    plugin: str = "mysql_native_password",
    capabilities: int = CAPABILITIES,
) -> bytes:
    """Protocol::HandshakeV10."""
    return b"".join(
        [
            b"\x0a",
            version.encode() + b"\0",
            struct.pack("<I", thread_id),
            SALT[:8] + b"\0",
            struct.pack("<H", capabilities & 0xFFFF),
            struct.pack("<BHHB", 45, AUTOCOMMIT, capabilities >> 16, len(SALT) + 1),
            bytes(10),
            SALT[8:] + b"\0",
            plugin.encode() + b"\0",
        ]
    )


def ok(
    *, affected: int = 0, insert_id: int = 0, status: int = AUTOCOMMIT, warnings: int = 0
) -> bytes:
    """OK_Packet."""
    counts = length_encoded(affected) + length_encoded(insert_id)
    return b"\0" + counts + struct.pack("<HH", status, warnings)


def error(code: int, sqlstate: str = "HY000", message: str = "scripted") -> bytes:
    """ERR_Packet."""
    return b"\xff" + struct.pack("<H", code) + b"#" + sqlstate.encode() + message.encode()


def early_error(code: int, message: str = "scripted") -> bytes:
    """ERR_Packet as sent before the handshake: without a sqlstate."""
    return b"\xff" + struct.pack("<H", code) + message.encode()


def followed(payload: bytes, *, first: bool) -> bytes:
    """*payload*, if it ends an answer, with the flag that another answer follows."""
    if first and payload[:1] == b"\0":
        return _flagged(payload, len(payload) - 4)
    return _flagged(payload, 3) if payload[:1] == b"\xfe" and len(payload) == EOF_BYTES else payload


def _flagged(payload: bytes, at: int) -> bytes:
    (status,) = struct.unpack_from("<H", payload, at)
    return payload[:at] + struct.pack("<H", status | MORE_RESULTS) + payload[at + 2 :]


def eof(*, status: int = AUTOCOMMIT, warnings: int = 0) -> bytes:
    """EOF_Packet."""
    return b"\xfe" + struct.pack("<HH", warnings, status)


def column(name: str, kind: int = FIELD_TYPE.VAR_STRING) -> bytes:
    """Protocol::ColumnDefinition41 of a utf8mb4 column."""
    names = (text(part) for part in ("def", "", "", "", name, name))
    return b"".join(names) + b"\x0c" + struct.pack("<HIBHB", 45, 1024, kind, 0, 0) + b"\0\0"


def result(
    columns: list[tuple[str, int]], rows: list[tuple[Value, ...]], *, status: int = AUTOCOMMIT
) -> list[bytes]:
    """The payloads of a whole result set."""
    return [
        length_encoded(len(columns)),
        *(column(name, kind) for name, kind in columns),
        eof(status=status),
        *(b"".join(map(text, row)) for row in rows),
        eof(status=status),
    ]


def kind_of(value: Value) -> int:
    """The column type that makes the client read *value* back as it is."""
    return FIELD_TYPE.LONGLONG if isinstance(value, int) else FIELD_TYPE.VAR_STRING
