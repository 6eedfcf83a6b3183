"""The app is told to close only when everything taken in has been answered."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypercorn.asyncio import run as hypercorns
from hypercorn.config import Config

from quart_app.latecomers import CONNECTION, LINGER, PATIENCE, QUIET, Latecomers


@pytest.fixture(name="listener")
def _listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield listener


class App:
    """Answers every request after a while; knows whether it was open while it did."""

    def __init__(self) -> None:
        self.closed = False
        self.answered: list[bool] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.shutdown"
            self.closed = True
            return
        await asyncio.sleep(0.05)
        self.answered.append(not self.closed)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answered"})


async def _shutdown() -> dict[str, str]:
    return {"type": "lifespan.shutdown"}


async def _close(late: Any) -> None:
    """Tell it that it is time to close, as Hypercorn does; waits until it lets its app."""
    await late({"type": "lifespan"}, _shutdown, None)


async def _ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


async def test_connections_nobody_accepted_are_answered_before_the_app_closes(
    listener: socket.socket,
) -> None:
    app, config = App(), Config()
    late = Latecomers(app, config, [listener.fileno()])
    port = listener.getsockname()[1]
    asking = [asyncio.create_task(_ask(port)) for _ in range(20)]
    await asyncio.sleep(0)
    late.begin()
    listener.close()  # as Hypercorn does
    await _close(late)
    answers = await asyncio.gather(*asking)
    assert all(b"answered" in answer for answer in answers)
    assert app.answered == [True] * 20
    assert app.closed


async def test_after_the_last_of_them_the_port_is_closed(listener: socket.socket) -> None:
    late = Latecomers(App(), Config(), [listener.fileno()])
    port = listener.getsockname()[1]
    listener.close()
    late.begin()
    began = asyncio.get_running_loop().time()
    await _close(late)
    assert asyncio.get_running_loop().time() - began >= LINGER
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_client_that_says_nothing_holds_nobody_up(listener: socket.socket) -> None:
    app = App()
    late = Latecomers(app, Config(), [listener.fileno()])
    _, silent = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
    late.begin()
    listener.close()
    began = asyncio.get_running_loop().time()
    await _close(late)
    assert asyncio.get_running_loop().time() - began < LINGER + PATIENCE + 1
    assert app.closed
    assert not late._tasks
    silent.close()


async def test_app_is_open_while_a_connection_of_hypercorns_is(listener: socket.socket) -> None:
    app, answered = App(), asyncio.Event()

    async def connection() -> None:
        await answered.wait()

    connection.__qualname__ = CONNECTION
    task = asyncio.create_task(connection())
    late = Latecomers(app, Config(), [listener.fileno()])
    closing = asyncio.create_task(_close(late))
    await asyncio.sleep(2 * QUIET)
    assert not app.closed
    answered.set()
    await asyncio.gather(closing, task)
    late.close()
    assert app.closed


def test_name_of_hypercorns_connections_is_still_the_same() -> None:
    parts = [getattr(part, "co_name", "") for part in hypercorns.worker_serve.__code__.co_consts]
    assert CONNECTION.rpartition(".")[2] in parts
