"""The original poster's own repair: one global connection, and a retry around ``cursor()``.

``cursor()`` does no I/O, so the retry never runs. One caller at a time, as in ``flask_timer``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

import pymysql
from pymysql.cursors import Cursor

from benchmarks.peers.contract import Row, connect_arguments, database_name
from benchmarks.peers.flask_routes import Execute, make_app


class Database:
    """One connection; a new one if making a cursor fails."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.connection: pymysql.connections.Connection | None = None

    def connect(self) -> "pymysql.connections.Connection":
        """Open the connection."""
        arguments = connect_arguments()
        self.connection = pymysql.connect(**arguments, database=database_name(), autocommit=True)
        return self.connection

    def cursor(self) -> Cursor:
        """Return a cursor; connect again when that fails, which it never does."""
        try:
            return (self.connection or self.connect()).cursor()
        except pymysql.Error:
            return self.connect().cursor()

    def execute(self, sql: str, args: tuple[object, ...]) -> Sequence[Row]:
        """Run one statement on a cursor of its own."""
        with self.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()


database = Database()


@contextmanager
def reading() -> Iterator[Execute]:
    """Wait for the turn and lend the connection."""
    with database.lock:
        yield database.execute


@contextmanager
def writing() -> Iterator[Execute]:
    """The same in a transaction."""
    with database.lock:
        database.execute("BEGIN", ())
        try:
            yield database.execute
        except BaseException:
            database.execute("ROLLBACK", ())
            raise
        database.execute("COMMIT", ())


app = make_app(reading, writing, duplicate=pymysql.err.IntegrityError)
