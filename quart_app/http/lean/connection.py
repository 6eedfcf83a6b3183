"""One request by ASGI: handled in the server's own task, and sent in two messages where it is short.

Its client is watched, as in Quart, but only once the request takes a while.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from quart import Request, Response
from quart.asgi import ASGIHTTPConnection
from quart.typing import ResponseTypes
from quart.wrappers.request import Body
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers

from quart_app.http.lean.request import LeanHeaders
from quart_app.mysql.timers import Cancellable, Timers

# An answer that is out sooner has nobody watching for its client to go away.
WATCH_AFTER = 0.1
BODILESS = frozenset(("GET", "HEAD"))
_SENDING, _WATCHING = Timers(), Timers()
# To a target that cannot be read, the server's parser says no more either.
_EMPTY = [(b"content-length", b"0")]


class LeanConnection(ASGIHTTPConnection):
    """Handles a request in the server's own task; Quart makes two more and waits for both."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer the request. Cancelled, or left by its client, it cancels the handler."""
        if not _has_path(self.scope):
            await send({"type": "http.response.start", "status": 400, "headers": _EMPTY})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        task = asyncio.current_task()
        if task is None:
            await super().__call__(receive, send)
            return
        request = self._create_request_from_scope(send)
        watch = _Watch(receive, task)
        if self.scope["method"] in BODILESS:
            request.body.set_complete()
            watch.start_later()
        else:
            watch.take(request.body)
        try:
            await self.handle_request(request, send)
        except asyncio.CancelledError:
            if not watch.left or task.uncancel() > 0:
                raise
        else:
            if watch.left:  # the handler went on regardless
                task.uncancel()
        finally:
            watch.stop()

    def _create_request_from_scope(self, send: ASGISendCallable) -> Request:
        scope = self.scope
        if scope["http_version"] < "1.1" or scope.get("root_path") or scope["path"][0] != "/":
            return super()._create_request_from_scope(send)
        client = scope.get("client")
        return self.app.request_class(
            scope["method"],
            scope["scheme"],
            scope["path"],
            scope["query_string"],
            LeanHeaders(client[0] if client else "<local>", scope["headers"]),
            "",
            scope["http_version"],
            scope,
            max_content_length=self.app.config["MAX_CONTENT_LENGTH"],
            body_timeout=self.app.config["BODY_TIMEOUT"],
            send_push_promise=self._refuse_push,
        )

    async def _refuse_push(self, path: str, headers: Headers) -> None:
        """Push nothing: no browser takes it any more."""

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        """Have the request handled, and send the answer; a part of it, where its time is over."""
        response = await self.app.handle_request(request)
        timeout = self.app.config["RESPONSE_TIMEOUT"]
        if isinstance(response, Response) and response.timeout is not Ellipsis:
            timeout = response.timeout
        if timeout is None:
            await self._send_response(send, response)
        else:
            with suppress(TimeoutError), _SENDING.limit(timeout):
                await self._send_response(send, response)

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        body = response.response
        if type(body) is not DataBody:
            await super()._send_response(send, response)
            return
        headers = [(_lower(name), value.encode()) for name, value in response.headers]
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": headers,
            }
        )
        data = body.data[body.begin : body.end]
        await send({"type": "http.response.body", "body": data, "more_body": False})


class _Watch:
    """Takes a request's body in; cancels its task when its client goes away.

    For that it only looks once the request takes a while.
    """

    __slots__ = ("_later", "_receive", "_task", "_watcher", "left")

    def __init__(self, receive: ASGIReceiveCallable, task: asyncio.Task[Any]) -> None:
        self.left = False
        self._receive, self._task = receive, task
        self._watcher: asyncio.Task[None] | None = None
        self._later: Cancellable | None = None

    def start_later(self) -> None:
        """Look for the client in a while."""
        when = self._task.get_loop().time() + WATCH_AFTER
        self._later = _WATCHING.call_at(when, lambda: self._start(self._watch()))

    def take(self, body: Body) -> None:
        """Hand what arrives over to *body*, in a task of its own, until it is complete."""
        self._start(self._take(body))

    def stop(self) -> None:
        """Look no longer; waits for nothing."""
        if self._later is not None:
            self._later.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _start(self, looking: Coroutine[Any, Any, None]) -> None:
        self._watcher = asyncio.get_running_loop().create_task(looking, name="client-watch")

    async def _take(self, body: Body) -> None:
        while (message := await self._receive())["type"] == "http.request":
            body.append(message.get("body", b""))
            if not message.get("more_body", False):
                body.set_complete()
                self.start_later()
                return
        self._leave()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self.left = True
        self._task.cancel()


def _has_path(scope: HTTPScope) -> bool:
    """Whether the request's target is one that Quart can read: ``GET ?q=1`` has no path at all."""
    path = scope["path"]
    if path[:1] == "/":
        return True
    try:
        return bool(path) and urlsplit(path) is not None
    except ValueError:  # http://[
        return False


@lru_cache(maxsize=512)  # bounded: handlers may make names up
def _lower(name: str) -> bytes:
    return name.lower().encode()
