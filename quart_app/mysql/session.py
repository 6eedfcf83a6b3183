"""What a coroutine uses: statements, transactions, and one connection for all of it where it says so.

A Session is no state of one task: one per pool serves them all. Outside a ``connection()`` or
``transaction()`` block every call borrows a connection for its statement only; inside, all calls of
the same task (not of its child tasks) share the block's connection, and nothing is retried.
"""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, LiteralString

from quart_app.mysql.backoff import Uniform
from quart_app.mysql.batch import Lookup
from quart_app.mysql.borrower import Held
from quart_app.mysql.classify import Intent, Phase
from quart_app.mysql.config import RetryPolicy
from quart_app.mysql.driver import Connection, Deferred, Result
from quart_app.mysql.errors import DatabaseError, QueryError
from quart_app.mysql.jsonreader import JSONReader
from quart_app.mysql.many import Args, run_many
from quart_app.mysql.pool import Pool
from quart_app.mysql.replicas import Replicas
from quart_app.mysql.work import Worker

Row = tuple[Any, ...]


# Texts remembered. A caller that makes up a new one each time shares no round trips, and no memory.
MAX_LOOKUPS = 1000


class Session(Worker):
    """Statements and transactions on a pool, retried where that is proven safe.

    Everything here waits for a connection and for the server, until the ambient deadline. It raises
    DatabaseError in all its kinds (errors.py); on cancellation the connection in use is closed if
    its statement was under way. On a closed pool it raises PoolClosed.
    """

    def __init__(
        self, pool: Pool, retry: RetryPolicy | None = None, *, uniform: Uniform = random.uniform
    ) -> None:
        super().__init__(pool, retry, uniform=uniform)
        self._lookups: dict[str, Lookup] = {}
        self._json = JSONReader(self)
        self.replicas: Replicas | None = None

    async def fetch_all(self, sql: LiteralString, args: Args = None) -> list[Row]:
        """Read all rows; tried again on another connection until the deadline."""
        return (await self._run(sql, args, Intent.READ)).rows

    async def fetch_first(self, sql: LiteralString, args: Args = None) -> Row | None:
        """Read the first row, None if there is none. The server sends the others too: LIMIT 1."""
        rows = (await self._run(sql, args, Intent.READ)).rows
        return rows[0] if rows else None

    async def fetch_sole(self, sql: LiteralString, args: Args = None) -> Row:
        """Read the one row there is. Raises QueryError if there is none, or more than one."""
        rows = (await self._run(sql, args, Intent.READ)).rows
        if len(rows) != 1:
            raise QueryError(f"expected exactly one row, found {len(rows)}")
        return rows[0]

    async def fetch_val(self, sql: LiteralString, args: Args = None) -> Any:
        """Read the first value of the first row; None if there is no row."""
        row = await self.fetch_first(sql, args)
        return row[0] if row else None

    async def fetch_json(self, sql: LiteralString, args: Args = None) -> bytes:
        """Read all rows as one JSON array of objects, in the statement's order.

        The server builds the objects where it can (rowjson.py). Raises QueryError for binary
        columns and for two columns of one name.
        """
        return ("[" + ",".join(await self._json.read(sql, args)) + "]").encode()

    async def fetch_json_rows(self, sql: LiteralString, args: Args = None) -> list[str]:
        """Read as fetch_json() does, each object by itself; for pages that need the last one."""
        return await self._json.read(sql, args)

    def lookup(self, sql: LiteralString) -> Lookup:
        """A SELECT whose concurrent calls share round trips: ``rows = await db.lookup(sql)(name)``.

        The same object for the same text, so it may be asked for at every use.
        """
        lookup = self._lookups.get(sql)
        if lookup is None:
            lookup = Lookup(self, sql)
            if len(self._lookups) < MAX_LOOKUPS:
                self._lookups[sql] = lookup
        return lookup

    def holds_connection(self) -> bool:
        """Whether the running task holds one: then everything it does is done on that."""
        return self._mine() is not None

    async def read(self, sql: str, args: Args, *, text: bool = False) -> Result:
        """Read as fetch_all() does, the whole Result; for SQL that is put together.

        With *text*, the values are strings, as the server wrote them.
        """
        return await self._run(sql, args, Intent.READ, text=text)

    def observe_batch(self, size: int) -> None:
        """Tell the observer how many lookups went out together."""
        self.pool.observer.batched(size=size)

    async def execute(
        self, sql: LiteralString, args: Args = None, *, idempotent: bool = False
    ) -> Result:
        """Run a statement that changes something.

        Tried again only if it is proven not executed, or *idempotent*: running it twice leaves what
        running it once leaves. A ConnectionLost with ``sent`` says that it may have been executed.
        """
        return await self._run(sql, args, Intent.IDEMPOTENT if idempotent else Intent.WRITE)

    def defer(self, sql: LiteralString, args: Args = None) -> Deferred:
        """In a transaction: send a statement together with the next one, in one round trip.

        If it fails the next one is not begun, and its call raises the error. The Result is in what
        is returned, after the next. Raises QueryError outside of a transaction.
        """
        held = self._mine()
        if held is None or held.transaction is None:
            raise QueryError("a statement can wait for the next only in a transaction")
        held.transaction.assume_open()
        return held.connection.defer(sql, args)

    async def execute_many(self, sql: LiteralString, rows: Sequence[Args]) -> Result:
        """Run one statement for every one of *rows*: all of them or none.

        INSERT … VALUES goes out in batches, within one transaction (or savepoint).
        """

        async def work(connection: Connection) -> Result:
            return await run_many(connection, sql, rows)

        return await self.run(work, idempotent=False)

    async def iterate(self, sql: LiteralString, args: Args = None) -> AsyncGenerator[Row, None]:
        """Read row by row, holding one at a time. Retried only before the first row is out.

        The connection is borrowed until the last row. Left early it is closed: use
        ``contextlib.aclosing`` for that to happen at once. An ambient deadline limits it as a whole,
        ``statement_timeout`` only the wait for each row.
        """
        held = self._mine()
        rows = self._stream(sql, args) if held is None else held.connection.stream(sql, args)
        async with aclosing(rows):
            async for row in rows:
                yield row

    async def _stream(self, sql: LiteralString, args: Args) -> AsyncGenerator[Row, None]:
        attempts, begun = self._attempts(Intent.READ), False
        while True:
            connection = await self._borrow(attempts)
            try:
                async with aclosing(connection.stream(sql, args)) as rows:
                    async for row in rows:
                        begun = True
                        yield row
            except DatabaseError as error:
                attempts.failed(error, Phase.STATEMENT, connection=connection)
                if begun:
                    raise
            else:
                attempts.succeeded()
                return
            finally:
                self.pool.release(connection)
            await attempts.again()

    async def _run(self, sql: str, args: Args, intent: Intent, *, text: bool = False) -> Result:
        held = self._mine()
        if held is not None:
            return await self._run_held(held, sql, args, text=text)
        attempts = self._attempts(intent)
        if self.replicas is not None and intent is Intent.READ:
            with attempts.limit():
                result = await self.replicas.read(sql, args, text=text)
            if result is not None:
                return result
        while True:
            connection = await self._borrow(attempts)
            connection.expendable = intent is not Intent.WRITE
            try:
                with attempts.limit():
                    result = await connection.run(sql, args, text=text)
            except DatabaseError as error:
                attempts.failed(error, Phase.STATEMENT, connection=connection)
            else:
                attempts.succeeded()
                return result
            finally:
                self.pool.release(connection)
            await attempts.again()

    async def _run_held(self, held: Held, sql: str, args: Args, *, text: bool) -> Result:
        if held.transaction is not None:
            held.transaction.assume_open()
        try:
            return await held.connection.run(sql, args, text=text)
        except DatabaseError as error:
            self._note(held.connection, error)
            raise
