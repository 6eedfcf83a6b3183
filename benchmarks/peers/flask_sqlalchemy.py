"""SQLAlchemy's pool with ``pool_recycle=3600``; ``PEER_PRE_PING=1`` adds ``pool_pre_ping``.

A connection for each of the 16 threads (5 and 10 more would be the pool's own default).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import IntegrityError

from benchmarks.peers.contract import Row, connect_arguments, database_name
from benchmarks.peers.flask_routes import Execute, make_app

where = connect_arguments()
engine = create_engine(
    URL.create(
        "mysql+pymysql",
        username=where["user"],
        password=where["password"],
        host=where["host"],
        port=where["port"],
        database=database_name(),
    ),
    pool_size=16,
    pool_recycle=3600,
    pool_pre_ping=os.environ.get("PEER_PRE_PING") == "1",
)


def execute_on(connection: Connection) -> Execute:
    """Return *execute* for an SQLAlchemy connection."""

    def execute(sql: str, args: tuple[object, ...]) -> Sequence[Row]:
        result = connection.exec_driver_sql(sql, args)
        return result.all() if result.returns_rows else ()

    return execute


@contextmanager
def reading() -> Iterator[Execute]:
    """Lend a connection of the pool."""
    with engine.connect() as connection:
        yield execute_on(connection)


@contextmanager
def writing() -> Iterator[Execute]:
    """Lend it in a transaction."""
    with engine.begin() as connection:
        yield execute_on(connection)


app = make_app(reading, writing, duplicate=IntegrityError)
