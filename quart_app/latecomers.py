"""Connections that come while the port closes: accepted, and answered, instead of reset.

Hypercorn closes its listeners between two turns of the loop. What the kernel has connected by then
and nobody has accepted would be reset, and a connection accepted in the very last turn would find
the app closed. Here the listeners are held open a moment longer and accepted empty, and the app is
told to close only when all of it has been answered.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    Scope,
)
from hypercorn.utils import wrap_app

from quart_app.protocols import MendedTCPServer

# How long after the end of the drain delay connections are still taken in.
LINGER = 0.2
# A connection that was taken in gets this long to say what it wants.
PATIENCE = 0.25
# The app closes when no request has been under way for as long.
QUIET = 0.1
# The coroutine of each of Hypercorn's connections.
CONNECTION = "worker_serve.<locals>._server_callback"


class Latecomers:
    """An app round *app* that outlives its last connections; an ASGI application itself.

    Arguments:
        *numbers*: the listening sockets, as file descriptors; Hypercorn closes them, so these are
            duplicates.
    """

    def __init__(self, app: ASGIFramework, config: Config, numbers: Sequence[int]) -> None:
        self._app = app
        self._config = config
        self._context = WorkerContext(None)
        self._listeners = [socket.socket(fileno=os.dup(number)) for number in numbers]
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = self._began = 0
        self._taking_in: asyncio.Task[None] | None = None

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Count what is being answered; hold back the word that it is time to close."""
        if scope["type"] == "lifespan":
            await self._app(scope, self._held_back(receive), send)
            return
        self._in_flight += 1
        self._began += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1

    def begin(self) -> None:
        """Take in what comes from now on, beside Hypercorn, until a moment after it has stopped."""
        self._taking_in = asyncio.create_task(self._take_in(), name="quart_app-latecomers")

    def close(self) -> None:
        """Close the listeners, if begin() was never called."""
        for listener in self._listeners:
            listener.close()

    def _held_back(self, receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
        async def receive_late() -> ASGIReceiveEvent:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._answered()
            return message

        return receive_late

    async def _answered(self) -> None:
        """Wait until everything taken in has been answered, ``graceful_timeout`` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.graceful_timeout):
                if self._taking_in is not None:
                    await asyncio.wait([self._taking_in])
                if self._tasks:
                    await asyncio.wait(self._tasks, timeout=PATIENCE)
                await self._context.terminated.set()  # ends those without a request
                while tasks := self._tasks | _connections():
                    await asyncio.wait(tasks)
                await self._quiet()

    async def _quiet(self) -> None:
        """Wait until nothing has been answered for a moment: a request may be just being read."""
        since = self._began
        while True:
            await asyncio.sleep(QUIET)
            if not self._in_flight and self._began == since:
                return
            since = self._began

    async def _take_in(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + LINGER
        for listener in self._listeners:
            listener.setblocking(False)
        while loop.time() < until:
            self._accept_all()
            await asyncio.sleep(0.002)
        self._accept_all()
        self.close()

    def _accept_all(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):  # nobody is left waiting
                while True:
                    accepted, _ = listener.accept()
                    task = asyncio.create_task(self._answer(accepted), name="quart_app-latecomer")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _answer(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        loop, config = asyncio.get_running_loop(), self._config
        reader, writer = await asyncio.open_connection(sock=accepted)
        app = wrap_app(self, config.wsgi_max_body_size, "asgi")
        state: Any = {}
        server = MendedTCPServer(app, loop, config, self._context, state, reader, writer)
        await server.run()


def _connections() -> set[asyncio.Task[Any]]:
    """Hypercorn's connections, also one accepted in its last turn: for that it does not wait."""
    return {
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__qualname__", None) == CONNECTION
    }
