"""The socket of a connection: opened under one deadline, its end heard at once, closed for good.

Of what goes over it this knows nothing (packets.py). aiomysql's own methods are replaced where they
wait without end, leave a socket behind, or do not notice that the peer has gone.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, COMMAND, CR
from pymysql.err import OperationalError

from quart_app.mysql.driver.plain import Plain
from quart_app.mysql.sockets import set_keepalive

GOODBYE = 1.0


class Wire(aiomysql.Connection):  # type: ignore[misc] # aiomysql is untyped
    """A connection that opens and ends in time.

    Arguments (besides aiomysql's):
        *require_tls*: refuse to authenticate when the server offers no TLS.
        *connect_timeout*: seconds for resolving, TCP, TLS, authentication and set-up together.
    """

    _writer: Any = None  # aiomysql's __del__ asks one whose options were refused, too

    def __init__(
        self,
        *args: Any,
        require_tls: bool = False,
        connect_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        # None for aiomysql: its wait_for round the TCP connect could lose the socket.
        super().__init__(*args, connect_timeout=None, **kwargs)
        self._close_reason: str | None = None
        self.require_tls = require_tls
        self.orphaned = False  # closed while the server may still be at work for us
        self.on_lost: Callable[[], None] | None = None
        self._handshake_timeout = connect_timeout
        self._left: asyncio.StreamWriter | None = None
        self._heard_end = False
        self._draining = False

    # -- opening ------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Open, authenticate and set up under one deadline.

        Raises OperationalError 2003 on a timeout, or what the server answered. Cancelled or failed,
        it leaves no socket behind.
        """
        self._close_reason, self._heard_end = None, False
        try:
            async with asyncio.timeout(self._handshake_timeout):
                await super()._connect()
                await self._set_up()
        except TimeoutError as exc:
            self.abort()
            raise OperationalError(
                CR.CR_CONN_HOST_ERROR,
                f"Can't connect to MySQL server on {self._host!r} (timed out)",
            ) from exc
        except BaseException:
            self.abort()
            raise
        self.orphaned = False
        self._watch_for_eof()

    async def _set_up(self) -> None:
        """What is left to do on a connection that has authenticated; under the same deadline."""

    async def _request_authentication(self) -> None:
        if self.require_tls and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, "The server does not offer TLS")
        if not (self._ssl_context and self.server_capabilities & CLIENT.SSL):
            await super()._request_authentication()
            return
        # Cancelled while it changes to TLS, asyncio keeps a transport that nobody else has, until
        # the peer says goodbye or for half a minute. So the change is not cancelled: it fails at
        # once when its socket is shut, and closes what it made.
        writer = self._writer
        transport = writer._transport
        with transport.get_extra_info("socket").dup() as spare:
            writer._transport = plain = Plain(transport)
            changing = asyncio.ensure_future(super()._request_authentication())
            try:
                await asyncio.shield(changing)
            except asyncio.CancelledError:
                with contextlib.suppress(OSError):
                    spare.shutdown(socket.SHUT_RDWR)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GOODBYE):
                        await asyncio.gather(changing, return_exceptions=True)
                raise
            finally:
                writer._transport = transport
                plain.disown()
                self._left = self._writer

    def _set_keep_alive(self) -> None:
        set_keepalive(self._writer.transport.get_extra_info("socket"))

    def _watch_for_eof(self) -> None:
        """Have the socket's end reported at once, not when somebody next asks."""
        reader = self._reader
        feed_eof, set_exception = reader.feed_eof, reader.set_exception

        def on_eof() -> None:
            feed_eof()
            end()

        def on_exception(exc: BaseException) -> None:
            set_exception(exc)
            end()

        def end() -> None:
            if self._reader is reader:  # not the end of a socket left behind by ping(reconnect)
                self._heard_end = True
                self._report_lost()

        self._heard_end = reader._eof or reader._exception is not None
        reader.feed_eof, reader.set_exception = on_eof, on_exception

    def _report_lost(self) -> None:
        if self.on_lost is not None:  # it stays, for the socket that ping(reconnect) may make
            self.on_lost()

    # -- open ---------------------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Look for signs of death without asking the server.

        Bytes nobody asked for count: MySQL's 4031 lies there before the FIN is seen.
        """
        reader = self._reader
        return reader is not None and not self._heard_end and not reader._buffer

    @property
    def waits(self) -> bool:
        """Whether a statement is out, and its answer has not come or not all of it."""
        reader = self._reader
        return reader is not None and (self._draining or reader._waiter is not None)

    # -- closing ------------------------------------------------------------------------------

    def quit(self) -> None:
        """Take leave with COM_QUIT and close; waits for nothing."""
        if self._writer is None:
            return
        if self.is_alive() and self._reader._waiter is None and not self._draining:
            self._writer.write(struct.pack("<iB", 1, COMMAND.COM_QUIT))
        transport = self._writer.transport
        self.close()
        if self._secure:  # not asked of the transport: asyncio's for TLS, closed twice, raises
            self._loop.call_later(GOODBYE, transport.abort)  # a frozen peer answers no TLS goodbye

    async def wait_gone(self, timeout: float) -> None:
        """Wait until the socket of a closed connection is closed, too; after *timeout* force it."""
        closed = self._closing()
        if closed is None:
            return
        done, _ = await asyncio.wait([closed], timeout=timeout)
        if not done and self._left is not None:
            self._left.transport.abort()
            await asyncio.wait([closed], timeout=timeout)

    @property
    def gone(self) -> bool:
        """Whether no socket is left; of TLS, a closed connection's is there until its goodbye."""
        closed = self._closing()
        return self.closed and (closed is None or closed.done())

    def _closing(self) -> Any:
        # wait_closed() would await this future, and a cancelled wait would cancel it for all.
        left: Any = self._left
        return None if left is None else left._protocol._get_close_waiter(left)

    def abort(self) -> None:
        """Close at once, whatever is buffered; also what is closed and waits for TLS's goodbye."""
        writer = self._writer or self._left
        if writer is not None:
            writer.transport.abort()
        self.close()

    def close(self) -> None:
        self._left = self._writer or self._left
        closed = self._closing()
        if closed is not None:
            closed.add_done_callback(_hear)
        super().close()
        self._report_lost()

    def _close_on_cancel(self) -> None:
        self.abort()
        self.orphaned = True
        self._close_reason = "Cancelled during execution"


def _hear(closed: "asyncio.Future[None]") -> None:
    """Have a socket's last error count as heard: the statement it met has raised it."""
    with contextlib.suppress(asyncio.CancelledError):
        closed.exception()
