"""A statement without its values."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.converters import escape_string

from quart_app.mysql.fingerprint import LONGEST, fingerprint

NAME = re.compile(r"`(?:[^`]|``)*`")
TABLE = [
    ("SELECT 1", "select ?"),
    ("SELECT * FROM city WHERE city = 'London'", "select * from city where city = ?"),
    (
        "select  *\n from `My Table`\twhere a=1 and b = -2.5e-3",
        "select * from `My Table` where a=? and b = -?",
    ),
    ('SELECT "double ""quoted"" text"', "select ?"),
    (r"SELECT 'it\'s', 'it''s', '\\'", "select ?, ?, ?"),
    ("SELECT * FROM t1 WHERE id2 = 3", "select * from t1 where id2 = ?"),
    ("SELECT 0xDEADBEEF, x'ff', b'01', N'n', _utf8mb4 'x', _binary'y'", "select ?, ?, ?, ?, ?, ?"),
    ("SELECT 1 /* secret */ + 2 -- secret\n # secret\n", "select ? + ?"),
    ("SELECT a FROM t WHERE a IN (1, 2,3 , 4)", "select a from t where a in (?+)"),
    ("INSERT INTO t VALUES (1,'a'),(2,'b'), (-3,'c')", "insert into t values (?+)"),
    ("SELECT @a, @@wait_timeout", "select @a, @@wait_timeout"),
    ("SELECT 'never closed, secret", "select ?"),
    ("SELECT /* never closed, secret", "select"),
    ("SELECT 5--1", "select ?--?"),
    (
        "SELECT 0, id FROM t WHERE a = 'a' UNION ALL SELECT 1, id FROM t WHERE a = 'b'",
        "select ?, id from t where a = ? union all …",
    ),
    ("KILL 1234", "kill ?"),
    ("", ""),
]


@pytest.mark.parametrize(("statement", "expected"), TABLE)
def test_fingerprint(statement: str, expected: str) -> None:
    assert fingerprint(statement) == expected


@given(st.text(alphabet=string.printable + "äß€'\\\"", min_size=1), st.text(min_size=1))
def test_no_value_shows(one: str, other: str) -> None:
    statement = f"SELECT a FROM t WHERE a = '{escape_string(one)}' AND b = '{escape_string(other)}'"
    assert fingerprint(statement) == "select a from t where a = ? and b = ?"


@given(
    st.one_of(
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.decimals(allow_nan=False, allow_infinity=False),
    )
)
def test_no_number_shows(number: object) -> None:
    assert fingerprint(f"SELECT a FROM t WHERE a = {number} LIMIT 5") in (
        "select a from t where a = ? limit ?",
        "select a from t where a = -? limit ?",
    )


@given(st.text(alphabet="'\"`\\/*-# \nxbn_19.eE@", max_size=200))
def test_anything_can_be_read(statement: str) -> None:
    found = fingerprint(statement)
    assert "'" not in NAME.sub("", found)
    assert len(found) <= LONGEST + 1


def test_long_statement_is_cut() -> None:
    columns = ", ".join(f"column_{number}_" for number in range(200))
    assert len(fingerprint(f"SELECT {columns}")) == LONGEST + 1
