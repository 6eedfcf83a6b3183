"""A connection per request, kept on ``g`` and closed when the app context is torn down."""

from collections.abc import Iterator
from contextlib import contextmanager

import pymysql
from flask import g

from benchmarks.peers.contract import connect_arguments, database_name
from benchmarks.peers.flask_routes import Execute, execute_on, make_app, transaction_on


def connection() -> "pymysql.connections.Connection":
    """Return the request's connection; open it at its first use."""
    opened: pymysql.connections.Connection | None = g.get("connection")
    if opened is None:
        arguments = connect_arguments()
        opened = pymysql.connect(**arguments, database=database_name(), autocommit=True)
        g.connection = opened
    return opened


@contextmanager
def reading() -> Iterator[Execute]:
    """Lend the request's connection."""
    yield execute_on(connection())


@contextmanager
def writing() -> Iterator[Execute]:
    """Lend it in a transaction."""
    with transaction_on(connection()) as execute:
        yield execute


app = make_app(reading, writing, duplicate=pymysql.err.IntegrityError)


@app.teardown_appcontext
def close_connection(_error: BaseException | None) -> None:
    """Close what the request opened."""
    opened = g.pop("connection", None)
    if opened is not None:
        opened.close()
