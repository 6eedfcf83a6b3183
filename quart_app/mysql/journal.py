"""What a piece of work has asked of the database: could running it once more do anything twice?

For work that is not ours, such as a handler with a raw cursor. The driver reports every statement
here; where nobody keeps a journal that costs one look at a contextvar. It reads statements only to
find *harmless* ones: whatever it does not know counts as a change.
"""

import re
from contextvars import ContextVar
from enum import Enum
from functools import lru_cache
from types import TracebackType
from typing import Protocol, Self

from quart_app.mysql.classify import did_nothing

LONG_TEXT_BYTES = 4096  # not worth keeping

_journal: ContextVar["Journal | None"] = ContextVar("quart_app_mysql_journal", default=None)

# A SELECT may call a function that writes. These are known not to; any other name is not.
_PURE_FUNCTIONS = frozenset(
    b"""ABS ALL ANY AND AS AVG BETWEEN BIN_TO_UUID CASE CAST CEIL CEILING CHAR_LENGTH COALESCE
    CONCAT CONCAT_WS CONVERT COUNT CURDATE CURRENT_DATE CURRENT_TIMESTAMP CURTIME DATE DATEDIFF
    DATE_ADD DATE_FORMAT DATE_SUB DISTINCT ELSE EXISTS FIELD FLOOR FROM FROM_UNIXTIME GREATEST
    GROUP_CONCAT HEX IF IFNULL IN INTERVAL ISNULL JOIN JSON_ARRAY JSON_ARRAYAGG JSON_EXTRACT
    JSON_OBJECT JSON_OBJECTAGG JSON_VALUE LEAST LEFT LENGTH LIKE LIMIT LOWER LPAD LTRIM MAX MD5 MIN
    MOD NOT NOW NULLIF ON OR OVER PARTITION POW POWER REPLACE RIGHT ROUND ROW ROW_NUMBER RPAD RTRIM
    SELECT SHA2 SIGN SOME SQRT STDDEV SUBSTR SUBSTRING SUM THEN TRIM TRUNCATE UNHEX UNION
    UNIX_TIMESTAMP UPPER USING UTC_TIMESTAMP UUID_TO_BIN VALUES VERSION WHEN WHERE WITH XOR YEAR
    """.split()
)
_FLAGS = re.IGNORECASE | re.DOTALL
# A quote that is not closed takes the rest: each byte is looked at once, whatever is in there.
_QUOTED = re.compile(
    rb"'(?:[^'\\]|\\.|'')*+(?P<a>'?)|\"(?:[^\"\\]|\\.|\"\")*+(?P<b>\"?)|`[^`]*+(?P<c>`?)", _FLAGS
)
_WORST = b"' ;/* "
_SELECT = re.compile(rb"[\s(]*SELECT\b", _FLAGS)
# INTO a file or a variable, ":=" into a variable; comments may hold code for the server.
_NOT_PLAIN = re.compile(rb"\bINTO\b|:=|/\*", _FLAGS)
_SECOND_STATEMENT = re.compile(rb";\s*\S", _FLAGS)
_CALL = re.compile(rb"([\w.$']+)\s*\(", _FLAGS)
_HARMLESS = re.compile(
    rb"\s*(?:SHOW|EXPLAIN\s+SELECT|DESCRIBE|DESC|SAVEPOINT|RELEASE\s+SAVEPOINT|USE|KILL"
    rb"|ROLLBACK\s+(?:WORK\s+)?TO)\b",
    _FLAGS,
)
_SET = re.compile(rb"\s*SET\b", _FLAGS)
_BEYOND_SESSION = re.compile(rb"\b(?:GLOBAL|PERSIST|PERSIST_ONLY|PASSWORD|ROLE)\b", _FLAGS)
_SETTLE = re.compile(rb"\s*(?:BEGIN|START\s+TRANSACTION|COMMIT)\b", _FLAGS)
_AUTOCOMMIT = re.compile(rb"\bAUTOCOMMIT\b", _FLAGS)
_ROLLBACK = re.compile(rb"\s*ROLLBACK\s*(?:WORK\s*)?;?\s*$", _FLAGS)
_CHANGE = re.compile(rb"\s*(?:INSERT|UPDATE|DELETE|REPLACE|WITH)\b", _FLAGS)


class Effect(Enum):
    """What a statement does, as far as it concerns running it again.

    NONE      nothing that outlives the connection
    CHANGE    changes rows: for good with COMMIT, or at once outside a transaction
    SETTLE    commits what is open, as BEGIN also does
    ROLLBACK  undoes what is open
    AT_ONCE   anything else: DDL, CALL, what we do not know; it may commit what is open
    """

    NONE = "none"
    CHANGE = "change"
    SETTLE = "settle"
    ROLLBACK = "rollback"
    AT_ONCE = "at once"


class Session(Protocol):
    """What is asked of a connection."""

    @property
    def in_transaction(self) -> bool: ...

    def get_autocommit(self) -> bool: ...


class Journal:
    """The record of one piece of work, kept while its ``with`` lasts; child tasks write too."""

    __slots__ = ("_changes", "_last", "_open", "_token")

    def __init__(self) -> None:
        self._changes = 0
        self._open: set[int] = set()  # connections with changes not yet committed
        self._last: dict[int, Effect] = {}  # connection -> what its last statement counted as

    @property
    def changed(self) -> bool:
        """Whether something may be in the database for good; False only where that is ruled out.

        Changes that were never committed do not count: they are rolled back when their connection
        is lost or released.
        """
        return self._changes > 0

    def __enter__(self) -> Self:
        self._token = _journal.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _journal.reset(self._token)

    def record(self, connection: Session, statement: bytes) -> None:
        """Note that *statement*, its values written in or not, is about to be sent."""
        key, effect = id(connection), _effect_of(statement)
        if effect is Effect.CHANGE and _holds_back(connection):
            self._open.add(key)
            effect = Effect.NONE
        elif effect is Effect.SETTLE and key not in self._open:
            effect = Effect.NONE
        self._last[key] = effect
        if effect is not Effect.NONE:
            self._open.discard(key)
        if effect in _FOR_GOOD:
            self._changes += 1

    def forget(self, connection: Session, errno: int) -> None:
        """Take back the last statement on *connection* if *errno* proves that it did nothing."""
        key = id(connection)
        effect = self._last.get(key)
        committing = effect is Effect.SETTLE
        if effect in _FOR_GOOD and did_nothing(errno, committing=committing):
            self._last[key] = Effect.NONE
            self._changes -= 1
            if committing:  # refused: what was open may still be
                self._open.add(key)


_FOR_GOOD = frozenset({Effect.CHANGE, Effect.SETTLE, Effect.AT_ONCE})


def sent(connection: Session, statement: bytes) -> None:
    """For the driver: *statement* goes out now."""
    journal = _journal.get()
    if journal is not None:
        journal.record(connection, statement)


def refused(connection: Session, errno: int) -> None:
    """For the driver: the server answered the last statement with an error."""
    journal = _journal.get()
    if journal is not None:
        journal.forget(connection, errno)


def _effect_of(statement: bytes) -> Effect:
    return effect_of(statement) if len(statement) > LONG_TEXT_BYTES else _known(statement)


@lru_cache(maxsize=1024)
def _known(statement: bytes) -> Effect:
    return effect_of(statement)


def effect_of(statement: bytes) -> Effect:
    """Read off a statement what it may do. Unsure means the worst."""
    if _SELECT.match(statement):
        return _effect_of_select(_unquoted(statement))
    if b";" in statement and _SECOND_STATEMENT.search(_unquoted(statement)):
        return Effect.AT_ONCE
    for pattern, effect in _BY_BEGINNING:
        if pattern.match(statement):
            return effect
    return _effect_of_set(statement) if _SET.match(statement) else Effect.AT_ONCE


_BY_BEGINNING = (
    (_CHANGE, Effect.CHANGE),
    (_SETTLE, Effect.SETTLE),
    (_ROLLBACK, Effect.ROLLBACK),
    (_HARMLESS, Effect.NONE),
)


def _unquoted(statement: bytes) -> bytes:
    """Take the literals out; where one has no end, leave what counts as the worst."""
    return _QUOTED.sub(
        lambda found: b"'" if found.lastgroup and found[found.lastgroup] else _WORST, statement
    )


def _effect_of_select(plain: bytes) -> Effect:
    if _NOT_PLAIN.search(plain) or _SECOND_STATEMENT.search(plain):
        return Effect.AT_ONCE
    called = {name.upper() for name in _CALL.findall(plain)}
    return Effect.NONE if called <= _PURE_FUNCTIONS else Effect.CHANGE


def _effect_of_set(statement: bytes) -> Effect:
    plain = _unquoted(statement)
    if _BEYOND_SESSION.search(plain):
        return Effect.AT_ONCE
    return Effect.SETTLE if _AUTOCOMMIT.search(plain) else Effect.NONE


def _holds_back(connection: Session) -> bool:
    """Tell whether a change waits for a COMMIT."""
    return connection.in_transaction or not connection.get_autocommit()
