"""Is the process alive, and should it get requests? Both answered at once, from memory."""

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from quart import Blueprint, Response, current_app
from quart_schema import document_response, tag

from quart_app.extension import current_session

DRAINING = "QUART_APP_DRAINING"
blueprint = Blueprint("health", __name__, url_prefix="/health")


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The process serves."""

    status: str = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Whether requests are likely to succeed; the pool as it is at this moment."""

    status: str
    reason: str | None
    total: int
    active: int
    idle: int
    waiting: int
    maxsize: int


def begin_draining(extensions: dict[str, object]) -> None:
    """Say "not ready" from now on: the process is about to end."""
    extensions[DRAINING] = True


@blueprint.get("/live")
@tag(["health"])
@document_response(Live)
async def live() -> Response:
    """Tell that the process serves; never asks the database."""
    return _answer(Live(), HTTPStatus.OK)


@blueprint.get("/ready")
@tag(["health"])
@document_response(Ready)
@document_response(Ready, HTTPStatus.SERVICE_UNAVAILABLE)
async def ready() -> Response:
    """Tell whether to send requests here, from the state of the pool; waits for nothing."""
    state = _state()
    good = state.reason is None
    return _answer(state, HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)


def _state() -> Ready:
    pool = current_session().pool
    stats = pool.stats()
    reason = None
    if current_app.extensions.get(DRAINING):
        reason = "draining"
    elif not pool.ready:
        reason = "no database connection"
    return Ready(
        status="ready" if reason is None else "not ready",
        reason=reason,
        total=stats.total,
        active=stats.active,
        idle=stats.idle,
        waiting=stats.waiting,
        maxsize=stats.maxsize,
    )


def _answer(state: object, status: HTTPStatus) -> Response:
    response = Response(msgspec.json.encode(state), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
