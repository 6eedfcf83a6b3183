"""Our names for the driver's errors: the one place where foreign exceptions are told apart."""

import asyncio

from pymysql.constants import CR
from pymysql.err import DataError, MySQLError, NotSupportedError, ProgrammingError

from quart_app.mysql.classify import error_class
from quart_app.mysql.errors import (
    ConnectError,
    ConnectionLost,
    DatabaseError,
    QueryError,
    QueryTimeout,
)


def as_database_error(  # noqa: PLR0911 # one return a kind of foreign error
    exc: BaseException, *, connecting: bool = False
) -> DatabaseError | None:
    """Rename an exception of the driver; None if *exc* is none of the driver's.

    The one place where foreign errors get our names. ``ConnectionLost.sent`` is False only where
    the driver marked the exception as proven not executed.
    """
    if isinstance(exc, DatabaseError):
        return exc
    if isinstance(exc, OSError | asyncio.IncompleteReadError) and connecting:
        return ConnectError(f"cannot connect: {type(exc).__name__}", errno=CR.CR_CONN_HOST_ERROR)
    if not isinstance(exc, MySQLError):
        return None
    errno = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
    if errno is None and isinstance(exc, ProgrammingError | DataError | NotSupportedError):
        return QueryError(f"refused by the driver: {type(exc).__name__}")
    text = str(exc.args[1]) if len(exc.args) > 1 else ""
    if getattr(exc, "timed_out", False) and not connecting:
        sent = not getattr(exc, "not_executed", False)
        return QueryTimeout("the statement did not end by its deadline", sent=sent, errno=errno)
    kind = error_class(errno, connecting=connecting, read_only="read-only" in text)
    sqlstate = getattr(exc, "sqlstate", None)
    message = f"{kind.__name__} ({errno})" if errno else kind.__name__
    if kind is ConnectionLost:
        sent = not getattr(exc, "not_executed", False)
        return ConnectionLost(message, sent=sent, errno=errno, sqlstate=sqlstate)
    return kind(message, errno=errno, sqlstate=sqlstate)


def unsent(error: MySQLError) -> MySQLError:
    """Mark *error* as proof that the statement was not executed."""
    error.not_executed = True  # type: ignore[attr-defined] # read back by as_database_error alone
    return error


def timed_out(error: MySQLError) -> MySQLError:
    """Mark *error* as the end of a deadline."""
    error.timed_out = True  # type: ignore[attr-defined] # read back by as_database_error alone
    return error
