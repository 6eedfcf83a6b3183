"""Serves a few clients, and prints what their requests leave to the garbage collector."""

import asyncio
import gc
import json
import socket
from collections import Counter

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from quart_app import protocols
from quart_app.http import deadline, problems, request_id, security
from quart_app.http.lean import LeanQuart

REQUEST = b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n"
CLIENTS, REQUESTS = 20, 5


async def _hello() -> str:
    await asyncio.sleep(0.001)
    return "hello"


def _app() -> LeanQuart:
    app = LeanQuart("tested")
    app.add_url_rule("/", view_func=_hello)
    problems.install(app)
    deadline.install(app, timeout=10.0)
    request_id.install(app)
    security.install(app, request_timeout=10.0)
    return app


async def _ask(port: int) -> None:
    for _ in range(CLIENTS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(REQUESTS):
            writer.write(REQUEST)
            await reader.readuntil(b"hello")
        writer.close()
        await writer.wait_closed()


async def _connections_gone() -> None:
    while any("_server_callback" in repr(task) for task in asyncio.all_tasks()):  # noqa: ASYNC110 # they have no event
        await asyncio.sleep(0.01)


async def main() -> None:
    """Do it twice: what is made only once is no garbage."""
    protocols.mend()
    stop, config = asyncio.Event(), Config()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config.errorlog = None
    config.bind = [f"fd://{listener.detach()}"]
    serving = asyncio.create_task(serve(_app(), config, shutdown_trigger=stop.wait, mode="asgi"))
    for _ in range(2):
        gc.garbage.clear()
        gc.collect()
        gc.disable()
        await _ask(port)
        await _connections_gone()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
    found = Counter(type(each).__qualname__ for each in gc.garbage)
    stop.set()
    await serving
    print(json.dumps(found))  # noqa: T201 # what it is for


if __name__ == "__main__":
    uvloop.run(main())
