"""The journal: what counts as a change, when it is for good, and when it is taken back."""

import asyncio
from dataclasses import dataclass

import pytest

from quart_app.mysql import journal
from quart_app.mysql.journal import Effect, Journal, effect_of


@dataclass
class Connection:
    """As much of a connection as the journal looks at."""

    in_transaction: bool = False
    autocommit: bool = True

    def get_autocommit(self) -> bool:
        return self.autocommit


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select city_id from city where city = 'x; DROP TABLE y'",
        "  ( SELECT COUNT(*) FROM city ) UNION ALL (SELECT 2)",
        "SELECT a FROM t WHERE b IN (1, 2) AND c = 'it''s INTO' FOR UPDATE",
        "SELECT 1;",
        "SHOW TABLES",
        "SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "SET NAMES utf8mb4",
        "SET SESSION sql_mode = 'autocommit'",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "USE other",
    ],
)
def test_harmless(sql: str) -> None:
    assert effect_of(sql.encode()) is Effect.NONE


@pytest.mark.parametrize(
    ("sql", "effect"),
    [
        ("INSERT INTO t VALUES (1)", Effect.CHANGE),
        ("update t set a = 1;", Effect.CHANGE),
        ("WITH x AS (SELECT 1) DELETE FROM t", Effect.CHANGE),
        ("SELECT my_function(1)", Effect.CHANGE),
        ("SELECT `my_function` (1)", Effect.CHANGE),
        ("SELECT NEXTVAL(s)", Effect.CHANGE),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", Effect.AT_ONCE),
        ("SELECT @a := 1", Effect.AT_ONCE),
        ("SELECT 1 /*!50000 INTO OUTFILE 'x' */", Effect.AT_ONCE),
        ("SELECT 1; DELETE FROM t", Effect.AT_ONCE),
        ("INSERT INTO t VALUES (';'); COMMIT", Effect.AT_ONCE),
        ("CALL p()", Effect.AT_ONCE),
        ("ALTER TABLE t ADD a INT", Effect.AT_ONCE),
        ("/* hidden */ UPDATE t SET a = 1", Effect.AT_ONCE),
        ("SET GLOBAL wait_timeout = 1", Effect.AT_ONCE),
        ("SET PASSWORD = 'x'", Effect.AT_ONCE),
        ("SET AUTOCOMMIT = 1", Effect.SETTLE),
        ("SET @a = 1, autocommit = 1", Effect.SETTLE),
        ("COMMIT", Effect.SETTLE),
        ("BEGIN", Effect.SETTLE),
        ("START TRANSACTION READ ONLY", Effect.SETTLE),
        ("ROLLBACK", Effect.ROLLBACK),
        ("ROLLBACK AND CHAIN", Effect.AT_ONCE),
        ("SELECT 'no end", Effect.AT_ONCE),
        ('SELECT "', Effect.AT_ONCE),
        ("SELECT `a", Effect.AT_ONCE),
        ("INSERT INTO t VALUES (';", Effect.AT_ONCE),
    ],
)
def test_not_harmless(sql: str, effect: Effect) -> None:
    assert effect_of(sql.encode()) is effect


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT '" + b"x;" * 500_000 + b"'",
        b'SELECT "' + b"\\'" * 300_000,
        b"SELECT " + b"''" * 500_000,
        b"INSERT INTO t VALUES ('" + b"''" * 500_000 + b";')",
        b"SELECT " + b"f (" * 300_000,
    ],
    ids=["long", "open", "quotes", "insert", "calls"],
)
@pytest.mark.timeout(10)
def test_a_statement_of_a_megabyte_is_read_at_once(sql: bytes) -> None:
    assert effect_of(sql) in Effect


def _changed(*statements: str, connection: Connection | None = None) -> bool:
    connection = connection or Connection()
    with Journal() as kept:
        for statement in statements:
            journal.sent(connection, statement.encode())
            if statement in {"BEGIN", "COMMIT", "ROLLBACK"}:
                connection.in_transaction = statement == "BEGIN"
    return kept.changed


def test_reading_changes_nothing() -> None:
    assert not _changed("SELECT 1", "BEGIN", "SELECT 2", "COMMIT")


def test_an_insert_outside_a_transaction_is_for_good() -> None:
    assert _changed("INSERT INTO t VALUES (1)")


def test_an_insert_in_a_transaction_is_for_good_with_its_commit() -> None:
    assert not _changed("BEGIN", "INSERT INTO t VALUES (1)")
    assert not _changed("BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK", "BEGIN", "COMMIT")
    assert _changed("BEGIN", "INSERT INTO t VALUES (1)", "COMMIT")
    assert _changed("BEGIN", "INSERT INTO t VALUES (1)", "CREATE TABLE x (a INT)")


def test_a_begin_commits_what_was_open() -> None:
    assert _changed("BEGIN", "INSERT INTO t VALUES (1)", "BEGIN")


def test_without_autocommit_every_change_waits_for_commit() -> None:
    assert not _changed("INSERT INTO t VALUES (1)", connection=Connection(autocommit=False))
    manual = Connection(autocommit=False)
    assert _changed("INSERT INTO t VALUES (1)", "COMMIT", connection=manual)


@pytest.mark.parametrize("errno", [4031, 1290, 1836, 1047, 1213, 1205, 1040])
def test_a_refused_change_is_taken_back(errno: int) -> None:
    connection = Connection()
    with Journal() as kept:
        journal.sent(connection, b"UPDATE t SET a = 1")
        journal.refused(connection, errno)
        assert not kept.changed
        journal.refused(connection, errno)
        assert not kept.changed


@pytest.mark.parametrize("errno", [1062, 1317, 1053, 2013])
def test_an_error_that_proves_nothing_takes_nothing_back(errno: int) -> None:
    connection = Connection()
    with Journal() as kept:
        journal.sent(connection, b"UPDATE t SET a = 1")
        journal.refused(connection, errno)
        assert kept.changed


def test_a_refused_statement_takes_back_itself_only() -> None:
    first, second = Connection(), Connection()
    with Journal() as kept:
        journal.sent(first, b"UPDATE t SET a = 1")
        journal.sent(second, b"UPDATE t SET a = 1")
        journal.refused(second, 1213)
        assert kept.changed
        journal.sent(first, b"SELECT 1")
        journal.refused(first, 1213)
        assert kept.changed


def test_a_refused_commit_leaves_its_changes_open() -> None:
    connection = Connection(in_transaction=True)
    with Journal() as kept:
        journal.sent(connection, b"INSERT INTO t VALUES (1)")
        journal.sent(connection, b"COMMIT")
        journal.refused(connection, 1290)
        assert not kept.changed
    with kept:
        journal.sent(connection, b"COMMIT")
    assert [kept.changed] == [True]


def test_where_nobody_keeps_a_journal_nothing_is_kept() -> None:
    connection = Connection()
    with Journal() as kept:
        pass
    journal.sent(connection, b"DROP TABLE t")
    journal.refused(connection, 1213)
    assert not kept.changed


async def test_child_tasks_write_to_the_same_journal() -> None:
    async def child() -> None:
        journal.sent(Connection(), b"DELETE FROM t")

    with Journal() as kept:
        await asyncio.create_task(child())
    assert kept.changed
