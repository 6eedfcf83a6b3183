"""Requests without a server: what an app's handle_request() takes."""

from typing import NoReturn

from hypercorn.typing import ConnectionState, HTTPScope
from quart import Request
from werkzeug.datastructures import Headers


async def _push(*_: object) -> NoReturn:
    message = "nothing is pushed in a test"
    raise AssertionError(message)


def make_request(path: str = "/", *, method: str = "GET", query: bytes = b"") -> Request:
    """Make a request without a body."""
    scope: HTTPScope = {
        "type": "http",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": ConnectionState({}),
        "extensions": {},
    }
    request = Request(
        method,
        "http",
        path,
        query,
        Headers({"Host": "localhost"}),
        "",
        "1.1",
        scope,
        send_push_promise=_push,
    )
    request.body.set_complete()
    return request
