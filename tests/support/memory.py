"""A network inside one event loop: listeners by address, pairs of transports, faults between them.

What a socket would do and an in-memory pipe usually does not is kept: bytes arrive in a later turn
of the loop, a writer is paused when the reader does not read, FIN and RST differ, and a half-open
peer says nothing at all. ``get_extra_info("socket")`` remembers the options that were set on it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

Address = tuple[str | None, int | None] | str | None
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_HIGH_WATER = 64 * 1024


class MemorySocket:
    """Remembers the options set on it."""

    def __init__(self) -> None:
        self.family = socket.AF_INET
        self.options: dict[tuple[int, int], int | bytes] = {}

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Remember *value*."""
        self.options[level, option] = value


class MemoryTransport(asyncio.Transport):
    """One end of a pipe."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        self.socket = MemorySocket()
        super().__init__({"socket": self.socket, "peername": ("memory", 0)})
        self._loop = loop
        self._protocol = protocol
        self._other: MemoryTransport | None = None
        self._inbox: list[bytes] = []
        self._reading = True
        self._closing = False
        self._lost = False
        self._writer_paused = False
        self.silent = False

    def join(self, other: "MemoryTransport") -> None:
        """Make *other* the other end."""
        self._other = other
        other._other = self

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self._deliver)

    def get_write_buffer_size(self) -> int:
        return 0 if self._other is None else self._other._pending_bytes()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self.silent or self._other is None or self._other.silent or not data:
            return
        self._other._inbox.append(bytes(data))
        self._loop.call_soon(self._other._deliver)
        if self._other._pending_bytes() > _HIGH_WATER and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._hang_up_at_the_other_end()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._hang_up_at_the_other_end()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.close()

    def reset(self) -> None:
        """Close with RST: the other end's next read fails, and what was under way is gone."""
        if self._other is not None and not self.silent:
            self._other._inbox.clear()
            self._loop.call_soon(self._other._lose, ConnectionResetError(104, "Connection reset"))
        self._closing = True
        self._loop.call_soon(self._lose, None)

    def _hang_up_at_the_other_end(self) -> None:
        if self._other is not None and not (self.silent or self._other.silent):
            self._loop.call_soon(self._other._receive_eof)

    def _pending_bytes(self) -> int:
        return sum(map(len, self._inbox))

    def _deliver(self) -> None:
        if not self._reading or self._lost or self._closing:
            return
        while self._inbox and self._reading:
            self._protocol.data_received(self._inbox.pop(0))
        other = self._other
        if other is not None and other._writer_paused and not self._inbox:
            other._writer_paused = False
            other._protocol.resume_writing()

    def _receive_eof(self) -> None:
        if self._lost or self._closing:
            return
        self._deliver()
        if not self._protocol.eof_received():
            self.close()

    def _lose(self, error: OSError | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._protocol.connection_lost(error)


class MemoryNetwork:
    """Listeners by address. An address without one refuses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: dict[Address, Handler] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.transports: list[MemoryTransport] = []
        # Seconds that a TCP connect takes; None: the SYN is lost and no answer ever comes.
        self.connect_delay: float | None = 0.0

    def listen(self, address: Address, handler: Handler) -> None:
        """Serve connections to *address* by *handler*, one task each."""
        self._listeners[address] = handler

    def unlisten(self, address: Address) -> None:
        """Refuse connections to *address* from now on."""
        self._listeners.pop(address, None)

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol], address: Address
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect to the listener at *address*; ConnectionRefusedError if there is none."""
        if self.connect_delay is None:
            await self._loop.create_future()
        await asyncio.sleep(self.connect_delay or 0)
        handler = self._listeners.get(address)
        if handler is None:
            raise ConnectionRefusedError(111, f"nobody listens at {address}")
        protocol = protocol_factory()
        transport = MemoryTransport(self._loop, protocol)
        self.transports.append(transport)
        self._serve(transport, handler)
        protocol.connection_made(transport)
        return transport, protocol

    def _serve(self, client: MemoryTransport, handler: Handler) -> None:
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        server = MemoryTransport(self._loop, protocol)
        server.join(client)
        protocol.connection_made(server)
        writer = asyncio.StreamWriter(server, protocol, reader, self._loop)
        task = self._loop.create_task(_run(handler, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _run(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *_: Any
) -> None:
    try:
        await handler(reader, writer)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
