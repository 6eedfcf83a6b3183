"""A TCP relay before a real server that breaks the network in named ways, in the running loop."""

import asyncio
import random
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from quart_app.torture.cuts import Cut, Direction, Plan, Tracker, apply, asks

FLUSH = 0.02


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


@dataclass(slots=True, eq=False)
class Link:
    """One relayed connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    plans: dict[Direction, Plan] = field(default_factory=dict)
    trackers: dict[Direction, Tracker] = field(default_factory=dict)
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

    def __init__(
        self, host: str, port: int, *, listen: str = "127.0.0.1", rng: random.Random | None = None
    ) -> None:
        self._target = (host, port)
        self._listen = listen
        self._rng = rng or random.Random()  # noqa: S311 # no secret
        self._lost: tuple[bytes, Cut, float] | None = None
        self.struck = 0
        self._listener: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._plans: dict[Direction, Plan] = {}
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
        self._listener = await asyncio.start_server(self._accept, self._listen, self.port)
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
        self._plans[direction] = plan = Plan(packets, bytes_, how)
        for link in self._links:
            link.plans[direction] = plan.copy()

    def lose_answers(self, statement: bytes, how: Cut, *, share: float = 1.0) -> None:
        """Let *statement* through from now on, and cut the connection in the place of its answer.

        Of all such statements *share* are struck, by this proxy's random numbers.
        """
        self._lost = (statement, how, share)

    def mend(self) -> None:
        """Forget the cuts planned and the answers to lose."""
        self._lost = None
        self._plans.clear()
        for link in self._links:
            link.plans.clear()

    def end_all(self, how: Cut) -> None:
        """End every connection that exists."""
        for link in list(self._links):
            link.end(how)

    def end_silent(self) -> None:
        """End what was silenced: the server, and who still waits, learn of it now."""
        for link in [link for link in self._links if link.silent]:
            link.end(Cut.RST)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link(writer, plans={way: plan.copy() for way, plan in self._plans.items()})
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

    async def _relay(self, link: Link, from_client: asyncio.StreamReader) -> None:
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
        link: Link,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        tracker = link.trackers.setdefault(direction, Tracker())
        while data := await reader.read(65536):
            await self._delay(len(data))
            if direction is Direction.TO_SERVER:
                self._strike(link, data)
            allowed, how = apply(link.plans.get(direction), tracker, data)
            if not link.silent:
                writer.write(data[:allowed])
                await writer.drain()
            if how is not None:
                link.plans.pop(direction, None)
                await self._end_after_flush(link, how)

    def _strike(self, link: Link, data: bytes) -> None:
        if self._lost is None:
            return
        statement, how, share = self._lost
        if asks(statement, data) and self._rng.random() < share:
            self.struck += 1
            link.plans[Direction.TO_CLIENT] = Plan(0, 0, how)

    async def _end_after_flush(self, link: Link, how: Cut) -> None:
        if how is Cut.RST:
            await asyncio.sleep(FLUSH)  # the RST would discard what the client did not read yet
        link.end(how)

    async def _delay(self, size: int) -> None:
        if self.mode is Mode.SLOW:
            await asyncio.sleep(self.latency + size / self.bytes_per_second)


async def _until_one_ends(*ways: Coroutine[object, object, None]) -> None:
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
