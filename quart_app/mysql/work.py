"""Transactions: a block that is done once, and work that is done until it is done.

``transaction()`` cannot run its block again; ``run()`` can, because it is given the work as a
function. What is safe to run again is decided in classify.py, how often in retry.py.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from quart_app.mysql.borrower import Borrower, Held
from quart_app.mysql.classify import Intent, Phase
from quart_app.mysql.driver import Connection, as_database_error
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.retry import Attempts
from quart_app.mysql.transaction import Isolation, Transaction

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


class Worker(Borrower):
    """Runs work in transactions on a pool."""

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, readonly: bool = False
    ) -> AsyncIterator[Connection]:
        """COMMIT at the end of the block, ROLLBACK if it raises; never run again by itself.

        Within a transaction it is a savepoint, which can have no *isolation* and no *readonly* of
        its own (ValueError). Raises CommitUnknown if the answer to COMMIT is lost.
        """
        held = self._mine()
        if held is None:
            attempts = self._attempts(Intent.WRITE)
            async with self._fresh(attempts, isolation=isolation, readonly=readonly) as connection:
                yield connection
        elif held.transaction is not None or held.connection.in_transaction:
            if isolation is not None or readonly:
                raise ValueError("a savepoint has the isolation of its transaction")
            async with _enclosing(held).savepoint() as connection:
                yield connection
        else:
            async with _on_held(held, isolation=isolation, readonly=readonly) as connection:
                yield connection

    async def run(self, work: Work[T], *, idempotent: bool, timeout: float | None = None) -> T:
        """Do *work* in a transaction, as often as it takes, until the deadline.

        *work* may touch nothing but the database: all of it is done again, on another connection,
        after a lost connection, a deadlock or a demoted server. Only a lost answer to COMMIT leaves
        a doubt: then *idempotent* work is done again, other work raises CommitUnknown.

        Arguments:
            *work*: gets the connection; calls of this session within it use the same.
            *timeout*: seconds for all tries together; a nearer ambient deadline wins.

        In a block of this task that holds a connection it is done once, as transaction() would be.
        """
        if self._mine() is not None:
            async with self.transaction() as connection:
                return await work(connection)
        attempts = self._attempts(Intent.IDEMPOTENT if idempotent else Intent.WRITE, timeout)
        while True:
            with attempts.limit():
                transaction = Transaction(await self._borrow(attempts))
                transaction.begin_late()
                try:
                    result = await self._try(attempts, transaction, work)
                except DatabaseError:
                    pass  # noted by _try; again() raises it if it must be
                else:
                    attempts.succeeded()
                    return result
                finally:
                    self.pool.release(transaction.connection)
            await attempts.again()

    async def _try(self, attempts: Attempts, transaction: Transaction, work: Work[T]) -> T:
        """Do *work* once and commit. Tells *attempts* of every DatabaseError it raises."""
        connection = transaction.connection
        connection.expendable = True  # nothing lasts before COMMIT
        try:
            with self._holding(connection, transaction):
                result = await work(connection)
            connection.expendable = attempts.intent is Intent.IDEMPOTENT
            await transaction.commit()
        except BaseException as exc:
            error = as_database_error(exc)
            if error is not None:
                attempts.failed(
                    error, transaction.phase, connection=connection, in_transaction=True
                )
            await transaction.abandon(exc)
            if error is None or error is exc:
                raise
            raise error from exc
        return result

    @asynccontextmanager
    async def _fresh(
        self, attempts: Attempts, *, isolation: Isolation | None, readonly: bool
    ) -> AsyncIterator[Connection]:
        transaction = await self._begin(attempts, isolation=isolation, readonly=readonly)
        connection = transaction.connection
        try:
            with self._holding(connection, transaction):
                async with transaction.settled():
                    yield connection
        finally:
            self.pool.release(connection)

    async def _begin(
        self, attempts: Attempts, *, isolation: Isolation | None = None, readonly: bool = False
    ) -> Transaction:
        """Borrow a connection and open a transaction; nothing of this can happen twice."""
        while True:
            connection = await self._borrow(attempts)
            transaction = Transaction(connection, isolation=isolation, readonly=readonly)
            try:
                with attempts.limit():
                    await transaction.begin()
            except DatabaseError as error:
                attempts.failed(error, Phase.BEGIN, connection=connection)
                self.pool.release(connection)
            except BaseException:
                connection.evict("cancelled")
                self.pool.release(connection)
                raise
            else:
                return transaction
            await attempts.again()


def _enclosing(held: Held) -> Transaction:
    """The transaction that is open; one begun by hand is taken as it is."""
    return held.transaction or Transaction.adopt(held.connection)


@asynccontextmanager
async def _on_held(
    held: Held, *, isolation: Isolation | None, readonly: bool
) -> AsyncIterator[Connection]:
    transaction = Transaction(held.connection, isolation=isolation, readonly=readonly)
    await transaction.begin()
    held.transaction = transaction
    try:
        async with transaction.settled():
            yield held.connection
    finally:
        held.transaction = None
