"""Every route that is there, and every way to miss one, answers with the headers for browsers."""

import re

import pytest
from quart import Quart
from quart.testing import QuartClient

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.settings import Settings
from tests.support.protection import assert_protected

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE")


@pytest.fixture(name="app")
def _app() -> Quart:
    url = parse_database_url("mysql://me:hidden@127.0.0.1:1/mine")
    return create_app(Settings(database=url, access_log=False))


@pytest.mark.parametrize("method", METHODS)
async def test_every_route_and_every_mistake_has_the_headers(app: Quart, method: str) -> None:
    client = QuartClient(app)
    paths = [re.sub(r"<[^>]+>", "1", str(rule)) for rule in app.url_map.iter_rules()]
    mistakes = ["/nowhere", "/static/../app.py", "/cities/x", "/cities?limit=x", "/?city=London"]
    assert len(paths) > 10
    for path in [*paths, *mistakes]:
        if path != "/status/events":  # it never ends
            assert_protected(await client.open(path, method=method), at=f"{method} {path}")


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/unavailable"])
async def test_page_holds_nothing_that_its_policy_would_stop(app: Quart, path: str) -> None:
    response = await app.test_client().get(path)
    page = await response.get_data(as_text=True)
    assert response.mimetype == "text/html"
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=\"/)", page)


@pytest.mark.parametrize(
    "name", ["a" * 5000, "%00", "%F0%9F%98%80" * 100, "../app.py", "..%2f..%2fapp.py", "a/" * 90]
)
async def test_file_that_cannot_exist_is_not_found(app: Quart, name: str) -> None:
    response = await app.test_client().get(f"/static/{name}")
    assert response.status_code == 404
