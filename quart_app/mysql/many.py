"""One statement for many rows: an INSERT … VALUES of ``%s`` only can carry them all at once.

Anything else than that plain form runs row by row. Commits nothing: the caller has the transaction.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quart_app.mysql.driver import Connection, Result
from quart_app.mysql.errors import QueryError

# Enough to make round trips cheap; what makes too large a packet all the same is halved.
ROWS_AT_ONCE = 1000
PACKET_TOO_LARGE = 1153

Args = Sequence[object] | Mapping[str, object] | None

_INSERT = re.compile(
    r"(?P<head>\s*(?:INSERT|REPLACE)\b.+\bVALUES?\s*)"
    r"(?P<row>\(\s*%s(?:\s*,\s*%s)*\s*\))"
    r"(?P<tail>\s*(?:ON\s+DUPLICATE\s+KEY\s+UPDATE\b[^;]*)?);?\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT in three parts; *row* is ``(%s, %s)``."""

    head: str
    row: str
    tail: str

    def of(self, count: int) -> str:
        """The statement for *count* rows."""
        return self.head + ", ".join([self.row] * count) + self.tail


def as_insert(sql: str) -> Insert | None:
    """Take *sql* apart, if it is an INSERT or REPLACE of one row of places."""
    match = _INSERT.fullmatch(sql)
    if match is None or "%" in match["tail"] or "%" in match["head"]:
        return None
    return Insert(match["head"], match["row"], match["tail"])


async def run_many(connection: Connection, sql: str, rows: Sequence[Args]) -> Result:
    """Run *sql* for every one of *rows*; the result counts the affected rows of all.

    Waits and raises as connection.run().
    """
    insert = as_insert(sql)
    if insert is None or not all(isinstance(row, list | tuple) for row in rows):
        affected = sum([(await connection.run(sql, row)).affected_rows for row in rows])
    else:
        affected = 0
        for start in range(0, len(rows), ROWS_AT_ONCE):
            affected += await _run_insert(connection, insert, rows[start : start + ROWS_AT_ONCE])
    return Result([], (), affected, 0)


async def _run_insert(connection: Connection, insert: Insert, rows: Sequence[Args]) -> int:
    values = [value for row in rows for value in row or ()]
    try:
        return (await connection.run(insert.of(len(rows)), values)).affected_rows
    except QueryError as error:
        if error.errno != PACKET_TOO_LARGE or len(rows) == 1:
            raise
    half = len(rows) // 2
    first = await _run_insert(connection, insert, rows[:half])
    return first + await _run_insert(connection, insert, rows[half:])
