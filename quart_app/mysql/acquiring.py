"""What acquire() and close() return: things to await, or to use in an ``async with``."""

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Protocol

from quart_app.mysql.driver import Connection


class Lends(Protocol):
    """The pool, as seen by a borrower."""

    def take_idle_or_none(self) -> Connection | None: ...
    async def wait_for_one(self, timeout: float | None) -> Connection: ...
    def release(self, connection: Connection) -> Any: ...


class Closes(Protocol):
    """The pool, as seen by who closes it."""

    async def wait_closed(self) -> None: ...


class Acquiring(Coroutine[Any, Any, Connection]):
    """A connection on its way: awaitable once, a coroutine for tasks, an async context manager."""

    __slots__ = ("_connection", "_coroutine", "_lender", "_timeout")

    def __init__(self, lender: Lends, timeout: float | None) -> None:
        self._lender = lender
        self._timeout = timeout
        self._connection: Connection | None = None
        self._coroutine: Coroutine[Any, Any, Connection] | None = None

    def _started(self) -> Coroutine[Any, Any, Connection]:
        if self._coroutine is None:
            self._coroutine = self._acquire()
        return self._coroutine

    async def _acquire(self) -> Connection:
        connection = self._lender.take_idle_or_none()
        return connection or await self._lender.wait_for_one(self._timeout)

    def __await__(self) -> Generator[Any, Any, Connection]:
        return self._started().__await__()

    __iter__ = __await__  # generator-based coroutines, as aiomysql's object allows

    def send(self, value: Any) -> Any:
        return self._started().send(value)

    def throw(self, *exc: Any) -> Any:
        return self._started().throw(*exc)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    async def __aenter__(self) -> Connection:
        # The free path makes no second coroutine: this is the hottest line of the engine.
        connection = self._lender.take_idle_or_none()
        if connection is None:
            connection = await self._lender.wait_for_one(self._timeout)
        self._connection = connection
        return connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._lender.release(connection)


class Closing:
    """What close() returns: await it to wait until the pool is closed, or do not."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Closes) -> None:
        self._pool = pool

    def __await__(self) -> Generator[Any, Any, None]:
        return self._pool.wait_closed().__await__()
