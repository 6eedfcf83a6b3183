"""Handles requests in this process, without an HTTP server, on order.

Started by costs.py. Orders come as JSON, one on each line of the standard input, and are answered
so. The variants of the app that are named on the command line live here side by side, each with its
own pool.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvloop
from quart import Quart

from benchmarks.systems import TOKEN
from benchmarks.variants import BY_NAME
from quart_app.settings import Settings

# As wrk.lua: in our app, requests that ask the same at the same time are one question.
CITIES = (
    *(b"london", b"paris", b"tokyo", b"berlin", b"madrid", b"cairo", b"lima", b"oslo", b"nairobi"),
    *(b"quito", b"vienna", b"prague", b"dublin", b"lagos", b"seoul", b"delhi", b"nowhere", b"rome"),
    *(b"athens", b"bogota"),
)
GETS = {
    "nodb": ("/nodb", [b"city=london"]),
    "lookup": ("/", [b"city=" + city for city in CITIES]),
    "list": ("/cities", [b"limit=100"]),
}
BODY = b'{"score": 7, "max_score": 10, "taken_at": "2026-01-02T03:04:05Z"}'
FIRST_ERROR = 300
Message = dict[str, Any]
Scope = dict[str, Any]


class Exchange:
    """One request as a server hands it over, and the answer's status."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.scope = scope
        self.status = 0
        self._body: bytes | None = body

    async def receive(self) -> Message:
        """Give the body; then wait like a client who stays."""
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Take the answer."""
        self.status = message.get("status", self.status)


def _scope(method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
    }


def exchanges(workload: str) -> Iterator[Exchange]:
    """Make requests without end."""
    if workload in GETS:
        path, queries = GETS[workload]
        for query in itertools.cycle(queries):
            yield Exchange(_scope("GET", path, query, []), b"")
    prefix = uuid.uuid4().hex
    for serial in itertools.count():
        path = f"/students/{1 + serial % 1000}/chapters/{1 + serial % 20}/attempts"
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(BODY)),
            (b"authorization", f"Bearer {TOKEN}".encode()),
            (b"idempotency-key", f"{prefix}-{serial}".encode()),
        ]
        yield Exchange(_scope("POST", path, b"", headers), BODY)


async def _handle(app: Quart, exchanges: Iterator[Exchange]) -> None:
    for exchange in exchanges:
        await cast("Any", app)(exchange.scope, exchange.receive, exchange.send)
        if not 0 < exchange.status < FIRST_ERROR:
            raise RuntimeError(f"{exchange.scope['path']} answered {exchange.status}")


async def _obey(apps: dict[str, Quart], order: dict[str, Any]) -> dict[str, float]:
    """Handle *requests* requests, *concurrency* at a time; tell the CPU they took."""
    made = itertools.islice(exchanges(order["workload"]), order["requests"])
    prepared = iter(list(made))  # shared: who is done takes the next
    app = apps[order["variant"]]
    with BY_NAME[order["variant"]].handling():
        began = time.process_time()
        await asyncio.gather(*(_handle(app, prepared) for _ in range(order["concurrency"])))
        return {"cpu_seconds": time.process_time() - began}


async def serve(
    names: list[str], orders: Callable[[], str], answer: Callable[[str], object]
) -> None:
    """Start the variants *names*, and do what is ordered until the orders end."""
    settings = Settings.from_env()
    apps = {name: BY_NAME[name].app(settings) for name in names}
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        for app in apps.values():
            await app.startup()
            stack.push_async_callback(app.shutdown)
        gc.collect()
        gc.freeze()  # many apps in one process would make the collector dearer than it is with one
        answer(json.dumps({"pid": os.getpid(), "tracing": "opentelemetry" in sys.modules}))
        while line := await loop.run_in_executor(None, orders):
            answer(json.dumps(await _obey(apps, json.loads(line))))


def main() -> None:
    """Obey the standard input."""

    def answer(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1:], sys.stdin.readline, answer))


if __name__ == "__main__":
    main()
