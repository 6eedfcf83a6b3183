"""Rows as JSON on real servers: both ways, the server's and ours, mean the same."""

import json

import pytest

from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.errors import QueryError
from quart_app.mysql.session import Session
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql

TABLE = """
CREATE TABLE thing (
    id INT PRIMARY KEY, tiny TINYINT(1), big BIGINT UNSIGNED, name VARCHAR(50), body LONGTEXT,
    amount DECIMAL(20,6), ratio DOUBLE, small FLOAT, day DATE, made DATETIME, exact DATETIME(6),
    milli DATETIME(3), stamp TIMESTAMP NULL, took TIME, took6 TIME(6), born YEAR,
    kind ENUM('a', 'ö'), kinds SET('x', 'y'), raw VARBINARY(8), flag BIT(3), doc JSON
) DEFAULT CHARSET utf8mb4
"""
COLUMNS = (
    "id, tiny, big, name, body, amount, ratio, day, made, exact, stamp, took, took6, born,"
    " kind, kinds"
)
ROWS = [
    (
        *(1, 1, 18446744073709551615, 'h"ä\\/\n\t\x01😀', "x" * 70000, "-1.500000", 1e100),
        *("2020-02-29", "2020-02-29 23:59:59", "2020-01-02 03:04:05.000600"),
        *("2020-01-01 00:00:01", "-101:02:03", "01:02:03.000004", 1999, "ö", "x,y"),
    ),
    (2, *[None] * 15),
    (
        *(3, 0, 0, "", "", "0", 0.1, "1000-01-01", "1000-01-01", "9999-12-31 23:59:59.999999"),
        *("2038-01-01 00:00:00", "838:59:59", "00:00:00", 2155, "a", ""),
    ),
]


@pytest.fixture(name="session")
async def _session(config: ConnectConfig, open_pool: OpenPool) -> Session:
    session = Session(await open_pool(config, maxsize=2))
    await session.execute(TABLE)
    marks = ", ".join(["%s"] * 16)
    await session.execute_many(f"INSERT INTO thing ({COLUMNS}) VALUES ({marks})", ROWS)
    await session.execute(
        "UPDATE thing SET raw = UNHEX('00FF'), flag = 5, small = 1.1, doc = '{\"a\": 1}',"
        " milli = '2020-01-01 00:00:00.250'"
    )
    return session


async def _both_ways(session: Session, sql: str, args: tuple[object, ...] | None) -> list[object]:
    """What comes by our own text, checked against what the server writes."""
    by_text = json.loads(await session.fetch_json(sql, args))
    assert session._json._plans[sql][0] is not None, "the server could not be asked"
    by_server = json.loads(await session.fetch_json(sql, args))
    assert session._json._plans[sql][0] is not None, "the server refused"
    assert by_server == by_text
    assert isinstance(by_text, list)
    return by_text


async def test_all_kinds_of_values_come_the_same_both_ways(session: Session) -> None:
    sql = f"SELECT {COLUMNS} FROM thing WHERE id < %s ORDER BY id"
    first, empty, last = await _both_ways(session, sql, (10,))
    assert isinstance(first, dict)
    assert isinstance(empty, dict)
    assert isinstance(last, dict)
    assert first["big"] == 18446744073709551615
    assert first["name"] == 'h"ä\\/\n\t\x01😀'
    assert len(first["body"]) == 70000
    assert first["amount"] == "-1.500000"
    assert first["made"] == "2020-02-29T23:59:59Z"
    assert first["exact"] == "2020-01-02T03:04:05.000600Z"
    assert first["took"] == "-101:02:03"
    assert first["kinds"] == "x,y"
    assert set(empty.values()) == {2, None}
    assert last["exact"] == "9999-12-31T23:59:59.999999Z"


async def test_order_and_limit_are_the_statements(session: Session) -> None:
    rows = await _both_ways(
        session, "SELECT id, name FROM thing ORDER BY thing.id DESC LIMIT %s", (2,)
    )
    assert [row["id"] for row in rows if isinstance(row, dict)] == [3, 2]


async def test_no_rows_are_an_empty_list(session: Session) -> None:
    assert await _both_ways(session, "SELECT id FROM thing WHERE id > 99", None) == []


async def test_percent_sign_in_a_statement_without_parameters_stays(session: Session) -> None:
    rows = await _both_ways(session, "SELECT id FROM thing WHERE name LIKE 'h%'", None)
    assert rows == [{"id": 1}]


@pytest.mark.parametrize(
    ("column", "value"),
    [("small", 1.1), ("doc", {"a": 1}), ("milli", "2020-01-01T00:00:00.250Z")],
)
async def test_what_the_servers_write_differently_is_written_here(
    session: Session, column: str, value: object
) -> None:
    sql = f"SELECT id, {column} FROM thing WHERE id = 1"
    for _ in range(2):
        (row,) = json.loads(await session.fetch_json(sql))
        text = isinstance(row[column], str) and column == "doc"  # MariaDB's JSON is text
        assert (json.loads(row[column]) if text else row[column]) == value


@pytest.mark.parametrize("column", ["raw", "flag"])
async def test_binary_is_refused_with_its_name(session: Session, column: str) -> None:
    for _ in range(2):
        with pytest.raises(QueryError, match=column):
            await session.fetch_json(f"SELECT id, {column} FROM thing")


async def test_object_too_long_for_the_server_is_written_here_and_never_cut(
    session: Session,
) -> None:
    """Its columns are not: the server sends them, but puts no object together that long."""
    limit = await session.fetch_val("SELECT @@global.max_allowed_packet")
    times = int(limit * 0.6) // 70_000
    sql = "SELECT id, REPEAT(body, %s) AS one, REPEAT(body, %s) AS two FROM thing WHERE id = 1"
    for _ in range(2):
        (row,) = json.loads(await session.fetch_json(sql, (times, times)))
        assert len(row["one"]) == len(row["two"]) == times * 70_000
    assert session._json._plans[sql][0] is None
