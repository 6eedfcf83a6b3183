"""Headers on every answer; and no answer, whatever goes wrong, tells how it is made."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import NoReturn

import pytest
from quart import Quart, Response
from quart.testing import QuartClient

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.http import problems, request_id
from quart_app.http.problems import ProblemError, RequestTimeout
from quart_app.mysql import errors
from quart_app.settings import Settings
from tests.support.protection import assert_protected

TIMEOUT = 10.0
# What an exception's text may hold, and no answer ever.
TELLING = (
    "SELECT secret FROM student WHERE name='x' -- app:hunter2@db.internal:3306 /srv/app/views.py"
)
LEAKS = re.compile(
    r"SELECT|FROM student|hunter2|db\.internal|3306|/srv/|\.py|Traceback|Error\b|line \d"
)


@pytest.fixture(name="app")
def _app() -> Quart:
    """The app, with a database that nobody can reach."""
    url = parse_database_url("mysql://me:hunter2@db.internal:3306/mine")
    return create_app(Settings(database=url, access_log=False, request_timeout=TIMEOUT))


def test_body_has_to_arrive_before_the_deadline(app: Quart) -> None:
    assert 0 < app.config["BODY_TIMEOUT"] < TIMEOUT
    assert (
        app.config["MAX_CONTENT_LENGTH"]
        == Settings.model_fields["max_content_length_bytes"].default
    )


# -- what answers tell -----------------------------------------------------------------------------


def _telling() -> list[Exception]:
    """Every exception that the app knows, and some that nobody expects, with too much in them."""
    ours = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    made: list[Exception] = [
        kind(TELLING, sent=True) if kind is errors.ConnectionLost else kind(TELLING)
        for kind in ours
    ]
    unexpected = [KeyError, ValueError, OSError, AssertionError, RecursionError, MemoryError]
    made += [RequestTimeout(TELLING), ExceptionGroup(TELLING, [ValueError(TELLING)])]
    return made + [kind(TELLING) for kind in unexpected]


def _raiser(error: Exception) -> Callable[[], Awaitable[Response]]:
    async def view() -> NoReturn:
        raise error from KeyError(TELLING)

    return view


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_error_tells_what_is_inside(app: Quart, method: str) -> None:
    raised = _telling()
    for number, error in enumerate(raised):
        app.add_url_rule(f"/raise/{number}", f"raise{number}", _raiser(error), methods=[method])
    client = QuartClient(app)
    for number, error in enumerate(raised):
        response = await client.open(f"/raise/{number}", method=method)
        _assert_silent(await response.get_data(as_text=True), response, at=repr(error)[:40])
        assert response.status_code >= HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("kind", problems.KINDS, ids=lambda kind: kind.slug)
async def test_every_problem_is_a_problem_and_no_more(app: Quart, kind: problems.Kind) -> None:
    app.add_url_rule("/raise", "raise", _raiser(ProblemError(kind, kind.meaning)))
    response = await app.test_client().get("/raise")
    _assert_silent(await response.get_data(as_text=True), response, at=kind.slug)
    assert response.status_code == kind.status


def _assert_silent(body: str, response: Response, *, at: str) -> None:
    assert response.mimetype == problems.MEDIA_TYPE, at
    own = response.headers.get(request_id.HEADER, "")  # of random digits, a port's among them
    told = [body, *response.headers.values()]
    for text in [text.replace("Internal error", "").replace(own, "") for text in told]:
        assert not LEAKS.search(text), (at, text)
    assert_protected(response, at=at)


@pytest.mark.parametrize("hook", ["before_request", "after_request", "teardown_request"])
async def test_hook_that_fails_tells_nothing(app: Quart, hook: str) -> None:
    async def fail(*_: object) -> NoReturn:
        raise ValueError(TELLING)

    getattr(app, hook)(fail)
    response = await app.test_client().get("/health/live")
    body = await response.get_data(as_text=True)
    _assert_silent(body, response, at=hook)
    assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR


async def test_answer_that_fails_midway_tells_nothing(app: Quart) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"so far so good"
        raise ValueError(TELLING)

    @app.get("/stream")
    async def stream() -> AsyncIterator[bytes]:
        return pieces()

    seen = []
    with pytest.raises(ValueError, match="SELECT"):  # to the server, which logs and hangs up
        async with app.test_client().request("/stream") as connection:
            seen.append(await connection.receive())
    assert seen == [b"so far so good"]
