"""DBUtils PersistentDB: a connection per thread, checked when asked for, reopened if lost."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pymysql
from dbutils.persistent_db import PersistentDB

from benchmarks.peers.contract import connect_arguments, database_name
from benchmarks.peers.flask_routes import Execute, execute_on, make_app, transaction_on

persistent = PersistentDB(
    creator=pymysql, **connect_arguments(), database=database_name(), autocommit=True
)


@contextmanager
def reading() -> Iterator[Execute]:
    """Lend the thread's connection."""
    with closing(persistent.connection()) as connection:
        yield execute_on(connection)


@contextmanager
def writing() -> Iterator[Execute]:
    """Lend it in a transaction: begin() also stops DBUtils from reconnecting inside it."""
    with closing(persistent.connection()) as connection, transaction_on(connection) as execute:
        yield execute


app = make_app(reading, writing, duplicate=pymysql.err.IntegrityError)
