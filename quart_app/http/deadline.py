"""Every request is answered in time, one way or the other.

Two limits, a moment apart: at the deadline the engine gives up what it does and tells why; a
handler that waits for something else is cancelled soon after. A streamed answer is not limited once
it began.
"""

from quart import Quart
from quart.ctx import RequestContext
from quart.typing import ResponseReturnValue

from quart_app.http.problems import RequestTimeout
from quart_app.mysql import deadline
from quart_app.mysql.timers import Timers

# Seconds the engine gets to report its own, better error before the handler is cancelled.
GRACE = 0.25


def install(app: Quart, *, timeout: float) -> None:
    """End every handler of *app* after *timeout* seconds; its request gets a problem."""
    dispatch, timers = app.dispatch_request, Timers()

    async def in_time(request_context: RequestContext | None = None) -> ResponseReturnValue:
        limit = timers.limit(timeout + GRACE)
        try:
            with limit, deadline.within(timeout):
                return await dispatch(request_context)
        except TimeoutError as exc:
            if type(exc) is TimeoutError and limit.expired:
                raise RequestTimeout from exc
            raise

    app.dispatch_request = in_time  # type: ignore[method-assign] # Quart has no hook round it
