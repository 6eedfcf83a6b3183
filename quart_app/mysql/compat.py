"""For code written for aiomysql: its ``create_pool`` and ``Pool`` in front of ours.

What aiomysql documents holds, and so do its sizes at each moment and its order of lending. What differs,
on purpose: a caller waits ``acquire_timeout`` (30 s here), not for ever, and for a server that is down,
too; the minimum is refilled in the background, and a caller waits for it for a moment only;
``wait_closed`` ends after ``close_timeout``.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from dataclasses import fields
from inspect import signature
from typing import Any

import aiomysql
from aiomysql.utils import _PoolContextManager
from pymysql.constants import CR
from pymysql.err import MySQLError, OperationalError

from quart_app.mysql import deadline
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import ConnectError, PoolClosed, PoolTimeout
from quart_app.mysql.pool import Pool
from quart_app.mysql.slot import Slot, SlotState

ACQUIRE_TIMEOUT = 30.0
# A caller that finds fewer connections than the minimum lets the missing ones come, as with aiomysql;
# but not for long, and not from a server that is known to be away: it needs none of them.
REFILL_PATIENCE = 0.25
_OURS = {item.name for item in fields(PoolConfig)}
_THEIRS = set(signature(aiomysql.Connection.__init__).parameters) - {"self"}


class UnreachableError(PoolTimeout, OperationalError):
    """No connection before the deadline, because none could be made; *args* are as PyMySQL's.

    aiomysql's pool raises what connecting raised, at once; ours waits for the server first. Code that
    catches that error catches this one too.
    """

    def __init__(self, message: str, *, errno: int) -> None:
        super().__init__(message, errno=errno)
        self.args = (errno, message)


class OldestFirst(OrderedDict[Slot, None]):
    """Idle slots that are lent in the order of their return: the one that is idle longest goes first."""

    def popitem(self, last: bool = False) -> tuple[Slot, None]:
        return super().popitem(last=last)


class AiomysqlPool(Pool, aiomysql.Pool):  # type: ignore[misc] # aiomysql is untyped
    """Our pool, by aiomysql's name: errors of connecting are PyMySQL's, release can be awaited.

    A connection is free here as soon as it is released, also while it is reset or pinged; of those
    being made, the ones that somebody waits for count. So size = free + lent + waited for.
    """

    def __init__(self, connect: ConnectConfig, config: PoolConfig, *, echo: bool) -> None:
        super().__init__(connect, config)
        self._idle: OldestFirst = OldestFirst()
        self._echo = echo
        self._loop = asyncio.get_running_loop()

    def put_connected(self, slot: Slot, connection: Connection, generation: int) -> None:
        connection.idle_end_errno = CR.CR_SERVER_GONE_ERROR
        super().put_connected(slot, connection, generation)

    def release(self, connection: Connection) -> asyncio.Future[None]:
        """Take *connection* back; the future returned is done already."""
        super().release(connection)
        done: asyncio.Future[None] = self._loop.create_future()
        done.set_result(None)
        return done

    def take_idle_or_none(self) -> Connection | None:
        if self._filler.connecting and self._is_being_refilled():
            return None
        return super().take_idle_or_none()

    async def wait_for_one(self, timeout: float | None) -> Connection:
        if self._is_being_refilled():
            patience = REFILL_PATIENCE if timeout is None else min(REFILL_PATIENCE, timeout)
            await self._refill(self.time() + patience)
        try:
            return await super().wait_for_one(timeout)
        except ConnectError as exc:
            raise as_raised_by_aiomysql(exc) from exc
        except PoolTimeout as exc:
            cause = exc.__cause__
            if isinstance(cause, ConnectError) and cause.errno is not None:
                raise UnreachableError(str(exc), errno=cause.errno) from cause
            raise

    def _is_being_refilled(self) -> bool:
        filler = self._filler
        short = self.live < self._minsize and bool(filler.connecting)
        return short and self.freesize > 0 and self.is_open and filler.failing_since is None

    async def _refill(self, until: float) -> None:
        """Wait for the minimum, or until *until*, or the ambient deadline. Raises nothing of them."""
        with contextlib.suppress(ConnectError, PoolClosed, TimeoutError):
            async with asyncio.timeout_at(deadline.nearer(until, deadline.current())):
                await self._filler.wait()

    def keep_for_a_ping(self, slot: Slot) -> None:
        super().keep_for_a_ping(slot)
        self._idle.move_to_end(slot, last=False)  # it is its turn still

    @property
    def size(self) -> int:
        unasked = max(0, len(self._filler.connecting) - self.waiting)
        leaving = sum(
            _is_looked_after(slot) and not self._is_back_soon(slot) for slot in self._slots
        )
        return super().size - unasked - leaving

    @property
    def freesize(self) -> int:
        return len(self._free)

    @property
    def _free(self) -> deque[Connection]:
        back_soon = (slot for slot in self._slots if self._is_back_soon(slot))
        return deque(slot.held() for slot in (*self._idle, *back_soon))

    def _is_back_soon(self, slot: Slot) -> bool:
        return _is_looked_after(slot) and slot.generation == self.generation and self.is_open

    @property
    def _used(self) -> set[Connection]:
        return set(self._lent)


def _is_looked_after(slot: Slot) -> bool:
    return slot.state in {SlotState.RESETTING, SlotState.RESERVED}


def create_pool(
    minsize: int = 1,
    maxsize: int = 10,
    echo: bool = False,
    pool_recycle: float = -1,
    loop: asyncio.AbstractEventLoop | None = None,  # noqa: ARG001 # aiomysql has it
    **options: Any,
) -> Any:
    """As ``aiomysql.create_pool``: await it, or use it with ``async with``.

    Arguments:
        *options*: aiomysql's keywords for connections, and any field of PoolConfig.

    Waits until *minsize* connections are open; raises PyMySQL's errors if one cannot be, and then
    leaves nothing open. *loop* is accepted and must be the running one.
    """
    ours = {name: options.pop(name) for name in list(options) if name in _OURS}
    ours.setdefault("acquire_timeout", ACQUIRE_TIMEOUT)
    ours.update(minsize=minsize, maxsize=maxsize, pool_recycle=pool_recycle)
    return _PoolContextManager(_create(ours, echo, options))


async def _create(sizes: dict[str, Any], echo: bool, options: dict[str, Any]) -> AiomysqlPool:
    pool = AiomysqlPool(connect_config(echo=echo, **options), PoolConfig(**sizes), echo=echo)
    try:
        await pool.open()
        await pool.wait()
    except BaseException as exc:
        pool.terminate()
        await pool.wait_closed()
        if isinstance(exc, ConnectError):
            raise as_raised_by_aiomysql(exc) from exc
        raise
    return pool


def connect_config(
    *,
    host: str = "localhost",
    port: int = 3306,
    unix_socket: str | None = None,
    user: str | None = None,
    password: Any = "",
    db: str | None = None,
    charset: str = "",
    autocommit: bool | None = False,
    connect_timeout: float | None = None,
    ssl: Any = None,
    server_public_key: bytes | None = None,
    init_command: str | None = None,
    **options: Any,
) -> ConnectConfig:
    """Translate aiomysql's keywords, with its defaults, except that connecting has a deadline.

    Raises TypeError for a keyword that aiomysql does not have.
    """
    if unknown := sorted(options.keys() - _THEIRS):
        raise TypeError(f"create_pool() got unexpected keyword arguments: {', '.join(unknown)}")
    return ConnectConfig(
        endpoints=(Endpoint(host=host, port=port, unix_socket=unix_socket),),
        user=user,
        password=password or "",
        database=db,
        charset=charset,
        autocommit=autocommit,
        connect_timeout=ConnectConfig().connect_timeout
        if connect_timeout is None
        else connect_timeout,
        tls_mode=TLSMode.REQUIRED if ssl else TLSMode.DISABLED,
        tls_context=ssl or None,
        server_public_key=server_public_key,
        init_command=init_command,
        options=options,
    )


def as_raised_by_aiomysql(error: ConnectError) -> BaseException:
    """What aiomysql would have raised, for callers that catch that.

    Three cases: PyMySQL's own exception is behind ours; something has a number but no such exception
    behind it (a deadline, a socket's error); or the fault is none of the server's, as a TypeError for
    an option of the wrong kind.
    """
    cause = error.__cause__
    if isinstance(cause, MySQLError):
        return cause
    if error.errno is not None:
        return OperationalError(error.errno, f"Can't connect to MySQL server ({error})")
    return cause or error
