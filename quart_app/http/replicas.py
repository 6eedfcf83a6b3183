"""Safe requests may be answered by replicas; whoever has written sees what it wrote.

The answer to a request that may have written carries a token, as a header and as a cookie; a request
that brings it back is answered by a server that has that write, or by the writer. So is whoever was
told of an error: the write may have been done.
"""

import logging

from quart import Quart, Response, after_this_request, request
from quart.ctx import RequestContext
from quart.globals import request_ctx
from quart.typing import ResponseReturnValue, ResponseTypes

from quart_app.extension import session_of
from quart_app.http.problems import SAFE_METHODS
from quart_app.mysql import consistency, deadline
from quart_app.mysql.errors import DatabaseError

log = logging.getLogger("quart_app.http")

HEADER = "X-Read-After"
COOKIE = "quart_app_read_after"
# Replicas that are further behind than this are a fault to be mended, not to be waited for.
REMEMBER_SECONDS = 300
# Where no token could be had: the client's reads go to the writer for as long.
WRITER = "writer"


def install(app: Quart) -> None:
    """Let the safe requests of *app* be read from its replicas. Innermost of all wrappers."""
    dispatch = app.dispatch_request

    async def consistent(context: RequestContext | None = None) -> ResponseReturnValue:
        if (context or request_ctx).request.method in SAFE_METHODS:
            with consistency.from_replicas(_reading()):
                return await dispatch(context)
        try:
            answer = await dispatch(context)
        except BaseException:  # it may have written all the same: who looks should see it
            after_this_request(_send_to_writer)
            raise
        response = await app.make_response(answer)
        assert isinstance(response, Response)  # Quart's own, of a handler of ours
        await _stamp(app, response)
        return response

    app.dispatch_request = consistent  # type: ignore[assignment,method-assign] # no hook


def _reading() -> consistency.Reading | None:
    brought = request.headers.get(HEADER) or request.cookies.get(COOKIE)
    if brought is None:
        return consistency.Reading()
    return consistency.Reading(brought) if consistency.is_token(brought) else None


async def _stamp(app: Quart, response: Response) -> None:
    """Give the client the token of its write; without one its reads go to the writer."""
    token = WRITER
    try:
        with deadline.within(1.0):
            async with session_of(app).connection() as connection:
                token = await consistency.token_of(connection) or WRITER
    except DatabaseError as exc:
        log.warning("no token for a write: %s", exc)
    _hand_out(token, response)


async def _send_to_writer(response: ResponseTypes) -> ResponseTypes:
    assert isinstance(response, Response)  # Quart's own, of an error handler of ours
    _hand_out(WRITER, response)
    return response


def _hand_out(token: str, response: Response) -> None:
    response.headers[HEADER] = token
    response.set_cookie(
        COOKIE, token, max_age=REMEMBER_SECONDS, httponly=True, samesite="Lax", path="/"
    )
