"""Reads rows as JSON, and remembers for each statement how its server can do most of the work."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from quart_app.mysql import rowjson
from quart_app.mysql.driver import Result
from quart_app.mysql.errors import QueryError

# Column types are looked at again this often: a migration may have changed them.
REMEMBER = 60.0
MAX_PLANS = 1000

Args = Sequence[object] | Mapping[str, object] | None


class Reader(Protocol):
    """The session, as seen from here."""

    async def read(self, sql: str, args: Args, *, text: bool = False) -> Result: ...


class JSONReader:
    """Turns the rows of SELECTs into JSON objects."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._plans: dict[str, tuple[str | None, float]] = {}

    async def read(self, sql: str, args: Args) -> list[str]:
        """Read each row as an object; waits, retries and raises as every read does.

        The first time, and once a minute, the statement runs as it is, to learn its columns.
        """
        planned, until = self._plans.get(sql, (None, 0.0))
        now = asyncio.get_running_loop().time()
        if planned is not None and now < until:
            objects = await self._by_server(sql, planned, args)
            if objects is not None:
                return objects
        result = await self._reader.read(sql, args, text=True)
        rowjson.check(result.columns, result.kinds)
        if now >= until:
            self._remember(sql, result, now + REMEMBER, with_args=args is not None)
        return rowjson.from_text(result.columns, result.kinds, result.rows)

    def _remember(self, sql: str, result: Result, until: float, *, with_args: bool) -> None:
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        text = sql if with_args else sql.replace("%", "%%")
        self._plans[sql] = (rowjson.plan(text, result.columns, result.kinds), until)

    async def _by_server(self, sql: str, planned: str, args: Args) -> list[str] | None:
        """Have the server write the objects; None if it cannot after all.

        An object longer than max_allowed_packet is NULL on one server and an error on the other.
        """
        objects: list[str | None] = [None]
        with contextlib.suppress(QueryError):
            result = await self._reader.read(planned, () if args is None else args, text=True)
            objects = [row[0] for row in result.rows]
        written = [each for each in objects if each is not None]
        if len(written) < len(objects):
            self._plans[sql] = (None, asyncio.get_running_loop().time() + REMEMBER)
            return None
        return written
