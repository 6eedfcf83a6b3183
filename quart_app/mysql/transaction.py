"""One transaction on one connection, and savepoints inside it.

Never runs anything twice: whether and how work is run again is decided in retry.py, which needs to
know from here only what was sent and what came of it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Self

from quart_app.mysql import deadline
from quart_app.mysql.classify import Intent, Phase, judge
from quart_app.mysql.driver import Connection, Deferred
from quart_app.mysql.errors import CommitUnknown, DatabaseError, QueryError

log = logging.getLogger("quart_app.mysql")

# A ROLLBACK that takes longer costs more than the connection it would save.
ROLLBACK_TIMEOUT = 1.0


class TransactionState(Enum):
    """How a transaction goes.

    NEW  -> OPEN                                       BEGIN was answered, or goes with what is next
    OPEN -> COMMITTED | UNKNOWN | ROLLED_BACK | LOST   COMMIT: done | no answer; or undone:
                                                       by ROLLBACK | with its connection
    """

    NEW = "new"
    OPEN = "open"
    COMMITTED = "committed"
    UNKNOWN = "unknown"
    ROLLED_BACK = "rolled back"
    LOST = "lost"


class Isolation(Enum):
    """SQL's four levels. None given: the server's, by default REPEATABLE READ."""

    READ_UNCOMMITTED = "READ UNCOMMITTED"
    READ_COMMITTED = "READ COMMITTED"
    REPEATABLE_READ = "REPEATABLE READ"
    SERIALIZABLE = "SERIALIZABLE"


class Transaction:
    """BEGIN, then commit() or abandon().

    Arguments:
        *isolation*: for this transaction only.
        *readonly*: the server refuses changes, and can do with less bookkeeping.
    """

    __slots__ = ("_depth", "connection", "isolation", "phase", "readonly", "state")

    def __init__(
        self, connection: Connection, *, isolation: Isolation | None = None, readonly: bool = False
    ) -> None:
        self.connection = connection
        self.isolation = isolation
        self.readonly = readonly
        self.state = TransactionState.NEW
        self.phase = Phase.STATEMENT  # COMMIT once that may have been carried out
        self._depth = 0

    @classmethod
    def adopt(cls, connection: Connection) -> Self:
        """Take over the transaction that is open on *connection*, for savepoints inside it."""
        transaction = cls(connection)
        transaction.state = TransactionState.OPEN
        return transaction

    async def begin(self) -> None:
        """Open it. Waits for the server; an error leaves nothing behind but a spent connection."""
        if self.isolation is not None:
            await self.connection.run(f"SET TRANSACTION ISOLATION LEVEL {self.isolation.value}")
        await self.connection.run("START TRANSACTION READ ONLY" if self.readonly else "BEGIN")
        self.state = TransactionState.OPEN

    def begin_late(self) -> None:
        """Open it with its first statement, in one round trip. For work that can be done again.

        An error of BEGIN is then raised by that statement, and the connection is closed: nothing
        can run outside of the transaction.
        """
        self.connection.defer("BEGIN")
        self.state = TransactionState.OPEN

    @asynccontextmanager
    async def settled(self) -> AsyncIterator[Connection]:
        """End the open transaction with the block: commit() after it, abandon() on an error."""
        try:
            yield self.connection
            await self.commit()
        except BaseException as exc:
            await self.abandon(exc)
            raise

    async def commit(self) -> None:
        """Make it last. Waits for the server.

        Raises CommitUnknown if COMMIT went out and no certain answer came back; QueryError if the
        transaction had been ended before, by the server or by a statement inside it. Where it
        raises anything else nothing was committed.
        """
        self.phase = Phase.COMMIT
        self.assume_open()
        ahead = self.connection.deferred
        try:
            await self.connection.run("COMMIT")
        except DatabaseError as error:
            if self._stopped_at(ahead):
                self.phase = Phase.STATEMENT
                raise
            if not judge(error, phase=Phase.COMMIT, intent=self.intent).unknown:
                raise
            self.state = TransactionState.UNKNOWN
            raise CommitUnknown(
                "COMMIT was sent and its answer was lost",
                errno=error.errno,
                sqlstate=error.sqlstate,
            ) from error
        except asyncio.CancelledError:
            self.state = TransactionState.UNKNOWN
            raise
        self.state = TransactionState.COMMITTED

    def _stopped_at(self, ahead: Sequence[Deferred]) -> bool:
        """Whether the server refused what was sent ahead of COMMIT, or none of it was sent.

        A connection that still lives has heard the server say so; of a lost one nobody knows.
        """
        return bool(ahead) and ahead[-1].result is None and not self.connection.closed

    async def abandon(self, error: BaseException) -> None:
        """Undo it because of *error*. Raises nothing.

        Waits for a ROLLBACK a second at most. After a cancellation, or past the deadline, it waits
        for nothing: the connection is closed on release, and the server rolls back.
        """
        if self.state is not TransactionState.OPEN:
            self.connection.evict("transaction failed")
            return
        if self.connection.forget_deferred():
            self.state = TransactionState.ROLLED_BACK
            return
        self.state = TransactionState.LOST
        if not isinstance(error, Exception) or deadline.passed():
            self.connection.evict("transaction abandoned")
            return
        try:
            with deadline.within(ROLLBACK_TIMEOUT):
                await self.connection.run("ROLLBACK")
        except DatabaseError as failed:
            log.debug("rollback failed, the connection is closed instead: %s", failed)
            self.connection.evict("rollback failed")
        else:
            self.state = TransactionState.ROLLED_BACK

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[Connection]:
        """Undo, on an error, what was done in this block only. Never retried.

        If the server has given up the whole transaction, or the connection is gone, there is
        nothing to go back to, and the outer block fails as well.
        """
        self.assume_open()
        self._depth += 1
        name = f"quart_app_{self._depth}"
        await self.connection.run(f"SAVEPOINT {name}")
        try:
            yield self.connection
        except Exception:
            await self._return_to(name)
            raise
        else:
            await self.connection.run(f"RELEASE SAVEPOINT {name}")
        finally:
            self._depth -= 1

    async def _return_to(self, name: str) -> None:
        if self.connection.closed or not self.connection.in_transaction:
            return
        try:
            await self.connection.run(f"ROLLBACK TO SAVEPOINT {name}")
        except DatabaseError as failed:
            log.debug("rollback to a savepoint failed: %s", failed)
            self.connection.evict("rollback failed")
            self.state = TransactionState.LOST

    def assume_open(self) -> None:
        """Raise QueryError if a statement now would run outside the transaction.

        After a deadlock, say: the server has rolled everything back, and would take what comes next
        as statements of their own.
        """
        if self.state is TransactionState.OPEN and not self.connection.closed:
            if self.connection.in_transaction:
                return
            self.state = TransactionState.LOST
        elif self.state is TransactionState.OPEN:
            return  # the connection itself will say that it is lost
        raise QueryError(f"the transaction is not open any more ({self.state.value})")

    @property
    def intent(self) -> Intent:
        """What may be at stake when its COMMIT is lost."""
        return Intent.READ if self.readonly else Intent.WRITE
