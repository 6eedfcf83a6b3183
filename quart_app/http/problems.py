"""Every error as RFC 9457 ``application/problem+json``: one table from errors to answers.

A problem's ``type`` is a stable address on this server that explains it. No ``detail`` holds SQL, a
host, or a value that was in the request: handlers write them, exceptions' own texts are not shown.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

import msgspec
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RoutingException

from quart_app.logs import current_request_id
from quart_app.mysql import errors

log = logging.getLogger("quart_app.http")

MEDIA_TYPE = "application/problem+json"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, by RFC 9457."""

    media_type: ClassVar[str] = MEDIA_TYPE

    type: str
    title: str
    status: int
    detail: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of problem: what stays the same each time it occurs."""

    slug: str
    status: HTTPStatus
    title: str
    meaning: str

    @property
    def type(self) -> str:
        return f"/problems/{self.slug}"


INVALID = Kind(
    slug="invalid-request",
    status=HTTPStatus.BAD_REQUEST,
    title="The request is not valid",
    meaning="A parameter or the body breaks a rule that detail names. Sent again it fails again.",
)
UNAUTHORIZED = Kind(
    slug="unauthorized",
    status=HTTPStatus.UNAUTHORIZED,
    title="Not authorized",
    meaning="This address needs a bearer token: there was none, or it is not (or no longer) good.",
)
FORBIDDEN = Kind(
    slug="forbidden",
    status=HTTPStatus.FORBIDDEN,
    title="Forbidden",
    meaning="The token is good, but not for this address; or nobody may use it on this server.",
)
NOT_FOUND = Kind(
    slug="not-found",
    status=HTTPStatus.NOT_FOUND,
    title="Not found",
    meaning="There is nothing at this address.",
)
METHOD_NOT_ALLOWED = Kind(
    slug="method-not-allowed",
    status=HTTPStatus.METHOD_NOT_ALLOWED,
    title="Method not allowed",
    meaning="The address exists, but not for this method; the Allow header lists those it takes.",
)
BODY_TIMEOUT = Kind(
    slug="body-timeout",
    status=HTTPStatus.REQUEST_TIMEOUT,
    title="The body took too long",
    meaning="The request's body did not arrive in time. It may be sent again, at once and whole.",
)
TOO_LARGE = Kind(
    slug="too-large",
    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    title="The request is too large",
    meaning="The body is larger than this server reads.",
)
UNSUPPORTED_TYPE = Kind(
    slug="unsupported-type",
    status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    title="Unsupported content type",
    meaning="The body's Content-Type is none that this address reads.",
)
KEY_REUSED = Kind(
    slug="key-reused",
    status=HTTPStatus.UNPROCESSABLE_ENTITY,
    title="The Idempotency-Key was used before",
    meaning="The key belongs to another request: one key, one body. Nothing was changed.",
)
REJECTED = Kind(
    slug="rejected",
    status=HTTPStatus.BAD_REQUEST,
    title="The request was rejected",
    meaning="The status code says why, as HTTP defines it.",
)
UNAVAILABLE = Kind(
    slug="unavailable",
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    title="Temporarily unavailable",
    meaning="The database could not be asked. Nothing was changed; Retry-After says when to retry.",
)
TIMEOUT = Kind(
    slug="timeout",
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    title="Not done in time",
    meaning="The work did not end by the request's deadline. Nothing was changed; retry later.",
)
OUTCOME_UNKNOWN = Kind(
    slug="outcome-unknown",
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    title="The outcome is unknown",
    meaning=(
        "The change was sent and its answer never came: it is either wholly done or not at all. "
        "Look before sending it again; with an Idempotency-Key sending it again is safe."
    ),
)
CONFLICT = Kind(
    slug="conflict",
    status=HTTPStatus.CONFLICT,
    title="In conflict with what is stored",
    meaning="A rule of the stored data, such as a unique name, refused the change.",
)
INTERNAL = Kind(
    slug="internal",
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    title="Internal error",
    meaning="A defect of this program. It is in the log under the request's id.",
)

KINDS = [
    INVALID,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    BODY_TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    KEY_REUSED,
    REJECTED,
    UNAVAILABLE,
    TIMEOUT,
    OUTCOME_UNKNOWN,
    CONFLICT,
    INTERNAL,
]


class ProblemError(Exception):
    """Raise to answer with a problem of *kind*; *detail* is shown to the client."""

    def __init__(
        self, kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})


class RequestTimeout(Exception):  # noqa: N818 - beside the engine's PoolTimeout, QueryTimeout
    """The request's handler was cancelled at its deadline."""

    retry_after = 1.0


# The first that fits decides. Of a request that may change something, the second kind holds.
_TABLE: tuple[tuple[type[Exception], Kind, Kind], ...] = (
    (errors.CommitUnknown, OUTCOME_UNKNOWN, OUTCOME_UNKNOWN),
    (errors.ConnectionLost, UNAVAILABLE, OUTCOME_UNKNOWN),
    (errors.QueryTimeout, TIMEOUT, OUTCOME_UNKNOWN),
    (RequestTimeout, TIMEOUT, OUTCOME_UNKNOWN),
    (errors.PoolError, UNAVAILABLE, UNAVAILABLE),
    (errors.ConnectError, UNAVAILABLE, UNAVAILABLE),
    (errors.TransientError, UNAVAILABLE, UNAVAILABLE),
    (errors.IntegrityError, CONFLICT, CONFLICT),
)
_BY_STATUS = {
    HTTPStatus.NOT_FOUND: NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_TIMEOUT: BODY_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
    # What Quart makes of an error in an after_request function, which it has logged.
    HTTPStatus.INTERNAL_SERVER_ERROR: INTERNAL,
}


def install(app: Quart) -> None:
    """Answer every error of *app* with a problem."""
    app.register_error_handler(ProblemError, _on_problem)
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(Exception, _on_error)


def kind_of(error: Exception, *, method: str) -> Kind:
    """Tell the kind of problem that *error* is in a request of *method*."""
    if isinstance(error, errors.ConnectionLost) and not error.sent:
        return UNAVAILABLE
    for type_, when_reading, when_changing in _TABLE:
        if isinstance(error, type_):
            return when_reading if method in SAFE_METHODS else when_changing
    return INTERNAL


def answer(
    kind: Kind,
    detail: str,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make the response; needs no request context."""
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=status or kind.status,
        detail=detail,
        request_id=current_request_id.get(),
    )
    response = Response(
        msgspec.json.encode(problem), status=problem.status, content_type=MEDIA_TYPE
    )
    response.headers.update(headers or {})
    return response


def of_no_request(status: int, *, request_id: str) -> bytes:
    """The problem of bytes that the server's parser took for no request, or for too much of one."""
    meaning = "What was sent is no HTTP request that can be taken, or its header is too long."
    return msgspec.json.encode(
        Problem(
            type=REJECTED.type,
            title=REJECTED.title,
            status=status,
            detail=meaning,
            request_id=request_id,
        )
    )


def answer_to(error: Exception, *, method: str) -> Response:
    """Make the response to any exception, and log what a person should look at."""
    kind = kind_of(error, method=method)
    if kind is INTERNAL:
        log.error("unhandled %s", type(error).__name__, exc_info=error)
    elif kind is OUTCOME_UNKNOWN or kind is TIMEOUT or isinstance(error, errors.StorageFailed):
        log.warning("%s: %s: %s", kind.slug, type(error).__name__, error)
    else:
        # The engine has said once, and loudly, that the database is away; the access log counts.
        log.debug("%s: %s: %s", kind.slug, type(error).__name__, error)
    retry_after: float | None = getattr(error, "retry_after", None)
    if kind.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return answer(kind, kind.meaning)
    return answer(kind, kind.meaning, headers={"Retry-After": f"{max(1, round(retry_after or 1))}"})


async def _on_problem(error: ProblemError) -> Response:
    return answer(error.kind, error.detail, headers=error.headers)


async def _on_http(error: HTTPException) -> Response | HTTPException:
    """Answer what Quart and Werkzeug raise: unknown routes, wrong methods, unreadable bodies."""
    if isinstance(error, RoutingException) or error.code is None:
        return error
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    kind = _BY_STATUS.get(HTTPStatus(error.code), REJECTED)
    detail = kind.meaning if kind is not REJECTED else error.name
    return answer(kind, detail, status=error.code, headers=headers)


async def _on_error(error: Exception) -> Response:
    return answer_to(error, method=request.method)
