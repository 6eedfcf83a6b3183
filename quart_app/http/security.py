"""What our answers forbid to browsers, and how long a client may take to send its request.

Set round the handling as a whole, like the request id, so that no answer goes without. TLS, and
with it Strict-Transport-Security, is the business of what stands in front (docs: "Security").
"""

from quart import Quart, Request, Websocket
from quart.typing import ResponseTypes
from werkzeug.routing import PathConverter

Pairs = tuple[tuple[str, str], ...]

_POLICY = "Content-Security-Policy"
_NOSNIFF = ("X-Content-Type-Options", "nosniff")
# Data: whatever somebody makes a browser take it for, nothing in it runs or loads.
_OF_DATA: Pairs = (
    _NOSNIFF,
    (_POLICY, "default-src 'none'; frame-ancestors 'none'"),
)
_POLICY_OF_PAGES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Pages: from here, nothing inline, framed by nobody, and no word to others about who came whence.
_OF_PAGES: Pairs = (
    _NOSNIFF,
    (_POLICY, _POLICY_OF_PAGES),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class FileNameConverter(PathConverter):
    """The names our static files have: with any other the file system may not even be asked."""

    regex = "[A-Za-z0-9._/-]{1,200}"


def install(app: Quart, *, request_timeout: float) -> None:
    """Put the headers on every answer of *app*; give a body half of *request_timeout* to arrive.

    A body that takes longer is answered 408. Half, so that the handler has some of its deadline
    left, and so that "your body was slow" is told apart from "our database was".
    """
    app.config["BODY_TIMEOUT"] = request_timeout / 2
    app.url_map.converters["path"] = FileNameConverter
    handle, handle_websocket = app.handle_request, app.handle_websocket

    async def protected(request: Request) -> ResponseTypes:
        return _protect(await handle(request))

    async def refused(websocket: Websocket) -> ResponseTypes | None:
        response = await handle_websocket(websocket)
        return response and _protect(response)

    app.handle_request = protected  # type: ignore[method-assign] # Quart has no hook round it
    app.handle_websocket = refused  # type: ignore[method-assign] # as above


def _protect(response: ResponseTypes) -> ResponseTypes:
    content_type = response.headers.get("Content-Type") or ""
    pairs = _OF_PAGES if content_type.startswith("text/html") else _OF_DATA
    # Straight into the list: they are known to be fit, and this is done for every request.
    response.headers._list.extend(pairs)  # noqa: SLF001 # not public
    return response
