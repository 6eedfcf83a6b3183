"""A connection per query: connect, execute, close. A transaction's statements share one."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pymysql

from benchmarks.peers.contract import connect_arguments, database_name
from benchmarks.peers.flask_routes import Execute, execute_on, make_app, transaction_on


def connect() -> "pymysql.connections.Connection":
    """Open a connection."""
    return pymysql.connect(**connect_arguments(), database=database_name(), autocommit=True)


@contextmanager
def reading() -> Iterator[Execute]:
    """Connect, lend, close."""
    with closing(connect()) as connection:
        yield execute_on(connection)


@contextmanager
def writing() -> Iterator[Execute]:
    """Connect, lend in a transaction, close."""
    with closing(connect()) as connection, transaction_on(connection) as execute:
        yield execute


app = make_app(reading, writing, duplicate=pymysql.err.IntegrityError)
