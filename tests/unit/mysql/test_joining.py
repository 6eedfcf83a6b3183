"""Which statements may be joined, and what the joined one looks like."""

import pytest

from quart_app.mysql import joining

JOINED = [
    "SELECT * FROM t WHERE a = %s",
    "SELECT DISTINCT a FROM t WHERE b = %s",
    "select t.a, u.b from t join u on t.x = u.x where u.y = %s and t.z = %s",
    "SELECT a FROM t WHERE b = %s ORDER BY c DESC LIMIT 1",
    "SELECT (SELECT COUNT(*) FROM u WHERE u.x = t.x) FROM t WHERE a = %s",
    "SELECT EXTRACT(YEAR FROM d) FROM t WHERE a = %s",
    "SELECT `from` FROM t WHERE a = %s",
    "SELECT 'a FROM b' FROM t WHERE a = %s",
    "SELECT a FROM t WHERE b LIKE '50%%' AND c = %s;",
    "SELECT a, COUNT(*) FROM t WHERE b = %s GROUP BY 1",
]
ALONE = {
    "no SELECT": "UPDATE t SET a = %s",
    "no FROM": "SELECT %s",
    "a parameter in the columns": "SELECT a, %s FROM t",
    "an order of several rows": "SELECT a FROM t WHERE b = %s ORDER BY a",
    "a limit without an order": "SELECT a FROM t WHERE b = %s LIMIT 5",
    "a union already": "SELECT a FROM t WHERE b = %s UNION SELECT 1",
    "a common table": "WITH x AS (SELECT 1) SELECT * FROM x WHERE 1 = %s",
    "a lock": "SELECT a FROM t WHERE b = %s FOR UPDATE",
    "a shared lock": "SELECT a FROM t WHERE b = %s LOCK IN SHARE MODE",
    "a file": "SELECT a FROM t WHERE b = %s INTO OUTFILE 'x'",
    "a variable": "SELECT a FROM t WHERE b = %s AND c = @c",
    "two statements": "SELECT a FROM t WHERE b = %s; SELECT 1",
    "a comment": "SELECT a FROM t WHERE b = %s -- and no more",
    "code in a comment": "SELECT /*! STRAIGHT_JOIN */ a FROM t WHERE b = %s",
    "parentheses that do not match": "SELECT (a FROM t WHERE b = %s",
    "another value each time": "SELECT a, RAND() FROM t WHERE b = %s",
    "nothing": "",
}


@pytest.mark.parametrize("sql", JOINED)
def test_plain_select_can_be_joined(sql: str) -> None:
    assert joining.split(sql) is not None


@pytest.mark.parametrize("sql", ALONE.values(), ids=ALONE)
def test_what_would_mean_something_else_in_a_union_is_left_alone(sql: str) -> None:
    assert joining.split(sql) is None


def test_number_of_the_call_is_the_last_column() -> None:
    parts = joining.split("SELECT a, b FROM t WHERE c = %s ORDER BY 1 LIMIT 1;")
    assert parts is not None
    assert joining.join(parts, 2) == (
        "(SELECT a, b, 0 FROM t WHERE c = %s ORDER BY 1 LIMIT 1)"
        " UNION ALL (SELECT a, b, 1 FROM t WHERE c = %s ORDER BY 1 LIMIT 1)"
    )


def test_from_inside_quotes_and_parentheses_is_not_the_one() -> None:
    parts = joining.split("SELECT 'x FROM y', (SELECT 1 FROM u LIMIT 1) FROM t WHERE a = %s")
    assert parts == ("SELECT 'x FROM y', (SELECT 1 FROM u LIMIT 1)", "FROM t WHERE a = %s")
