"""The lower half of a connection: its socket, its packets, its deadline.

aiomysql's own methods for these are replaced where they lose what the server said (ERR packets out
of turn), wait without end, or leave a socket behind.
"""

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Callable
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, COMMAND, CR, ER, SERVER_STATUS
from pymysql.err import InterfaceError, InternalError, MySQLError, OperationalError
from pymysql.protocol import MysqlPacket

from quart_app.mysql import deadline, journal
from quart_app.mysql.classify import ROLLED_BACK
from quart_app.mysql.driver.naming import timed_out, unsent
from quart_app.mysql.driver.plain import Plain
from quart_app.mysql.driver.values import ServerInfo
from quart_app.mysql.sockets import set_keepalive

INTERACTION_TIMEOUT = 4031  # ER_CLIENT_INTERACTION_TIMEOUT: MySQL closes idle connections with it
IN_TRANSACTION = SERVER_STATUS.SERVER_STATUS_IN_TRANS
MAX_FRAGMENT_BYTES = 0xFFFFFF
GOODBYE = 1.0


def _hear(closed: "asyncio.Future[None]") -> None:
    """Have a socket's last error count as heard: the statement it met has raised it."""
    with contextlib.suppress(asyncio.CancelledError):
        closed.exception()


class Wire(aiomysql.Connection):  # type: ignore[misc] # aiomysql is untyped
    """A connection that ends in time, and keeps what the server said.

    Arguments (besides aiomysql's):
        *require_tls*: refuse to authenticate when the server offers no TLS.
        *statement_timeout*: seconds a statement may take where no nearer deadline is ambient; of
            rows read one by one, each.
        *connect_timeout*: seconds for resolving, TCP, TLS, authentication and set-up together.
    """

    def __init__(
        self,
        *args: Any,
        require_tls: bool = False,
        statement_timeout: float | None = None,
        connect_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        # None for aiomysql: its wait_for round the TCP connect could lose the socket.
        super().__init__(*args, connect_timeout=None, **kwargs)
        self._charset: str
        self._encoding: str
        self.autocommit_mode: bool | None
        self._result: Any = None
        self._next_seq_id = 0
        self._close_reason: str | None = None
        self.server = ServerInfo()
        self.require_tls = require_tls
        self.statement_timeout = statement_timeout
        self.orphaned = False  # closed while the server may still be at work for us
        self.expendable = False  # what is done on it can be done again, whatever came of it
        self.returned = False  # back in its pool: whoever still holds it may not use it
        self.on_lost: Callable[[], None] | None = None
        self.last_command_at = self._loop.time()
        self._handshake_timeout = connect_timeout
        self._deadline = math.inf
        self._watchdog: asyncio.TimerHandle | None = None
        self._looks_at = math.inf  # uvloop's handle has no when() if that is at once
        self._left: asyncio.StreamWriter | None = None
        self._heard_end = False
        self._draining = False
        self._ok_status = 0

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

    # -- before a command -----------------------------------------------------------------------

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

    def _ensure_alive(self) -> None:
        if self.returned:
            raise unsent(InterfaceError("This connection was released to its pool"))
        try:
            super()._ensure_alive()
        except InterfaceError as exc:
            raise unsent(exc) from None

    def _ensure_heard_nothing(self) -> None:
        """Refuse to write to a connection that is known to be dead: then nothing was executed."""
        if self.is_alive() and not self._writer.transport.is_closing():
            return
        packet = bytes(self._reader._buffer)
        self.abort()
        if packet[3:5] == b"\x00\xff" and len(packet) > 8:  # noqa: PLR2004 # header, ERR, its code
            raise self._error_out_of_turn(packet[4:])
        raise unsent(OperationalError(CR.CR_SERVER_GONE_ERROR, "MySQL server has gone away"))

    def _ensure_fits(self, payload: bytes) -> None:
        """Refuse what the server would refuse by hanging up."""
        if len(payload) >= self.server.max_allowed_packet:
            raise unsent(
                OperationalError(
                    ER.NET_PACKET_TOO_LARGE,
                    f"The statement has {len(payload)} bytes;"
                    f" max_allowed_packet is {self.server.max_allowed_packet}",
                )
            )

    def _set_deadline(self) -> None:
        """The nearer of the ambient deadline and our own limit; one that lies behind sends nothing."""
        self.last_command_at = self._begin_time()
        if self._deadline <= self.last_command_at:
            error = OperationalError(CR.CR_SERVER_LOST, "The deadline passed before the statement")
            raise unsent(timed_out(error))

    def _begin_time(self) -> float:
        """Count the time to the deadline anew: for a command, and for each row of a stream."""
        now: float = self._loop.time()
        limit, ambient = self.statement_timeout, deadline.current()
        self._deadline = math.inf if limit is None else now + limit
        if ambient is not None and ambient < self._deadline:
            self._deadline = ambient
        return now

    async def _drain(self) -> None:
        self._draining = True
        self._watch()
        try:
            await self._writer.drain()
        except asyncio.CancelledError:
            self._close_on_cancel()
            raise
        except OSError as exc:
            raise self._lost(exc) from exc
        finally:
            self._draining = False

    # -- answers --------------------------------------------------------------------------------

    async def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        try:
            payload = await self._read_payload()
        except asyncio.CancelledError:
            self._close_on_cancel()
            raise
        packet = packet_type(payload, self._encoding)
        if packet.is_error_packet():
            if self._result is not None:
                self._result.unbuffered_active = False
            self._note_refusal(int.from_bytes(payload[1:3], "little"))
            packet.raise_for_error()
        return packet

    def _note_refusal(self, errno: int) -> None:
        """An ERR packet carries no status: some of them mean that our transaction is gone."""
        journal.refused(self, errno)
        if errno in ROLLED_BACK:
            self.server_status &= ~IN_TRANSACTION

    async def _read_payload(self) -> bytes:
        payload = b""
        while True:
            header = await self._read_bytes(4)
            size = int.from_bytes(header[:3], "little")
            if header[3] != self._next_seq_id:
                await self._read_out_of_turn(header[3], size)
            self._next_seq_id = (self._next_seq_id + 1) % 256
            payload += await self._read_bytes(size)
            if size < MAX_FRAGMENT_BYTES:
                return payload

    async def _read_out_of_turn(self, sequence: int, size: int) -> None:
        """Raise for a packet with the wrong number; an ERR with number 0 keeps its words."""
        expected = self._next_seq_id
        payload = await self._read_bytes(size) if sequence == 0 else b""
        self.abort()
        if payload[:1] == b"\xff":
            raise self._error_out_of_turn(payload)
        raise InternalError(f"Packet sequence number wrong - got {sequence} expected {expected}")

    def _error_out_of_turn(self, payload: bytes) -> MySQLError:
        """The error in *payload*. 4031 proves that the server had read no part of our command.

        MySQL sends it only while it waits for a command's first packet (net_serv.cc,
        net_read_raw_loop: pkt_nr == 0), and closes.
        """
        try:
            journal.refused(self, int.from_bytes(payload[1:3], "little"))
            MysqlPacket(payload, self._encoding).raise_for_error()
        except MySQLError as exc:
            if exc.args[0] != INTERACTION_TIMEOUT:
                return exc
            journal.refused(self, INTERACTION_TIMEOUT)
            return unsent(exc)
        raise AssertionError("unreachable")

    async def _read_bytes(self, num_bytes: int) -> bytes:
        if len(self._reader._buffer) < num_bytes:
            self._watch()
        try:
            data: bytes = await self._reader.readexactly(num_bytes)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise self._lost(exc) from exc
        return data

    async def _read_more(self) -> None:
        """Wait for bytes to arrive, until the deadline."""
        reader = self._reader
        if reader._eof and reader._exception is None:
            raise self._lost(EOFError())
        self._watch()
        try:
            if reader._exception is not None:
                raise reader._exception  # caught below with what a wait raises
            await reader._wait_for_data("run")
        except asyncio.CancelledError:
            self._close_on_cancel()
            raise
        except OSError as exc:
            raise self._lost(exc) from exc

    def _lost(self, exc: BaseException) -> MySQLError:
        expired = isinstance(exc, TimeoutError)
        self.abort()
        self.orphaned = expired
        why = " (deadline exceeded)" if expired else f" ({exc})" if str(exc) else ""
        error = OperationalError(
            CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query{why}"
        )
        return timed_out(error) if expired else error

    # -- deadlines ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """See to it that a timer looks at this statement's deadline.

        One timer a connection, moved only when it would come too late: most statements touch none.
        """
        if self._deadline == math.inf:
            return
        if self._watchdog is not None:
            if self._looks_at <= self._deadline:
                return
            self._watchdog.cancel()
        self._looks_at = self._deadline
        self._watchdog = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._watchdog = None
        if not self.waits:
            return
        if self._loop.time() < self._deadline:
            self._watch()
            return
        writer = self._writer
        self._reader.set_exception(TimeoutError())
        if self._draining:
            writer.transport.abort()

    # -- closing --------------------------------------------------------------------------------

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
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
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
