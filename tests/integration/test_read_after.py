"""Over HTTP: whoever writes gets a token, and whoever brings one back is answered accordingly."""

from collections.abc import AsyncIterator

import pytest
from quart import Quart

from quart_app.database_url import parse_database_url
from quart_app.extension import QuartMySQL, current_session
from quart_app.http import replicas
from quart_app.http.lean import LeanQuart

pytestmark = pytest.mark.mysql


@pytest.fixture(name="app")
async def _app(database_url: str) -> AsyncIterator[Quart]:
    """An app whose replica is the writer itself: what may be read there is counted."""
    config = parse_database_url(database_url)
    app = LeanQuart("read_after", static_folder=None)
    QuartMySQL(app, connect=config, replicas=config)
    replicas.install(app)

    @app.get("/")
    async def read() -> str:
        return str(await current_session().fetch_val("SELECT 1"))

    @app.post("/")
    async def write() -> str:
        await current_session().execute("CREATE TABLE IF NOT EXISTS thing (id INT PRIMARY KEY)")
        return "written"

    async with app.test_app():
        yield app


def _answered(app: Quart) -> int:
    session: QuartMySQL = app.extensions["QUART_MYSQL"]
    assert session.replicas is not None
    return session.replicas.answered


async def test_safe_request_is_read_from_the_replica(app: Quart) -> None:
    response = await app.test_client().get("/")
    assert await response.get_data(as_text=True) == "1"
    assert _answered(app) == 1
    assert "X-Read-After" not in response.headers


async def test_request_that_may_have_written_gets_a_token_in_a_header_and_a_cookie(
    app: Quart,
) -> None:
    response = await app.test_client().post("/")
    brought = response.headers["X-Read-After"]
    cookie = response.headers["Set-Cookie"]
    assert brought == "writer" or brought.startswith(("mysql:", "mariadb:"))
    assert cookie.startswith("quart_app_read_after=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_client_without_a_usable_token_is_answered_by_the_writer(app: Quart) -> None:
    for brought in ("writer", "'; DROP TABLE thing", "x" * 5000):
        response = await app.test_client().get("/", headers={"X-Read-After": brought})
        assert response.status_code == 200
    assert _answered(app) == 0


async def test_cookie_is_as_good_as_the_header(app: Quart) -> None:
    client = app.test_client()
    await client.post("/")
    response = await client.get("/")
    assert await response.get_data(as_text=True) == "1"
