"""Every request has an id and one access line, whatever becomes of it."""

import asyncio
import io
import json
from typing import NoReturn

import pytest
from quart import Quart
from quart.routing import QuartMap

from quart_app.http import problems, request_id
from quart_app.logs import AccessLog
from quart_app.settings import LogFormat
from tests.support.requests import make_request


@pytest.fixture(name="lines")
def _lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(name="app")
def _app(lines: io.StringIO) -> Quart:
    app = Quart(__name__)
    problems.install(app)
    request_id.install(app, access_log=AccessLog(LogFormat.JSON, stream=lines))

    @app.get("/")
    async def index() -> str:
        return request_id.current()

    @app.get("/wait")
    async def wait() -> str:
        await asyncio.sleep(3600)
        return ""

    return app


def logged(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


async def test_id_is_made_and_answered_and_logged(app: Quart, lines: io.StringIO) -> None:
    response = await app.test_client().get("/?city=hidden")
    made = response.headers["X-Request-ID"]
    assert await response.get_data() == made.encode()
    (line,) = logged(lines)
    assert (line["request_id"], line["path"], line["status"]) == (made, "/", 200)
    assert "hidden" not in lines.getvalue()


async def test_ids_differ(app: Quart) -> None:
    client = app.test_client()
    ids = {(await client.get("/")).headers["X-Request-ID"] for _ in range(50)}
    assert len(ids) == 50


async def test_id_is_gone_after_the_request(app: Quart) -> None:
    await app.test_client().get("/")
    assert request_id.current() == ""


@pytest.mark.parametrize("offered", ["abc", "a.b_C-9", "x" * 64])
def test_sane_id_of_the_caller_is_kept(offered: str) -> None:
    assert request_id.pick(offered) == offered


@pytest.mark.parametrize("offered", [None, "", "x" * 65, "a b", 'a"b', "a\nb", "é"])
def test_other_ids_are_replaced(offered: str | None) -> None:
    picked = request_id.pick(offered)
    assert picked != offered
    assert len(picked) == 16


async def test_unknown_route_has_an_id_too(app: Quart, lines: io.StringIO) -> None:
    response = await app.test_client().get("/nowhere", headers={"X-Request-ID": "mine"})
    problem = json.loads(await response.get_data())
    assert response.headers["X-Request-ID"] == problem["request_id"] == "mine"
    assert logged(lines)[0]["status"] == 404


async def test_client_that_went_away_is_logged_as_499(app: Quart, lines: io.StringIO) -> None:
    task = asyncio.create_task(app.handle_request(make_request("/wait")))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [line["status"] for line in logged(lines)] == [499]


async def test_failure_before_any_handler_is_a_problem(
    app: Quart, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> NoReturn:
        raise ValueError

    monkeypatch.setattr(QuartMap, "bind_to_request", broken)
    response = await app.test_client().get("/")
    assert response.status_code == 500
    assert response.content_type == "application/problem+json"
    assert logged(lines)[0]["status"] == 500
