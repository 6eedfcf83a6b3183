"""Quart with less to do for each request: what no route of ours uses is not set up or looked for.

A handler sees what it sees in Quart, with two exceptions: there are no sessions (and no cookies),
and the body of a GET or HEAD, which means nothing, is not read.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import lru_cache
from inspect import CO_COROUTINE
from types import FunctionType, MethodType
from typing import Any
from urllib.parse import urlsplit

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.sessions import NullSession, SessionInterface
from quart.typing import ResponseTypes
from quart.wrappers.base import BaseRequestWebsocket
from quart.wrappers.request import Body
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter

# An answer that is out sooner has nobody watching for its client to go away.
WATCH_AFTER = 0.1
BODILESS = frozenset(("GET", "HEAD"))
# To a target that cannot be read, the server's parser says no more either.
_EMPTY = [(b"content-length", b"0")]


class NoSessions(SessionInterface):
    """Gives every request the same nothing."""

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> NullSession:  # noqa: ARG002 # Quart's interface
        return NullSession()


class LeanHeaders(Headers):
    """Request headers as the server parsed them: it has refused line breaks in them already."""

    def __init__(self, remote: str, received: Iterable[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._list = [("Remote-Addr", remote)]
        self._list += [(_title(name), value.decode("latin1")) for name, value in received]


class LeanRequest(Request):
    """Works out once per endpoint which blueprints a request belongs to, not thrice per request."""

    @property
    def blueprints(self) -> list[str]:
        return [] if self.url_rule is None else _blueprints(self.url_rule.endpoint)


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
        self._later: asyncio.TimerHandle | None = None

    def start_later(self) -> None:
        """Look for the client in a while."""
        self._later = asyncio.get_running_loop().call_later(
            WATCH_AFTER, lambda: self._start(self._watch())
        )

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


class LeanQuart(Quart):
    """Quart, less what this app never asks of it."""

    asgi_http_class = LeanConnection
    request_class = LeanRequest
    session_interface = NoSessions()  # type: ignore[assignment] # annotated narrower than meant

    def ensure_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func* if it is a coroutine function, at once; anything else is Quart's matter."""
        plain = func.__func__ if isinstance(func, MethodType) else func
        if type(plain) is FunctionType and plain.__code__.co_flags & CO_COROUTINE:
            return func
        return super().ensure_async(func)

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Match by path alone: with no host to match, Quart still encodes its name for DNS."""
        routes = self.url_map
        if request is None or self.config["SERVER_NAME"] is not None or routes.host_matching:
            return super().create_url_adapter(request)
        routes.update()
        return MapAdapter(
            routes,
            request.host,
            request.root_path,
            routes.default_subdomain,
            request.scheme,
            request.path,
            request.method,
            request.query_string.decode("latin1"),
        )


def _has_path(scope: HTTPScope) -> bool:
    """Whether the request's target is one that Quart can read: ``GET ?q=1`` has no path at all."""
    path = scope["path"]
    if path[:1] == "/":
        return True
    try:
        return bool(path) and urlsplit(path) is not None
    except ValueError:  # http://[
        return False


# Both are bounded: names come from clients.
@lru_cache(maxsize=512)
def _title(name: bytes) -> str:
    return name.decode("latin1").title()


@lru_cache(maxsize=512)
def _lower(name: str) -> bytes:
    return name.lower().encode()


@lru_cache(maxsize=512)
def _blueprints(endpoint: str) -> list[str]:
    """Name the blueprints around *endpoint*, the nearest first."""
    names = endpoint.split(".")[:-1]
    return [".".join(names[:end]) for end in range(len(names), 0, -1)]
