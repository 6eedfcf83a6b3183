"""Who may see the page, and what may be done from it."""

import hashlib
import json
from collections.abc import Mapping

import pytest
from quart import Quart
from quart.testing.connections import TestHTTPConnection as HTTPConnection
from werkzeug.datastructures import Headers

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.settings import Settings
from quart_app.status.breaking import Breaker
from quart_app.status.login import COOKIE
from quart_app.status.views import allow_breaking
from quart_app.tokens import parse_tokens

SECRETS = {"ops": "of ops", "students": "of students"}


def bearer(scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRETS[scope]}"}


def make_app(*scopes: str) -> Quart:
    entries = [f"{scope}:{hashlib.sha256(SECRETS[scope].encode()).hexdigest()}" for scope in scopes]
    url = parse_database_url("mysql://somebody:hidden@10.9.8.7:1/mine")
    return create_app(
        Settings(database=url, tokens=parse_tokens(",".join(entries)), access_log=False)
    )


class Untouched:
    """A server whose buttons are recorded."""

    url = admin_url = "mysql://me:x@127.0.0.1:1/mine"

    def __init__(self) -> None:
        self.done: list[str] = []

    def kill(self) -> None:
        self.done.append("kill")

    def start(self) -> None:
        self.done.append("start")

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")


class Recording(Breaker):
    def __init__(self) -> None:
        super().__init__(Untouched())
        self.started: list[str] = []

    def start(self, action: str) -> None:
        self.started.append(action)


@pytest.fixture(name="app")
def _app() -> Quart:
    return make_app("ops", "students")


async def log_in(app: Quart, token: str = SECRETS["ops"]) -> tuple[int, str]:
    answer = await app.test_client().post("/status/login", form={"token": token})
    return answer.status_code, answer.headers.get("Set-Cookie", "")


async def get(app: Quart, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    answer = await app.test_client().get(path, headers=headers)
    return answer.status_code, await answer.get_data(as_text=True)


async def test_browser_without_a_cookie_is_asked_for_a_token(app: Quart) -> None:
    status, text = await get(app, "/status")
    assert status == 401
    assert 'name="token"' in text
    assert 'id="slots"' not in text


async def test_login_form_says_how_programs_ask(app: Quart) -> None:
    """RFC 9110 wants it of each 401; browsers have no window of their own for Bearer."""
    answer = await app.test_client().get("/status")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="quart_app"'


async def test_page_leads_nowhere_its_cookie_does_not_open(app: Quart) -> None:
    _, text = await get(app, "/status", bearer("ops"))
    assert 'href="/metrics"' not in text


@pytest.mark.parametrize("path", ["/status/data", "/status/events"])
async def test_numbers_are_closed_without_a_token(app: Quart, path: str) -> None:
    assert (await get(app, path))[0] == 401
    assert (await get(app, path, bearer("students")))[0] == 403


async def test_without_any_ops_token_all_is_closed() -> None:
    app = make_app("students")
    for path in ("/status", "/status/data", "/status/events"):
        assert (await get(app, path))[0] == 403
    assert (await log_in(app, ""))[0] == 401


async def test_header_opens_the_page(app: Quart) -> None:
    status, text = await get(app, "/status", bearer("ops"))
    assert status == 200
    assert 'id="slots"' in text
    assert "data-break" not in text
    assert (await get(app, "/status", bearer("students")))[0] == 403


async def test_login_sets_a_cookie_that_opens_the_page(app: Quart) -> None:
    status, cookie = await log_in(app)
    assert status == 303
    for part in ("HttpOnly", "SameSite=Strict", "Path=/status", "Max-Age=3600"):
        assert part in cookie
    value = cookie.partition(";")[0]
    assert SECRETS["ops"] not in value
    assert (await get(app, "/status", {"Cookie": value}))[0] == 200
    assert (await get(app, "/status", {"Cookie": f"{COOKIE}=9999999999.made-up"}))[0] == 401


@pytest.mark.parametrize("token", ["", "wrong", SECRETS["students"]])
async def test_wrong_token_sets_none(app: Quart, token: str) -> None:
    assert await log_in(app, token) == (401, "")


async def test_over_tls_the_cookie_is_secure(app: Quart) -> None:
    client = app.test_client()
    answer = await client.post("/status/login", form={"token": SECRETS["ops"]}, scheme="https")
    assert "Secure" in answer.headers["Set-Cookie"]


async def test_logout_forgets_the_cookie(app: Quart) -> None:
    answer = await app.test_client().post("/status/logout")
    assert answer.status_code == 303
    assert f"{COOKIE}=;" in answer.headers["Set-Cookie"]


async def test_nothing_secret_is_told(app: Quart) -> None:
    async with app.test_app():
        status, text = await get(app, "/status/data", bearer("ops"))
    assert status == 200
    told = json.loads(text)
    assert told["endpoints"] == [{"number": 1, "state": told["endpoints"][0]["state"]}]
    assert told["slots"]
    for secret in ("10.9.8.7", "hidden", "somebody", "mine"):
        assert secret not in text


async def test_events_begin_with_the_past(app: Quart) -> None:
    async with app.test_app():
        connection: HTTPConnection = app.test_client().request(
            "/status/events", method="GET", headers=Headers(bearer("ops"))
        )  # type: ignore[assignment] # annotated as the protocol
        async with connection:
            await connection.send_complete()
            text = b""
            while b"event: now" not in text or not text.endswith(b"\n\n"):
                text += await connection.receive()
            await connection.disconnect()
    assert text.startswith(b"retry: 1000\nevent: history\ndata: [")
    assert connection.headers is not None
    assert connection.headers["Content-Type"] == "text/event-stream"
    assert connection.headers["Cache-Control"] == "no-store"


async def test_nothing_can_be_broken_but_in_dev(app: Quart) -> None:
    answer = await app.test_client().post("/status/break/kill", headers=bearer("ops"))
    assert answer.status_code == 404


async def test_buttons_break_on_behalf_of_ops_alone(app: Quart) -> None:
    breaker = Recording()
    allow_breaking(app, breaker)
    client = app.test_client()
    assert "data-break" in (await get(app, "/status", bearer("ops")))[1]
    assert (await client.post("/status/break/kill")).status_code == 401
    assert (await client.post("/status/break/no", headers=bearer("ops"))).status_code == 404
    elsewhere = {**bearer("ops"), "Origin": "http://localhost:9999"}
    assert (await client.post("/status/break/kill", headers=elsewhere)).status_code == 403
    assert breaker.started == []
    here = {**bearer("ops"), "Origin": "http://localhost"}
    assert (await client.post("/status/break/kill", headers=here)).status_code == 202
    assert breaker.started == ["kill"]
