"""Many rows in one statement."""

import pytest

from quart_app.mysql.errors import QueryError
from quart_app.mysql.many import ROWS_AT_ONCE, as_insert
from tests.unit.mysql.scripted import scene


@pytest.mark.parametrize(
    ("sql", "two"),
    [
        ("INSERT INTO t VALUES (%s)", "INSERT INTO t VALUES (%s), (%s)"),
        ("replace into t (a, b) value (%s,%s)", "replace into t (a, b) value (%s,%s), (%s,%s)"),
        (
            "INSERT INTO t (a) VALUES (%s) ON DUPLICATE KEY UPDATE a = VALUES(a)",
            "INSERT INTO t (a) VALUES (%s), (%s) ON DUPLICATE KEY UPDATE a = VALUES(a)",
        ),
        ("INSERT INTO t VALUES (%s);", "INSERT INTO t VALUES (%s), (%s)"),
    ],
)
def test_a_plain_insert_is_joined(sql: str, two: str) -> None:
    insert = as_insert(sql)
    assert insert is not None
    assert insert.of(2) == two


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = %s",
        "INSERT INTO t VALUES (%s, NOW())",
        "INSERT INTO t VALUES (%(a)s)",
        "INSERT INTO t SELECT %s",
        "INSERT INTO t VALUES (%s) ON DUPLICATE KEY UPDATE a = %s",
        "INSERT INTO t VALUES (%s); DELETE FROM t",
        "INSERT INTO t VALUES (%s), (%s)",
    ],
)
def test_anything_else_is_left_alone(sql: str) -> None:
    assert as_insert(sql) is None


async def test_rows_go_out_in_batches() -> None:
    async with scene() as play:
        rows = [(number,) for number in range(ROWS_AT_ONCE + 1)]
        await play.session.execute_many("INSERT INTO t VALUES (%s)", rows)
        first, second = (sql for sql in play.work if sql.startswith("INSERT"))
        assert first.count("(") == ROWS_AT_ONCE
        assert second == "INSERT INTO t VALUES (1000)"


async def test_other_statements_go_out_row_by_row() -> None:
    async with scene() as play:
        await play.session.execute_many("UPDATE t SET a = %(a)s", [{"a": 1}, {"a": 2}])
        assert play.work == ["BEGIN", "UPDATE t SET a = 1", "UPDATE t SET a = 2", "COMMIT"]


async def test_a_packet_that_is_too_large_is_halved() -> None:
    async with scene() as play:
        play.server.facts["@@max_allowed_packet"] = 100
        rows = [("x" * 20,) for _ in range(8)]
        await play.session.execute_many("INSERT INTO t VALUES (%s)", rows)
        inserts = [sql for sql in play.work if sql.startswith("INSERT")]
        assert all(len(sql) < 100 for sql in inserts)
        assert sum(sql.count("x" * 20) for sql in inserts) == 8
        assert play.work[-1] == "COMMIT"


async def test_a_row_that_is_too_large_is_an_error_and_none_is_stored() -> None:
    async with scene() as play:
        play.server.facts["@@max_allowed_packet"] = 100
        with pytest.raises(QueryError):
            await play.session.execute_many("INSERT INTO t VALUES (%s)", [("a",), ("x" * 200,)])
        assert "COMMIT" not in play.work
