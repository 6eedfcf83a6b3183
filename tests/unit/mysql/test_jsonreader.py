"""Rows as JSON: who writes the objects, and what is remembered of a statement."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from quart_app.mysql import jsonreader
from quart_app.mysql.driver import Result
from quart_app.mysql.errors import QueryError
from quart_app.mysql.jsonreader import REMEMBER, Args, JSONReader
from quart_app.mysql.reply import Kind

SQL = "SELECT a FROM t"
PLANNED = "SELECT JSON_OBJECT('a', a) FROM t"
INT: Kind = (3, 63, 0)
BLOB: Kind = (252, 63, 0)


class Table:
    """Has one column and two rows; writes objects of them, unless told that it cannot."""

    def __init__(self) -> None:
        self.kind = INT
        self.objects: Sequence[tuple[str | None]] | QueryError = [('{"a": 1}',), ('{"a": 2}',)]
        self.asked: list[tuple[str, Args]] = []

    async def read(self, sql: str, args: Args, *, text: bool = False) -> Result:
        assert text
        self.asked.append((sql, args))
        rows: list[tuple[Any, ...]] = [("1",), ("2",)]
        if sql.startswith("SELECT JSON_OBJECT"):
            if isinstance(self.objects, QueryError):
                raise self.objects
            rows = list(self.objects)
        return Result(rows, ("a",), len(rows), 0, (self.kind,))

    def statements(self) -> list[str]:
        """Those since the last time."""
        asked = [sql for sql, _ in self.asked]
        self.asked.clear()
        return asked


async def test_server_writes_the_objects_once_the_columns_are_known() -> None:
    table = Table()
    reader = JSONReader(table)
    assert await reader.read(SQL, None) == ['{"a":1}', '{"a":2}']
    assert await reader.read(SQL, None) == ['{"a": 1}', '{"a": 2}']
    assert table.asked == [(SQL, None), (PLANNED, ())]


async def test_parameters_reach_the_servers_own_writing() -> None:
    table = Table()
    reader = JSONReader(table)
    for _ in range(2):
        await reader.read(SQL + " WHERE b = %s", (7,))
    assert table.asked[-1] == (PLANNED + " WHERE b = %s", (7,))


async def test_percent_sign_of_a_statement_without_parameters_stays_one() -> None:
    table = Table()
    reader = JSONReader(table)
    for _ in range(2):
        await reader.read(SQL + " WHERE b % 2", None)
    assert table.asked[-1] == (PLANNED + " WHERE b %% 2", ())


async def test_columns_are_looked_at_again_after_a_while() -> None:
    table = Table()
    reader = JSONReader(table)
    await reader.read(SQL, None)
    await asyncio.sleep(REMEMBER)
    await reader.read(SQL, None)
    assert table.statements() == [SQL, SQL]


@pytest.mark.parametrize("objects", [[('{"a": 1}',), (None,)], QueryError("too long", errno=1301)])
async def test_what_the_server_cannot_write_is_written_here_for_a_while(objects: Any) -> None:
    table = Table()
    table.objects = objects
    reader = JSONReader(table)
    for _ in range(3):
        assert await reader.read(SQL, None) == ['{"a":1}', '{"a":2}']
    assert table.statements() == [SQL, PLANNED, SQL, SQL]
    await asyncio.sleep(REMEMBER)
    for _ in range(2):
        await reader.read(SQL, None)
    assert table.statements() == [SQL, PLANNED, SQL]


async def test_no_rows_are_an_answer() -> None:
    table = Table()
    reader = JSONReader(table)
    await reader.read(SQL, None)
    table.objects = []
    assert await reader.read(SQL, None) == []
    assert table.statements() == [SQL, PLANNED]


async def test_binary_column_is_refused_every_time() -> None:
    table = Table()
    table.kind = BLOB
    reader = JSONReader(table)
    for _ in range(2):
        with pytest.raises(QueryError, match="binary"):
            await reader.read(SQL, None)


async def test_memory_of_statements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonreader, "MAX_PLANS", 2)
    table = Table()
    reader = JSONReader(table)
    for number in range(3):
        await reader.read(f"{SQL} LIMIT {number}", None)
    assert list(reader._plans) == [f"{SQL} LIMIT 2"]
