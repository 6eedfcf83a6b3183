"""Every error is a problem, and no problem tells too much."""

import json
from http import HTTPStatus

import pytest
from quart import Quart, Response, abort, request

from quart_app.http import problems
from quart_app.http.problems import Kind, ProblemError, RequestTimeout, kind_of
from quart_app.mysql import errors


@pytest.mark.parametrize(
    ("error", "reading", "changing"),
    [
        (errors.PoolTimeout(), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.TooManyRequests(), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.PoolClosed(), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.ConnectError(), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.AccessDenied(), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.ConnectionLost(sent=False), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.ConnectionLost(sent=True), problems.UNAVAILABLE, problems.OUTCOME_UNKNOWN),
        (errors.CommitUnknown(), problems.OUTCOME_UNKNOWN, problems.OUTCOME_UNKNOWN),
        (errors.Deadlock(), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.ReadOnlyServer(), problems.UNAVAILABLE, problems.UNAVAILABLE),
        (errors.QueryTimeout(), problems.TIMEOUT, problems.OUTCOME_UNKNOWN),
        (RequestTimeout(), problems.TIMEOUT, problems.OUTCOME_UNKNOWN),
        (errors.IntegrityError(), problems.CONFLICT, problems.CONFLICT),
        (errors.QueryError(), problems.INTERNAL, problems.INTERNAL),
        (KeyError(), problems.INTERNAL, problems.INTERNAL),
    ],
)
def test_kind_depends_on_the_error_and_on_what_was_asked(
    error: Exception, reading: Kind, changing: Kind
) -> None:
    assert kind_of(error, method="GET") is reading
    assert kind_of(error, method="POST") is changing


def test_no_error_of_the_engine_but_a_wrong_statement_is_our_defect() -> None:
    known = [error for error in vars(errors).values() if isinstance(error, type)]
    leaves = [error for error in known if not error.__subclasses__()]
    made = [error(sent=True) if error is errors.ConnectionLost else error() for error in leaves]
    internal = [error for error in made if kind_of(error, method="GET") is problems.INTERNAL]
    assert [type(error) for error in internal] == [errors.QueryError]


def test_slugs_are_unique_and_types_are_addresses() -> None:
    types = [kind.type for kind in problems.KINDS]
    assert len(set(types)) == len(types)
    assert all(type_.startswith("/problems/") for type_ in types)


@pytest.fixture(name="app")
def _app() -> Quart:
    app = Quart(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 10
    problems.install(app)

    @app.post("/body")
    async def body() -> str:
        return str(len(await request.get_data()))

    @app.get("/raise/<name>")
    async def raise_(name: str) -> Response:
        raise {
            "busy": errors.TooManyRequests("pool db.example: full", retry_after=2.4),
            "denied": errors.AccessDenied("user 'me'@'db.example'"),
            "defect": ValueError("SELECT secret FROM table"),
            "mine": ProblemError(problems.NOT_FOUND, "No such thing.", headers={"X-Y": "z"}),
        }[name]

    @app.get("/teapot")
    async def teapot() -> Response:
        abort(HTTPStatus.IM_A_TEAPOT)

    @app.get("/slow")
    async def slow() -> Response:
        abort(HTTPStatus.REQUEST_TIMEOUT)

    return app


async def problem_of(response: Response) -> dict[str, object]:
    assert response.content_type == "application/problem+json"
    problem: dict[str, object] = json.loads(await response.get_data())
    assert list(problem) == ["type", "title", "status", "detail", "request_id"]
    assert problem["status"] == response.status_code
    return problem


async def answer(app: Quart, path: str) -> tuple[Response, dict[str, object]]:
    response = await app.test_client().get(path)
    return response, await problem_of(response)


async def test_busy_says_when_to_come_back(app: Quart) -> None:
    response, problem = await answer(app, "/raise/busy")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert "db.example" not in str(problem)


async def test_hopeless_failure_asks_for_patience(app: Quart) -> None:
    response, problem = await answer(app, "/raise/denied")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "30")
    assert "me" not in str(problem["detail"]).split()


async def test_defect_is_logged_and_not_shown(app: Quart, caplog: pytest.LogCaptureFixture) -> None:
    response, problem = await answer(app, "/raise/defect")
    assert response.status_code == 500
    assert "SELECT" not in str(problem)
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_problem_of_a_handler_is_answered_as_it_is(app: Quart) -> None:
    response, problem = await answer(app, "/raise/mine")
    assert (problem["detail"], response.headers["X-Y"]) == ("No such thing.", "z")


async def test_unknown_route(app: Quart) -> None:
    _, problem = await answer(app, "/nowhere")
    assert problem["type"] == "/problems/not-found"


async def test_wrong_method_lists_the_right_ones(app: Quart) -> None:
    response, problem = await answer(app, "/body")
    assert problem["type"] == "/problems/method-not-allowed"
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


async def test_oversized_body(app: Quart) -> None:
    response = await app.test_client().post("/body", data=b"x" * 11)
    problem = await problem_of(response)
    assert problem["type"] == "/problems/too-large"


async def test_slow_body_is_told_as_what_it_is(app: Quart) -> None:
    response, problem = await answer(app, "/slow")
    assert (response.status_code, problem["type"]) == (408, "/problems/body-timeout")


async def test_other_statuses_are_problems_too(app: Quart) -> None:
    response, problem = await answer(app, "/teapot")
    assert (response.status_code, problem["type"]) == (418, "/problems/rejected")
