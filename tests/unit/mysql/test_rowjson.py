"""JSON out of rows: what is planned for the server, what is written here, what is refused."""

import json

import pytest

from quart_app.mysql import rowjson
from quart_app.mysql.errors import QueryError
from quart_app.mysql.reply import Kind

INT: Kind = (3, 63, 0)
TEXT: Kind = (253, 45, 0)
DECIMAL: Kind = (246, 63, 2)
DOUBLE: Kind = (5, 63, 31)
FLOAT: Kind = (4, 63, 31)
DATE: Kind = (10, 63, 0)
DATETIME: Kind = (12, 63, 0)
DATETIME_6: Kind = (12, 63, 6)
DATETIME_3: Kind = (12, 63, 3)
TIME: Kind = (11, 63, 0)
BLOB: Kind = (252, 63, 0)
BIT: Kind = (16, 63, 0)
JSON: Kind = (245, 63, 0)


def test_values_are_written_by_their_kind() -> None:
    columns = ("i", "t", "d", "f", "day", "at", "time", "j", "n")
    kinds = (INT, TEXT, DECIMAL, DOUBLE, DATE, DATETIME, TIME, JSON, TEXT)
    row = ("-7", 'h"ä\n😀', "1.50", "1e100", "2020-02-29", "2020-02-29 01:02:03", "-101:00:00")
    (text,) = rowjson.from_text(columns, kinds, [(*row, '{"a": [1]}', None)])
    assert json.loads(text) == {
        "i": -7,
        "t": 'h"ä\n😀',
        "d": "1.50",
        "f": 1e100,
        "day": "2020-02-29",
        "at": "2020-02-29T01:02:03Z",
        "time": "-101:00:00",
        "j": {"a": [1]},
        "n": None,
    }


def test_no_rows_are_no_objects() -> None:
    assert rowjson.from_text(("a",), (INT,), []) == []


@pytest.mark.parametrize("kind", [BLOB, BIT])
def test_binary_columns_are_refused_by_name(kind: Kind) -> None:
    with pytest.raises(QueryError, match="'picture' is binary"):
        rowjson.check(("id", "picture"), (INT, kind))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(QueryError, match="same name"):
        rowjson.check(("id", "id"), (INT, INT))


def test_plan_keeps_order_limit_and_parameters() -> None:
    sql = "SELECT t.a, b AS name FROM t WHERE c = %s ORDER BY t.a DESC LIMIT %s;"
    assert rowjson.plan(sql, ("a", "name"), (INT, TEXT)) == (
        "SELECT JSON_OBJECT('a', t.a, 'name', b) FROM t WHERE c = %s ORDER BY t.a DESC LIMIT %s"
    )


def test_plan_writes_decimals_and_times_as_text() -> None:
    sql = "SELECT a, b, c, d, e FROM t"
    kinds = (DECIMAL, DATE, DATETIME, DATETIME_6, TIME)
    assert rowjson.plan(sql, ("a", "b", "c", "d", "e"), kinds) == (
        "SELECT JSON_OBJECT('a', CAST(a AS CHAR), 'b', DATE_FORMAT(b, '%%Y-%%m-%%d'),"
        " 'c', DATE_FORMAT(c, '%%Y-%%m-%%dT%%H:%%i:%%sZ'),"
        " 'd', DATE_FORMAT(d, '%%Y-%%m-%%dT%%H:%%i:%%s.%%fZ'), 'e', CAST(e AS CHAR)) FROM t"
    )


def test_commas_and_from_in_parentheses_do_not_cut() -> None:
    sql = "SELECT CONCAT(a, ',', b) AS x, (SELECT MAX(y) FROM u) AS m FROM t"
    assert rowjson.plan(sql, ("x", "m"), (TEXT, INT)) == (
        "SELECT JSON_OBJECT('x', CONCAT(a, ',', b), 'm', (SELECT MAX(y) FROM u)) FROM t"
    )


def test_expression_without_a_name_that_can_be_a_key_is_not_planned() -> None:
    assert rowjson.plan("SELECT a + 1 FROM t", ("a + 1",), (INT,)) is None


UNPLANNED = {
    "SELECT * FROM t": ("a",),
    "SELECT DISTINCT a FROM t": ("a",),
    "SELECT a FROM t UNION SELECT 1": ("a",),
    "SELECT a FROM t ORDER BY 1": ("a",),
    "SELECT a FROM t GROUP BY 1 LIMIT 3": ("a",),
    "SELECT LOWER(a) AS a FROM t ORDER BY a": ("a",),
    "SELECT COUNT(*) AS n FROM t HAVING n > 1": ("n",),
    "SELECT a FROM t FOR UPDATE": ("a",),
    "SHOW TABLES": ("a",),
    "SELECT 1": ("a",),
    "SELECT a, b FROM t": ("a",),
    "SELECT a) FROM (t": ("a",),
    "SELECT (a FROM t": ("a",),
}


@pytest.mark.parametrize(("sql", "columns"), UNPLANNED.items(), ids=UNPLANNED)
def test_what_could_mean_something_else_is_not_planned(sql: str, columns: tuple[str]) -> None:
    assert rowjson.plan(sql, columns, (INT,)) is None


@pytest.mark.parametrize("kind", [FLOAT, DATETIME_3, JSON])
def test_kinds_the_servers_write_differently_are_not_planned(kind: Kind) -> None:
    assert rowjson.plan("SELECT a FROM t", ("a",), (kind,)) is None


def test_column_under_its_own_name_may_be_ordered_by() -> None:
    sql = "SELECT t.a AS a FROM t ORDER BY a LIMIT 5"
    assert (
        rowjson.plan(sql, ("a",), (INT,))
        == "SELECT JSON_OBJECT('a', t.a) FROM t ORDER BY a LIMIT 5"
    )


def test_number_in_a_limit_is_no_position() -> None:
    sql = "SELECT a FROM t ORDER BY a LIMIT 10"
    assert rowjson.plan(sql, ("a",), (INT,)) is not None


def test_text_and_numbers_of_different_names_are_accepted() -> None:
    columns, kinds = ("id", "name"), (INT, TEXT)
    rowjson.check(columns, kinds)
    assert rowjson.from_text(columns, kinds, [("1", "x")]) == ['{"id":1,"name":"x"}']
