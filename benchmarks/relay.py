"""A TCP relay in front of a database: a longer way there, or an accept that nobody answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Self


class Relay:
    """Passes bytes on, *delay* seconds later; connections that *deaf* picks get no answer.

    Arguments:
        *port*: of the server on the loopback.
        *deaf*: is asked with the number of the connection, from 1.
    """

    def __init__(
        self, port: int, *, delay: float = 0.0, deaf: Callable[[int], bool] = lambda _: False
    ) -> None:
        self.port = 0
        self.accepted = 0
        self._target, self._delay, self._deaf = port, delay, deaf
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, port: int, *, delay: float = 0.0, deaf: Callable[[int], bool] = lambda _: False
    ) -> AsyncIterator[Self]:
        """Listen on a free port until the block ends; then all its connections are cut."""
        relay = cls(port, delay=delay, deaf=deaf)
        server = await asyncio.start_server(relay._serve, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        try:
            yield relay
        finally:
            server.close()
            for task in list(relay._tasks):
                task.cancel()
            await asyncio.gather(*relay._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._deaf(self.accepted):
            self._own(self._hold(writer))
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._own(self._pass(reader, far_writer))
        self._own(self._pass(far_reader, writer))

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="relay")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hold(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await asyncio.Event().wait()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
