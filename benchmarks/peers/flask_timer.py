"""The hourly timer class: one connection, made anew once it is an hour old.

A PyMySQL connection serves one caller at a time, so the 16 threads take turns.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import pymysql

from benchmarks.peers.contract import connect_arguments, database_name
from benchmarks.peers.flask_routes import Execute, execute_on, make_app, transaction_on

HOUR = 3600.0


class HourlyConnection:
    """Hands out its connection; replaces it when an hour has passed."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._connection: pymysql.connections.Connection | None = None
        self._made = 0.0

    def get(self) -> "pymysql.connections.Connection":
        """Return the connection; the caller holds the lock."""
        if self._connection is None or time.monotonic() - self._made > HOUR:
            if self._connection is not None:
                self._connection.close()
            arguments = connect_arguments()
            self._connection = pymysql.connect(
                **arguments, database=database_name(), autocommit=True
            )
            self._made = time.monotonic()
        return self._connection


hourly = HourlyConnection()


@contextmanager
def reading() -> Iterator[Execute]:
    """Wait for the turn and lend the connection."""
    with hourly.lock:
        yield execute_on(hourly.get())


@contextmanager
def writing() -> Iterator[Execute]:
    """The same in a transaction."""
    with hourly.lock, transaction_on(hourly.get()) as execute:
        yield execute


app = make_app(reading, writing, duplicate=pymysql.err.IntegrityError)
