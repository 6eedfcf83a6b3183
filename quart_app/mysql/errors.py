"""Every error the engine raises.

DatabaseError
├── PoolError
│   ├── PoolClosed          (also a RuntimeError, as aiomysql's pool raises)
│   ├── PoolTimeout         (also a TimeoutError)
│   └── TooManyRequests
├── ConnectError            no usable connection could be made
│   ├── AccessDenied        user, password, privilege, locked or expired account
│   ├── UnknownDatabase
│   ├── TLSRequired         TLS was demanded and the server, or its certificate, cannot give it
│   └── TooManyConnections  the server's or the user's limit
├── ConnectionLost          in the middle of work; *sent* says what the server may have seen
├── CommitUnknown           COMMIT was sent and its answer never came
├── TransientError          rolled back by the server; run the transaction again
│   ├── Deadlock
│   ├── LockWaitTimeout
│   ├── ReadOnlyServer      refused before execution: the writer was demoted
│   └── StorageFailed       the server's disk or a table is full; somebody must look
├── IntegrityError
├── QueryError              the statement is wrong, and will be wrong again
└── QueryTimeout            the statement's deadline passed; it was killed on the server

``errno`` and ``sqlstate`` are the server's, where it gave any. ``retry_after`` is in seconds: when
it may be worth trying again. No message carries SQL, parameters or a password.
"""


class DatabaseError(Exception):
    """Whatever went wrong between this program and its database."""

    retry_after: float | None = None

    def __init__(
        self,
        message: str = "",
        *,
        errno: int | None = None,
        sqlstate: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.errno = errno
        self.sqlstate = sqlstate
        if retry_after is not None:
            self.retry_after = retry_after


class PoolError(DatabaseError):
    """The pool could not give a connection; nothing was sent to any server."""

    retry_after = 1.0


class PoolClosed(PoolError, RuntimeError):
    """The pool is closed, closing or not yet open."""


class PoolTimeout(PoolError, TimeoutError):
    """No connection became free before the deadline; the last connect failure is the cause."""


class TooManyRequests(PoolError):
    """The queue of waiters is full."""


class ConnectError(DatabaseError):
    """No connection could be made, or set up; nothing was executed."""

    retry_after = 1.0


class AccessDenied(ConnectError):
    """The server knows us and says no: retrying will not help and may lock the account."""

    retry_after = 30.0


class UnknownDatabase(ConnectError):
    """The server has no database of that name."""

    retry_after = 30.0


class TLSRequired(ConnectError):
    """TLS was demanded, by us or by the server, and could not be had or verified."""

    retry_after = 30.0


class TooManyConnections(ConnectError):
    """The server's limit, or the user's, is reached."""


class ConnectionLost(DatabaseError):
    """The connection went away.

    *sent* is False only where it is proven that the statement was not executed.
    """

    retry_after = 1.0

    def __init__(
        self,
        message: str = "",
        *,
        sent: bool,
        errno: int | None = None,
        sqlstate: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, errno=errno, sqlstate=sqlstate, retry_after=retry_after)
        self.sent = sent


class CommitUnknown(DatabaseError):
    """COMMIT was sent and no answer came: the transaction is either wholly there or wholly not."""


class TransientError(DatabaseError):
    """The server rolled the work back; the whole transaction may be run again."""

    retry_after = 0.1


class Deadlock(TransientError):
    """Chosen as the victim of a deadlock, or failed certification in a cluster."""


class LockWaitTimeout(TransientError):
    """Waited too long for another transaction's lock."""


class ReadOnlyServer(TransientError):
    """The statement was refused before execution because this server does not take writes."""

    retry_after = 1.0


class StorageFailed(TransientError):
    """The server's disk or a table is full, or its storage failed: not tried again by itself.

    InnoDB undoes the statement; what else the transaction did is undone by its ROLLBACK.
    """

    retry_after = 30.0


class IntegrityError(DatabaseError):
    """A key, foreign key, NOT NULL or CHECK constraint refused the data."""


class QueryError(DatabaseError):
    """The statement, or a value in it, is wrong."""


class QueryTimeout(DatabaseError, TimeoutError):
    """The statement did not end by its deadline; *sent* is False if it was not even begun."""

    retry_after = 1.0

    def __init__(
        self,
        message: str = "",
        *,
        sent: bool = True,
        errno: int | None = None,
        sqlstate: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, errno=errno, sqlstate=sqlstate, retry_after=retry_after)
        self.sent = sent
