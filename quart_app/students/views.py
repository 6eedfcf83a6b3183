"""The routes of students. All need a token of scope ``students``."""

from datetime import datetime
from enum import IntEnum
from http import HTTPStatus
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, request
from quart_schema import (
    document_headers,
    document_querystring,
    document_request,
    document_response,
    tag,
)

from quart_app.extension import current_session
from quart_app.http import body, idempotency, query
from quart_app.http.auth import requires
from quart_app.http.problems import INVALID, NOT_FOUND, Problem, ProblemError, answer
from quart_app.http.reconnect import keyed
from quart_app.mysql.errors import DatabaseError
from quart_app.students import service
from quart_app.students.model import (
    DEFAULT_LIMIT,
    MAX_ID,
    MAX_LIMIT,
    MAX_SCORE,
    AttemptPage,
    ChapterResult,
    InvalidInput,
    NewAttempt,
    NotFound,
    RecordedAttempt,
    Summary,
    read_cursor,
)
from quart_app.tokens import Scope

blueprint = Blueprint("students", __name__, url_prefix="/students/<id:student_id>")


class ResultCode(IntEnum):
    """The codes in the original call's answer; the HTTP status says the same."""

    SUCCESS = 100
    NOT_FOUND = 101
    BAD_INPUT = 102
    UNAVAILABLE = 103


_STATUS = {
    ResultCode.SUCCESS: HTTPStatus.OK,
    ResultCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ResultCode.BAD_INPUT: HTTPStatus.BAD_REQUEST,
    ResultCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


class ChapterCall(msgspec.Struct, frozen=True, rename="camel"):
    """The body of the original call."""

    also: ClassVar[tuple[str, ...]] = body.FORMS

    chapter_id: Annotated[int, Meta(ge=0, le=MAX_ID, description="The chapter.")]


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """The original call's answer: 100 SUCCESS, 101 NOT FOUND, 102 BAD INPUT, 103 UNAVAILABLE."""

    result_code: int
    result_description: str
    result: list[ChapterResult]


class FailedEnvelope(Envelope, frozen=True):
    """The original call's answer, with one of the other codes; a problem where there is no call."""

    also: ClassVar[tuple[type[Problem], ...]] = (Problem,)


class AttemptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attempt to record."""

    score: Annotated[int, Meta(ge=0, le=MAX_SCORE, description="Points reached.")]
    max_score: Annotated[int, Meta(ge=1, le=MAX_SCORE, description="Points that could be reached.")]
    taken_at: Annotated[datetime, Meta(tz=True, description="RFC 3339, not in the future.")]

    def checked(self) -> NewAttempt:
        """Check it against the rules. Raises InvalidInput."""
        attempt = NewAttempt(score=self.score, max_score=self.max_score, taken_at=self.taken_at)
        return service.check(attempt)


class KeyHeader(msgspec.Struct, frozen=True):
    """The header that makes it safe to send the request again."""

    idempotency_key: Annotated[
        str,
        Meta(
            description="1 to 255 printable ASCII characters.",
            extra_json_schema={"pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
        ),
    ]


class ReplayedHeader(msgspec.Struct, frozen=True):
    """The header that tells a stored answer from a new one."""

    idempotent_replayed: Annotated[
        Literal["true"], Meta(description="The answer is the one this key got the first time.")
    ]


class AttemptQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of the list of attempts."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Attempts on a page.")] = (
        DEFAULT_LIMIT
    )
    cursor: Annotated[str | None, Meta(description="next_cursor of the page before.")] = None


@blueprint.post("")
@tag(["students"])
@requires(Scope.STUDENTS)
@document_request(ChapterCall)
@document_response(Envelope)
@document_response(FailedEnvelope, 400)
@document_response(Problem, 401)
@document_response(Problem, 403)
@document_response(FailedEnvelope, 404)
@document_response(Problem, 408)
@document_response(Problem, 413)
@document_response(FailedEnvelope, 503)
async def fetch_chapter(student_id: int) -> Response:
    """Tell what a student did in a chapter (the original call).

    Takes chapterId as JSON or as a form field. Changes nothing, although it is a POST.
    """
    try:
        call = await body.read_json_or_form(request, ChapterCall)
        found = await service.fetch_chapter_results(current_session(), student_id, call.chapter_id)
    except (InvalidInput, ProblemError):
        return _envelope(ResultCode.BAD_INPUT)
    except NotFound:
        return _envelope(ResultCode.NOT_FOUND)
    except DatabaseError as error:
        if error.retry_after is None:
            raise
        return _envelope(ResultCode.UNAVAILABLE, retry_after=error.retry_after)
    return _envelope(ResultCode.SUCCESS, found)


@blueprint.get("/chapters/<id:chapter_id>")
@tag(["students"])
@requires(Scope.STUDENTS)
@document_response(Summary)
@document_response(Problem, 401)
@document_response(Problem, 403)
@document_response(Problem, 404)
@document_response(Problem, 503)
async def fetch_summary(student_id: int, chapter_id: int) -> Response:
    """Sum up a student's attempts at a chapter; scores are in percent."""
    return _json(await service.fetch_summary(current_session(), student_id, chapter_id))


@blueprint.get("/chapters/<id:chapter_id>/attempts")
@tag(["students"])
@requires(Scope.STUDENTS)
@document_querystring(AttemptQuery)
@document_response(AttemptPage)
@document_response(Problem, 400)
@document_response(Problem, 401)
@document_response(Problem, 403)
@document_response(Problem, 404)
@document_response(Problem, 503)
async def list_attempts(student_id: int, chapter_id: int) -> Response:
    """List a student's attempts at a chapter page by page, the newest first."""
    wanted = query.read_as(request, AttemptQuery)
    page = await service.list_attempts(
        current_session(),
        student_id,
        chapter_id,
        before=None if wanted.cursor is None else read_cursor(wanted.cursor),
        limit=wanted.limit,
    )
    return _json(page)


@blueprint.post("/chapters/<id:chapter_id>/attempts")
@tag(["students"])
@requires(Scope.STUDENTS)
@document_headers(KeyHeader)
@document_request(AttemptBody)
@document_response(RecordedAttempt, 201, ReplayedHeader)
@document_response(Problem, 400)
@document_response(Problem, 401)
@document_response(Problem, 403)
@document_response(Problem, 404)
@document_response(Problem, 408)
@document_response(Problem, 413)
@document_response(Problem, 415)
@document_response(Problem, 422)
@document_response(Problem, 503)
@keyed
async def record_attempt(student_id: int, chapter_id: int) -> Response:
    """Record an attempt, once for each Idempotency-Key, however often it is sent.

    The same key and body give the first answer again, with the header Idempotent-Replayed; the same
    key with another body is refused.
    """
    idempotency.read_key(request)
    attempt = (await body.read_json(request, AttemptBody)).checked()

    async def work() -> idempotency.Answer:
        session = current_session()
        recorded = await service.record_attempt(session, student_id, chapter_id, attempt)
        return idempotency.Answer(status=HTTPStatus.CREATED, body=msgspec.json.encode(recorded))

    return await idempotency.once(request, content=msgspec.json.encode(attempt), work=work)


@blueprint.errorhandler(InvalidInput)
async def on_invalid_input(error: InvalidInput) -> Response:
    """Answer a broken rule of the model with 400."""
    return answer(INVALID, f"{error}.")


@blueprint.errorhandler(NotFound)
async def on_not_found(error: NotFound) -> Response:
    """Answer for what does not exist with 404."""
    return answer(NOT_FOUND, f"{error}.")


def _envelope(
    code: ResultCode,
    result: list[ChapterResult] | None = None,
    *,
    retry_after: float | None = None,
) -> Response:
    envelope = Envelope(
        result_code=code, result_description=code.name.replace("_", " "), result=result or []
    )
    response = _json(envelope, _STATUS[code])
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    return response


def _json(value: object, status: int = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")
