"""A connection whose statements somebody watches: a slow-query log, a tracer.

A class of its own, so that where nobody watches nothing is asked for each statement.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from quart_app.mysql.driver.connection import Connection
from quart_app.mysql.driver.statements import NEXT
from quart_app.mysql.driver.values import Result

# Entered before a statement is sent, left when its answer is there, or with what went wrong.
Watch = Callable[[bytes], AbstractContextManager[object]]


class WatchedConnection(Connection):
    """A Connection that runs every statement within *watch*. Of streamed rows the first ends it."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch_statement = watch

    async def _run(self, query: bytes, *, touches: str = "", text: bool = False) -> Result:
        with self._watch_statement(NEXT.join([*(each.data for each in self._ahead), query])):
            return await super()._run(query, touches=touches, text=text)

    async def query(self, sql: Any, unbuffered: bool = False) -> int:
        payload = sql if isinstance(sql, bytes) else str(sql).encode("utf-8", "surrogateescape")
        with self._watch_statement(payload):
            return await super().query(sql, unbuffered)
