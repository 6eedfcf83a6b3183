"""What goes over a connection's socket: packets, written and read until a deadline.

It does not know what they ask or answer (statements.py, answers.py). aiomysql's own methods are
replaced where they wait without end, or lose what the server said (ERR packets out of turn).
"""

import asyncio
import math
from typing import Any

from pymysql.constants import CR, ER, SERVER_STATUS
from pymysql.err import InterfaceError, InternalError, MySQLError, OperationalError
from pymysql.protocol import MysqlPacket

from quart_app.mysql import deadline, journal
from quart_app.mysql.classify import ROLLED_BACK
from quart_app.mysql.driver.naming import timed_out, unsent
from quart_app.mysql.driver.values import ServerInfo
from quart_app.mysql.driver.wire import Wire

INTERACTION_TIMEOUT = 4031  # ER_CLIENT_INTERACTION_TIMEOUT: MySQL closes idle connections with it
IN_TRANSACTION = SERVER_STATUS.SERVER_STATUS_IN_TRANS
MAX_FRAGMENT_BYTES = 0xFFFFFF


class PacketWire(Wire):
    """A connection on which every command has its time, and which keeps what the server said.

    Arguments (besides Wire's):
        *statement_timeout*: seconds a statement may take where no nearer deadline is ambient; of
            rows read one by one, each.
    """

    # What to call MySQL's 4031: by that number, or by one that code written before MySQL 8 knows.
    idle_end_errno: int | None = None

    def __init__(self, *args: Any, statement_timeout: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._charset: str
        self._encoding: str
        self._result: Any = None
        self._next_seq_id = 0
        self.server = ServerInfo()
        self.statement_timeout = statement_timeout
        self.expendable = False  # what is done on it can be done again, whatever came of it
        self.returned = False  # back in its pool: whoever still holds it may not use it
        self.last_command_at = self._loop.time()
        self._deadline = math.inf
        self._watchdog: asyncio.TimerHandle | None = None
        self._looks_at = math.inf  # uvloop's handle has no when() if that is at once

    # -- before a command ---------------------------------------------------------------------

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

    # -- reading ------------------------------------------------------------------------------

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
            if self.idle_end_errno is not None:
                text = f"MySQL server has gone away ({exc.args[0]}: {exc.args[1]})"
                exc = OperationalError(self.idle_end_errno, text)
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

    # -- the deadline -------------------------------------------------------------------------

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

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        super().close()
