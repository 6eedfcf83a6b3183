"""Who holds which connection: borrowing under a deadline, and one connection for one task.

The pool lends to anybody who asks; here is remembered what the running task already has, so that
it is not lent a second one (and a task never waits for a connection it holds itself).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from quart_app.mysql.backoff import Uniform
from quart_app.mysql.classify import Intent, Phase, judge
from quart_app.mysql.config import RetryPolicy
from quart_app.mysql.driver import Connection, as_database_error
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.pool import Pool
from quart_app.mysql.retry import Attempts, evict
from quart_app.mysql.transaction import Transaction


class Held:
    """A connection that a task holds on to, and the transaction on it, if any."""

    __slots__ = ("connection", "transaction")

    def __init__(self, connection: Connection, transaction: Transaction | None) -> None:
        self.connection = connection
        self.transaction = transaction


class Borrower:
    """What every way of using a pool has in common.

    Arguments:
        *retry*: how long and how often; its timeout counts where no deadline is ambient.
        *uniform*: the source of jitter.
    """

    def __init__(
        self, pool: Pool, retry: RetryPolicy | None = None, *, uniform: Uniform = random.uniform
    ) -> None:
        self.pool = pool
        self._policy = retry or RetryPolicy()
        self._uniform = uniform
        # Keyed by task, not in a contextvar: child tasks inherit those, and may not share a connection.
        self._held: dict[asyncio.Task[Any] | None, Held] = {}

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Hold one connection for everything this task does in the block; nested: the same one.

        Waits for the pool until the ambient deadline; raises PoolError, ConnectError.
        """
        held = self._mine()
        if held is not None:
            yield held.connection
            return
        connection = await self._borrow(self._attempts(Intent.WRITE))
        try:
            with self._holding(connection, None):
                yield connection
        finally:
            self.pool.release(connection)

    def _attempts(self, intent: Intent, timeout: float | None = None) -> Attempts:
        return Attempts(
            self.pool, self._policy, intent=intent, timeout=timeout, uniform=self._uniform
        )

    async def _borrow(self, attempts: Attempts) -> Connection:
        """Get a connection; while the server is away wait for it, within the deadline."""
        while True:
            try:
                connection = self.pool.take_idle_or_none()
                if connection is not None:
                    return connection
                with attempts.limit():
                    return await self.pool.acquire()
            except DatabaseError as error:
                attempts.failed(error, Phase.ACQUIRE)
            await attempts.again()

    def _mine(self) -> Held | None:
        return self._held.get(asyncio.current_task()) if self._held else None

    @contextmanager
    def _holding(self, connection: Connection, transaction: Transaction | None) -> Iterator[Held]:
        """Have every call of this task use *connection*; note what errors say about it."""
        task = asyncio.current_task()
        held = self._held[task] = Held(connection, transaction)
        try:
            yield held
        except Exception as exc:
            self._note(connection, exc)
            raise
        finally:
            del self._held[task]

    def _note(self, connection: Connection, exc: Exception) -> None:
        """Take *connection*, or all of its kind, out of use if *exc* says so."""
        error = as_database_error(exc)
        if error is not None:
            in_transaction = connection.in_transaction
            verdict = judge(
                error, phase=Phase.STATEMENT, intent=Intent.WRITE, in_transaction=in_transaction
            )
            evict(self.pool, connection, verdict.evict, error)
