"""``/status``: the page, its live events, its login, and in `dev` the buttons that break things."""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from time import time
from urllib.parse import urlsplit

import msgspec
from quart import Blueprint, Quart, Response, current_app, render_template, request
from quart_schema import hide

from quart_app.extension import session_of
from quart_app.http import auth
from quart_app.http.health import DRAINING
from quart_app.http.problems import FORBIDDEN, NOT_FOUND, ProblemError
from quart_app.metrics import Metrics
from quart_app.mysql.observer import PoolStats
from quart_app.status.breaking import Breaker
from quart_app.status.history import History
from quart_app.status.login import COOKIE, LIFETIME, Login, shared_key
from quart_app.status.siblings import Siblings, View, siblings_of_this_start
from quart_app.status.snapshot import snapshot
from quart_app.tokens import Scope

EXTENSION = "QUART_APP_STATUS"
INTERVAL = 1.0
HTML = "text/html; charset=utf-8"

blueprint = Blueprint(
    "status",
    __name__,
    url_prefix="/status",
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)


@dataclass(slots=True, kw_only=True)
class Status:
    """What the views need; *breaker* is there in `dev` alone."""

    history: History
    login: Login
    siblings: Siblings
    breaker: Breaker | None = None


def install(app: Quart, history: History, metrics: Metrics) -> None:
    """Show *history*, a sample of *metrics* added to it each second; then the siblings are told."""
    siblings = siblings_of_this_start()
    app.extensions[EXTENSION] = Status(
        history=history, login=Login(shared_key()), siblings=siblings
    )

    def sample(stats: PoolStats) -> None:
        history.sample(stats, metrics.requests.take_interval())
        siblings.tell(_own_view(app))

    metrics.listeners.append(sample)


def allow_breaking(app: Quart, breaker: Breaker) -> None:
    """Give the page of *app* buttons that break its database. For `dev` alone."""
    _status_of(app).breaker = breaker


@blueprint.get("")
@hide
async def page() -> Response:
    """Show the page, or the form that asks for a token."""
    if "Authorization" not in request.headers and _ops_digests() and not _has_cookie():
        return await _form(HTTPStatus.UNAUTHORIZED)
    _guard()
    breaker = _status().breaker
    text = await render_template("status.html", actions=breaker.actions if breaker else {})
    return _not_stored(Response(text, content_type=HTML))


@blueprint.post("/login")
@hide
async def login() -> Response:
    """Take a token from the form and set the cookie."""
    token = (await request.form).get("token", "")
    digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
    if not sum(hmac.compare_digest(digest, known) for known in _ops_digests()):
        return await _form(HTTPStatus.UNAUTHORIZED, wrong=True)
    response = _see_status()
    response.set_cookie(
        COOKIE,
        _status().login.cookie_for(digest),
        max_age=LIFETIME,
        path="/status",
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )
    return response


@blueprint.post("/logout")
@hide
async def logout() -> Response:
    """Forget the cookie."""
    response = _see_status()
    response.delete_cookie(COOKIE, path="/status", httponly=True, samesite="Strict")
    return response


@blueprint.get("/data")
@hide
async def data() -> Response:
    """Tell everything once, as JSON."""
    _guard()
    view = _view(current_app)
    told = {"process": os.getpid(), **msgspec.to_builtins(view.now), "samples": view.samples}
    body = msgspec.json.encode(told)
    return _not_stored(Response(body, content_type="application/json"))


@blueprint.get("/events")
@hide
async def events() -> Response:
    """Tell everything, then how it is once a second, as server-sent events."""
    _guard()
    app: Quart = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001
    response = Response(_stream(app), content_type="text/event-stream")
    response.timeout = None  # for as long as somebody looks on
    return _not_stored(response)


@blueprint.post("/break/<action>")
@hide
async def break_(action: str) -> Response:
    """Break something, on purpose. Only where `dev` allows it."""
    _guard()
    _refuse_other_origins()
    breaker = _status().breaker
    if breaker is None or action not in breaker.actions:
        raise ProblemError(NOT_FOUND, NOT_FOUND.meaning)
    breaker.start(action)
    return Response("", status=HTTPStatus.ACCEPTED)


async def _stream(app: Quart) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n" + _event("history", _view(app).samples)
    while True:
        yield _event("now", _view(app).now)
        if app.extensions.get(DRAINING):
            return  # a page that looks on must not hold up the end
        await asyncio.sleep(INTERVAL)


def _event(name: str, value: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(value))


def _view(app: Quart) -> View:
    return _status_of(app).siblings.with_others(_own_view(app))


def _own_view(app: Quart) -> View:
    history = _status_of(app).history
    draining = bool(app.extensions.get(DRAINING))
    now = snapshot(session_of(app).pool, history, draining=draining, process=os.getpid())
    return View(at=time(), now=now, samples=list(history.samples))


def _guard() -> None:
    """Raise ProblemError unless the request has the cookie, or a token of scope ops."""
    if not _has_cookie():
        auth.check(Scope.OPS)


def _has_cookie() -> bool:
    return _status().login.is_good(request.cookies.get(COOKIE, ""), _ops_digests())


def _ops_digests() -> tuple[bytes, ...]:
    return auth.tokens().of(Scope.OPS)


def _refuse_other_origins() -> None:
    """The cookie is SameSite=Strict; a page of another port of this host is the same site."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise ProblemError(FORBIDDEN, "Only the status page itself may do this.")


async def _form(status: HTTPStatus, *, wrong: bool = False) -> Response:
    text = await render_template("login.html", wrong=wrong)
    headers = {"WWW-Authenticate": auth.CHALLENGE}
    return _not_stored(Response(text, status, headers, content_type=HTML))


def _see_status() -> Response:
    return Response("", status=HTTPStatus.SEE_OTHER, headers={"Location": "/status"})


def _not_stored(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _status() -> Status:
    return _status_of(current_app)


def _status_of(app: Quart) -> Status:
    status: Status = app.extensions[EXTENSION]
    return status
