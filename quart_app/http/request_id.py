"""A name for every request: in its answer, in each of its log lines, in its access line.

Wraps the handling of a request as a whole, unlike before_request and after_request, which miss
requests that find no route and handlers that are cancelled.
"""

import random
import re
from collections.abc import Awaitable, Callable
from time import perf_counter

from quart import Quart, Request
from quart.typing import ResponseTypes

from quart_app.http.problems import answer_to
from quart_app.logs import AccessLog, current_request_id

HEADER = "X-Request-ID"
CLIENT_WENT_AWAY = 499
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def current() -> str:
    """Tell the id of the request this task works for; empty outside of any."""
    return current_request_id.get()


def install(app: Quart, *, access_log: AccessLog | None = None) -> None:
    """Give every request of *app* an id, and a line in *access_log* when it has been answered."""
    handle = app.handle_request

    async def identified(request: Request) -> ResponseTypes:
        request_id = pick(request.headers.get(HEADER))
        token = current_request_id.set(request_id)
        began = perf_counter()
        status = CLIENT_WENT_AWAY
        try:
            response = await _handled(handle, request)
            response.headers[HEADER] = request_id
            status = response.status_code
        finally:
            current_request_id.reset(token)
            if access_log is not None:
                access_log.write(
                    method=request.method,
                    path=request.path,
                    status=status,
                    seconds=perf_counter() - began,
                    request_id=request_id,
                )
        return response

    app.handle_request = identified  # type: ignore[method-assign] # Quart has no hook round it


async def _handled(
    handle: Callable[[Request], Awaitable[ResponseTypes]], request: Request
) -> ResponseTypes:
    try:
        return await handle(request)
    except Exception as error:  # noqa: BLE001 - the last line: Quart would send its own page
        return answer_to(error, method=request.method)


def pick(offered: str | None) -> str:
    """Take the caller's id if it is one that is safe in a header and a log, else make one."""
    if offered is not None and _SANE.fullmatch(offered):
        return offered
    return f"{random.getrandbits(64):016x}"
