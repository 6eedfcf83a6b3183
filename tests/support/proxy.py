"""A TCP relay before a real server that breaks the network in named ways.

Works by itself in the test's loop, or in a thread of its own (``ThreadedProxy``) for tests that
block. Packet boundaries can only be found on connections without TLS.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Mode(Enum):
    """What the network does. The first column is new connections, the second those that exist.

    PASS       relayed                          relayed
    REFUSE     refused                          relayed
    DEAF       accepted, never answered         relayed
    RESET      accepted, then RST               RST once, at the switch
    SILENT     accepted, never answered         half open: bytes vanish both ways, no FIN
    SLOW       relayed, late and thin           the same
    """

    PASS = "pass"  # noqa: S105  # no password
    REFUSE = "refuse"
    DEAF = "deaf"
    RESET = "reset"
    SILENT = "silent"
    SLOW = "slow"


class Direction(Enum):
    """Which way bytes go."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class Cut(Enum):
    """How a cut connection ends."""

    FIN = "fin"
    RST = "rst"
    SILENCE = "silence"


@dataclass(slots=True)
class _Plan:
    """Cut after *packets* whole packets and *bytes_* more."""

    packets: int
    bytes_: int
    how: Cut


@dataclass(slots=True)
class _Tracker:
    """Follows the packet headers of one direction."""

    header: bytes = b""
    missing: int = 0

    def until_boundary(self, data: bytes) -> int | None:
        """How many bytes of *data* end the packet under way; None if it does not end there."""
        used = 0
        if self.missing == 0:
            used = min(4 - len(self.header), len(data))
            self.header += data[:used]
            if len(self.header) < 4:
                return None
            self.missing = struct.unpack("<I", self.header[:3] + b"\0")[0]
        body = min(self.missing, len(data) - used)
        self.missing -= body
        if self.missing:
            return None
        self.header = b""
        return used + body


@dataclass(slots=True, eq=False)
class _Link:
    """One relayed connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    plans: dict[Direction, _Plan] = field(default_factory=dict)
    trackers: dict[Direction, _Tracker] = field(default_factory=dict)
    silent: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def be_silent(self, silent: bool) -> None:
        """Swallow bytes from now on, or no longer."""
        self.silent = silent

    def end(self, how: Cut) -> None:
        """End both halves."""
        if how is Cut.SILENCE:
            self.silent = True
            return
        self.ended.set()
        for writer in filter(None, (self.client, self.server)):
            if how is Cut.RST:
                _set_linger(writer)
                writer.transport.abort()
            else:
                writer.close()


class FaultProxy:
    """Relays 127.0.0.1:*port* to the server; see ``Mode`` and ``cut``."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._plans: dict[Direction, _Plan] = {}
        self.mode = Mode.PASS
        self.latency = 0.05
        self.bytes_per_second = 100_000.0
        self.port = 0
        self.accepted = 0
        self.most_open = 0

    @property
    def open(self) -> int:
        """Connections that exist now."""
        return len(self._links)

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        self._stop_listening()
        self.end_all(Cut.FIN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def switch(self, mode: Mode) -> None:
        """Change what the network does."""
        self.mode = mode
        if mode is Mode.REFUSE:
            self._stop_listening()
        elif self._listener is None:
            await self.start()
        if mode is Mode.RESET:
            self.end_all(Cut.RST)
        for link in list(self._links):
            link.be_silent(mode is Mode.SILENT)

    def cut(
        self, direction: Direction, *, packets: int = 0, bytes_: int = 0, how: Cut = Cut.FIN
    ) -> None:
        """Cut each connection once *packets* packets and *bytes_* bytes more have gone *direction*.

        Counted from now, on the connections that exist and on those to come, once each. None of
        either towards the client: the server reads and executes, its answer is lost.
        """
        self._plans[direction] = _Plan(packets, bytes_, how)
        for link in self._links:
            link.plans[direction] = _Plan(packets, bytes_, how)

    def mend(self) -> None:
        """Forget the cuts planned."""
        self._plans.clear()
        for link in self._links:
            link.plans.clear()

    def end_all(self, how: Cut) -> None:
        """End every connection that exists."""
        for link in list(self._links):
            link.end(how)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = _Link(
            writer, plans={way: _Plan(p.packets, p.bytes_, p.how) for way, p in self._plans.items()}
        )
        self._links.add(link)
        self.accepted += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._relay(link, reader)
        except OSError:
            link.end(Cut.RST)
        except asyncio.CancelledError:
            link.end(Cut.FIN)
        finally:
            self._links.discard(link)
            self._tasks.discard(task)

    async def _relay(self, link: _Link, from_client: asyncio.StreamReader) -> None:
        if self.mode is Mode.RESET:
            link.end(Cut.RST)
            return
        if self.mode in {Mode.DEAF, Mode.SILENT}:
            while await from_client.read(65536):
                pass
            link.client.close()
            return
        from_server, link.server = await asyncio.open_connection(*self._target)
        ways = (
            self._pump(link, Direction.TO_SERVER, from_client, link.server),
            self._pump(link, Direction.TO_CLIENT, from_server, link.client),
        )
        await _until_one_ends(*ways)
        if not link.silent:
            link.end(Cut.FIN)
        await link.ended.wait()

    async def _pump(
        self,
        link: _Link,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        tracker = link.trackers.setdefault(direction, _Tracker())
        while data := await reader.read(65536):
            await self._delay(len(data))
            allowed, how = _apply(link.plans.get(direction), tracker, data)
            if not link.silent:
                writer.write(data[:allowed])
                await writer.drain()
            if how is not None:
                link.plans.pop(direction, None)
                await self._end_after_flush(link, how)

    async def _end_after_flush(self, link: _Link, how: Cut) -> None:
        if how is Cut.RST:
            await asyncio.sleep(
                0.02
            )  # let the client read what was let through before the RST discards it
        link.end(how)

    async def _delay(self, size: int) -> None:
        if self.mode is Mode.SLOW:
            await asyncio.sleep(self.latency + size / self.bytes_per_second)


def _apply(plan: _Plan | None, tracker: _Tracker, data: bytes) -> tuple[int, Cut | None]:
    """How many bytes of *data* may pass, and how the connection then ends, if it does."""
    position = 0
    while plan is not None and plan.packets > 0:
        step = tracker.until_boundary(data[position:])
        if step is None:
            return len(data), None
        position += step
        plan.packets -= 1
    if plan is not None:
        if len(data) - position >= plan.bytes_:
            return position + plan.bytes_, plan.how
        plan.bytes_ -= len(data) - position
        return len(data), None
    while position < len(data):
        position += tracker.until_boundary(data[position:]) or len(data)
    return len(data), None


async def _until_one_ends(*ways: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _set_linger(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with suppress(OSError):  # already closed
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class ThreadedProxy:
    """A ``FaultProxy`` in its own thread, for tests that block."""

    def __init__(self, host: str, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fault-proxy", daemon=True
        )
        self.proxy = FaultProxy(host, port)

    @property
    def port(self) -> int:
        """Where the proxy listens."""
        return self.proxy.port

    def switch(self, mode: Mode) -> None:
        """As ``FaultProxy.switch``."""
        self.do(lambda: self.proxy.switch(mode))

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run *work* in the proxy's loop."""

        async def call() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    @contextmanager
    def running(self) -> Iterator["ThreadedProxy"]:
        """Listen for as long as the block runs."""
        self._thread.start()
        try:
            self.do(self.proxy.start)
            yield self
        finally:
            self.do(self.proxy.stop)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
