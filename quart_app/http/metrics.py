"""Counts every request, and ``/metrics`` for Prometheus.

Wraps the handling of a request as a whole, outside of everything that may answer it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from functools import lru_cache
from time import perf_counter
from typing import cast

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from quart import Blueprint, Quart, Request, Response, current_app
from quart.typing import ResponseTypes
from quart_schema import hide

from quart_app.extension import session_of
from quart_app.http.auth import requires
from quart_app.http.problems import KINDS, MEDIA_TYPE, Problem
from quart_app.http.request_id import CLIENT_WENT_AWAY
from quart_app.metrics.metrics import Metrics
from quart_app.tokens import Scope

EXTENSION = "QUART_APP_METRICS"
REPLAYED = "Idempotent-Replayed"
FIRST_ERROR = 400
_PLACEHOLDER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")

blueprint = Blueprint("metrics", __name__)


def install(app: Quart, metrics: Metrics) -> None:
    """Count every request of *app* in *metrics*. Install it last: it counts what the others answer."""
    handle, requests = app.handle_request, metrics.requests

    async def counted(request: Request) -> ResponseTypes:
        status, began = CLIENT_WENT_AWAY, perf_counter()
        requests.active += 1
        try:
            response = await handle(request)
            status = response.status_code
        finally:
            requests.active -= 1
            rule = request.url_rule
            route = None if rule is None else template(rule.rule)
            requests.answered(request.method, route, status, perf_counter() - began)
        if status >= FIRST_ERROR or request.method == "POST":
            await _note(metrics, response)
        return response

    async def serving() -> AsyncGenerator[None, None]:
        stats = session_of(app).pool.stats
        fresh = asyncio.create_task(metrics.keep_fresh(stats), name="quart_app-metrics")
        try:
            yield
        finally:
            fresh.cancel()
            await asyncio.wait([fresh])

    requests.declare_problems(kind.slug for kind in KINDS)
    app.extensions[EXTENSION] = metrics
    app.handle_request = counted  # type: ignore[method-assign] # Quart has no hook round it
    app.while_serving(serving)


@blueprint.get("/metrics")
@hide
@requires(Scope.OPS)
async def metrics() -> Response:
    """Tell Prometheus everything."""
    ours = current_metrics()
    ours.refresh(session_of(current_app).pool.stats())
    return Response(ours.page(), content_type=CONTENT_TYPE_LATEST)


def current_metrics() -> Metrics:
    """Get the metrics of the app that handles the current request."""
    return cast("Metrics", current_app.extensions[EXTENSION])


@lru_cache(maxsize=1024)
def template(rule: str) -> str:
    """Write a route as people write it: ``/cities/{city_id}``."""
    return _PLACEHOLDER.sub(r"{\1}", rule)


async def _note(metrics: Metrics, response: ResponseTypes) -> None:
    """Look at an answer that is more than its status."""
    if not isinstance(response, Response):
        return
    if response.content_type == MEDIA_TYPE:
        problem = msgspec.json.decode(await response.get_data(as_text=False), type=Problem)
        metrics.requests.problem(problem.type.rpartition("/")[2])
    elif REPLAYED in response.headers:
        metrics.requests.replayed()
