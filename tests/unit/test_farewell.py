"""At the end of a connection its client is heard out: no answer is lost to a reset."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from quart_app import farewell
from quart_app.farewell import PoliteTCPServer

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
END = b"the end"
# More than the kernel takes for somebody who does not read.
UPLOAD_BYTES = 64 * 2**20
UPLOAD = (
    b"POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    % UPLOAD_BYTES
)

Main = Coroutine[Any, Any, None]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


async def _app(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": END})


@asynccontextmanager
async def _connection() -> AsyncIterator[tuple[socket.socket, asyncio.Task[None]]]:
    """A client's socket, and the task that serves it."""
    loop, config = asyncio.get_running_loop(), Config()
    app = wrap_app(_app, config.wsgi_max_body_size, "asgi")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    client.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=accepted)
    server = PoliteTCPServer(app, loop, config, WorkerContext(None), {}, reader, writer)
    serving = asyncio.create_task(server.run())
    with client:
        yield client, serving
    await serving


async def _read(client: socket.socket) -> bytes:
    """Read to the end. Raises ConnectionResetError."""
    loop, answer = asyncio.get_running_loop(), b""
    while data := await loop.sock_recv(client, 2**20):
        answer += data
    return answer


@on_both_loops
def test_what_comes_after_the_last_answer_resets_nothing(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        async with _connection() as (client, serving):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, REQUEST)
            assert END in await _read(client)
            for _ in range(10):
                await loop.sock_sendall(client, b"late")
                await asyncio.sleep(0)
            assert await _read(client) == b""
            assert not serving.done()

    run(main())


@on_both_loops
def test_body_that_nobody_wants_resets_nothing(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        async with _connection() as (client, _):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, UPLOAD)
            sending = asyncio.create_task(loop.sock_sendall(client, bytes(UPLOAD_BYTES)))
            assert END in await _read(client)
            sending.cancel()

    run(main())


@on_both_loops
def test_client_that_does_not_go_is_left(
    run: Callable[[Main], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farewell, "HEARING", 0.05)

    async def main() -> None:
        async with _connection() as (client, serving):
            await asyncio.get_running_loop().sock_sendall(client, REQUEST)
            await serving
            assert END in await _read(client)

    run(main())


@on_both_loops
def test_client_that_has_ended_its_half_is_not_waited_for(
    run: Callable[[Main], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farewell, "HEARING", 3600)

    async def main() -> None:
        async with _connection() as (client, serving):
            await asyncio.get_running_loop().sock_sendall(client, REQUEST)
            client.shutdown(socket.SHUT_WR)
            assert END in await _read(client)
            await serving

    run(main())
