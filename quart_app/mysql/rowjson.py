"""Rows as JSON objects, by the server or from its text: two ways to the same values.

The server's way (``plan``) wraps the columns of a plain SELECT in JSON_OBJECT, so that a row costs
Python one string; order, LIMIT and parameters stay the statement's own. What cannot be wrapped with
the same meaning is put together here (``from_text``). Both write integers and doubles as numbers;
decimals, dates and times as strings, times of day as RFC 3339 with Z (what is stored is taken for
UTC); text as text; NULL as null. Binary columns have no JSON and are refused.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring

from quart_app.mysql import sqltext
from quart_app.mysql.errors import QueryError
from quart_app.mysql.reply import Kind

Text = str | None
Write = Callable[[str], str]

INTEGERS = frozenset({1, 2, 3, 8, 9, 13})  # TINY SHORT LONG LONGLONG INT24 YEAR
DECIMALS = frozenset({0, 246})
FLOAT, DOUBLE = 4, 5
TIMESTAMP, DATE, TIME, DATETIME = 7, 10, 11, 12
JSON = 245
TEXTS = frozenset({15, 247, 248, 249, 250, 251, 252, 253, 254})
BINARY = 63

_FORBIDDEN = frozenset(
    {"UNION", "INTERSECT", "EXCEPT", "INTO", "FOR", "LOCK", "PROCEDURE", "WITH", "DISTINCT"}
    | {"DISTINCTROW", "SQL_CALC_FOUND_ROWS", "ROLLUP", "*", ";", "#", "--", "/*", "@"}
)
_ALIASED = re.compile(r"(.+?)\s+(?:AS\s+)?`?(\w+)`?$", re.IGNORECASE | re.DOTALL)
_COLUMN = re.compile(r"(?:`?\w+`?\.){0,2}`?(\w+)`?$")


def check(columns: Sequence[str], kinds: Sequence[Kind]) -> None:
    """Raise QueryError for a result that is no list of JSON objects."""
    if len(set(columns)) != len(columns):
        raise QueryError("two columns have the same name; give them names of their own")
    for name, kind in zip(columns, kinds, strict=True):
        if _writer(kind) is None:
            raise QueryError(f"column {name!r} is binary; encode it in the statement, as by HEX()")


def from_text(
    columns: Sequence[str], kinds: Sequence[Kind], rows: Iterable[Sequence[Text]]
) -> list[str]:
    """Write each row of the text protocol as an object."""
    names = [encode_basestring(name) + ":" for name in columns]
    fields = list(zip(names, [_writer(kind) or str for kind in kinds], strict=True))
    return [
        "{"
        + ",".join(
            name + ("null" if value is None else write(value))
            for (name, write), value in zip(fields, row, strict=True)
        )
        + "}"
        for row in rows
    ]


def plan(sql: str, columns: Sequence[str], kinds: Sequence[Kind]) -> str | None:
    """The statement that has the server write the objects; None if that cannot be done safely.

    Percent signs are doubled where *sql* has them doubled: it is to be used with parameters.
    """
    text = sql.strip().removesuffix(";").rstrip()
    plain = sqltext.unquoted(text)
    found = sqltext.words(plain)
    outer = sqltext.outermost(found)
    if outer is None or not found or found[0] != ("SELECT", 0):
        return None
    where = next((at for word, at in outer if word == "FROM"), None)
    if where is None or any(word in _FORBIDDEN for word, _ in found):
        return None
    if _sorts_by_position(outer, where):
        return None
    items = _items(text, outer, where)
    tail = {word for word, at in found if at > where}
    return _wrap(items, columns, kinds, text[where:], tail)


def _items(text: str, outer: list[sqltext.Word], where: int) -> list[str]:
    cuts = [at for word, at in outer if word == "," and at < where]
    starts = [len("SELECT"), *(at + 1 for at in cuts)]
    return [text[start:end].strip() for start, end in zip(starts, [*cuts, where], strict=True)]


def _sorts_by_position(outer: list[sqltext.Word], where: int) -> bool:
    """Whether ORDER BY or GROUP BY may name columns by number: those numbers would change."""
    sorting = False
    for word, at in outer:
        if at > where and word in ("ORDER", "GROUP"):
            sorting = True
        elif word in ("LIMIT", "HAVING", "WINDOW"):
            sorting = False
        elif sorting and word.isdigit():
            return True
    return False


def _wrap(
    items: list[str], columns: Sequence[str], kinds: Sequence[Kind], tail: str, used: set[str]
) -> str | None:
    if len(items) != len(columns):
        return None
    pairs = []
    for item, name, kind in zip(items, columns, kinds, strict=True):
        expression = _without_alias(item, name, used)
        template = _expression(kind)
        if expression is None or template is None or not name.isidentifier():
            return None
        pairs.append(f"'{name}', {template.format(expression)}")
    return f"SELECT JSON_OBJECT({', '.join(pairs)}) {tail}"


def _without_alias(item: str, name: str, used: set[str]) -> str | None:
    """The expression behind a column; None if the rest of the statement refers to it by its alias."""
    column = _COLUMN.match(item)
    if column is not None and column.group(1) == name:
        return item
    aliased = _ALIASED.match(item)
    if aliased is None or aliased.group(2) != name:
        return item
    inner = _COLUMN.match(aliased.group(1))
    same = inner is not None and inner.group(1).upper() == name.upper()
    return None if name.upper() in used and not same else aliased.group(1)


def _expression(kind: Kind) -> str | None:
    """What to put into JSON_OBJECT for a column of that kind; ``%%`` for what is a percent sign."""
    number, charset, scale = kind
    if number in INTEGERS or number == DOUBLE or (number in TEXTS and charset != BINARY):
        return "{}"
    if number in DECIMALS or number == TIME:
        return "CAST({} AS CHAR)"
    if number == DATE:
        return "DATE_FORMAT({}, '%%Y-%%m-%%d')"
    if number in (DATETIME, TIMESTAMP):
        # scale digits of a second; %f always has six, so others are left to from_text()
        fraction = {0: "", 6: ".%%f"}.get(scale)
        known = fraction is not None
        return f"DATE_FORMAT({{}}, '%%Y-%%m-%%dT%%H:%%i:%%s{fraction}Z')" if known else None
    return None


def _writer(kind: Kind) -> Write | None:
    number, charset, _ = kind
    if number in INTEGERS or number in (FLOAT, DOUBLE, JSON):
        return str
    if number in DECIMALS or number in (DATE, TIME):
        return _quoted
    if number in (DATETIME, TIMESTAMP):
        return _instant
    return encode_basestring if number in TEXTS and charset != BINARY else None


def _quoted(text: str) -> str:
    return f'"{text}"'


def _instant(text: str) -> str:
    return f'"{text.replace(" ", "T")}Z"'
