"""Every request is counted, by the template of its route."""

import hashlib

import pytest
from quart import Quart, Response

from quart_app.extension import QuartMySQL
from quart_app.http import auth, metrics, problems
from quart_app.http.metrics import template
from quart_app.metrics import Metrics
from quart_app.mysql.config import ConnectConfig
from quart_app.tokens import parse_tokens

OPS = {"Authorization": "Bearer secret"}


@pytest.fixture(name="app")
async def _app() -> Quart:
    app = Quart(__name__, static_folder=None)
    counted = Metrics(name="mysql")
    QuartMySQL(app, connect=ConnectConfig(), observer=counted.pool)
    problems.install(app)
    auth.install(app, tokens=parse_tokens(f"ops:{hashlib.sha256(b'secret').hexdigest()}"))
    metrics.install(app, counted)
    app.register_blueprint(metrics.blueprint)

    @app.get("/cities/<int:city_id>")
    async def city(city_id: int) -> str:
        return str(city_id)

    @app.get("/broken")
    async def broken() -> str:
        raise ZeroDivisionError

    @app.post("/attempts")
    async def attempts() -> Response:
        return Response("again", headers={metrics.REPLAYED: "true"})

    return app


async def page(app: Quart) -> str:
    answer = await app.test_client().get("/metrics", headers=OPS)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    return await answer.get_data(as_text=True)


async def test_page_is_closed_without_an_ops_token(app: Quart) -> None:
    assert (await app.test_client().get("/metrics")).status_code == 401


async def test_route_is_counted_by_its_template(app: Quart) -> None:
    for number in range(3):
        await app.test_client().get(f"/cities/{number}")
    text = await page(app)
    labels = 'method="GET",route="/cities/{city_id}",status="200"'
    assert f"http_request_duration_seconds_count{{{labels}}} 3.0" in text
    assert "/cities/1" not in text


async def test_unknown_addresses_share_one_series(app: Quart) -> None:
    for number in range(3):
        await app.test_client().get(f"/made-up/{number}")
    text = await page(app)
    labels = 'method="GET",route="none",status="404"'
    assert f"http_request_duration_seconds_count{{{labels}}} 3.0" in text
    assert 'http_problems_total{type="not-found"} 3.0' in text
    assert "made-up" not in text


async def test_defects_are_counted_as_what_the_client_saw(app: Quart) -> None:
    await app.test_client().get("/broken")
    text = await page(app)
    assert 'http_problems_total{type="internal"} 1.0' in text
    assert 'route="/broken",status="500"} 1.0' in text


async def test_stored_answers_are_counted(app: Quart) -> None:
    await app.test_client().post("/attempts")
    assert "http_idempotent_replays_total 1.0" in await page(app)


async def test_request_being_handled_is_in_progress(app: Quart) -> None:
    assert "http_requests_in_progress 1.0" in await page(app)
    assert metrics.current_metrics is not None
    assert app.extensions[metrics.EXTENSION].requests.active == 0


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("/", "/"),
        ("/cities/<id:city_id>", "/cities/{city_id}"),
        ("/a/<b>/c/<any(x, y):d>", "/a/{b}/c/{d}"),
    ],
)
def test_template(rule: str, expected: str) -> None:
    assert template(rule) == expected
