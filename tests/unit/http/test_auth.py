"""Bearer tokens: who gets in."""

import hashlib
import json
from pathlib import Path

import pytest
from quart import Quart

from quart_app.http import auth, problems
from quart_app.http.auth import MAX_TOKEN_LENGTH, requires
from quart_app.tokens import LOOK_EVERY, LatestTokens, Scope, Tokens, read_tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


TOKENS = Tokens(
    digests={Scope.STUDENTS: (_digest("old"), _digest("new")), Scope.OPS: (_digest("ops"),)}
)


def make_app(tokens: Tokens = TOKENS) -> Quart:
    app = Quart(__name__)
    problems.install(app)
    auth.install(app, tokens=tokens)

    @app.get("/students/<int:number>")
    @requires(Scope.STUDENTS)
    async def students(number: int) -> str:
        return f"student {number}"

    return app


async def _get(app: Quart, authorization: str | None) -> tuple[int, str | None, str]:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await app.test_client().get("/students/7", headers=headers)
    body = await response.get_data(as_text=True)
    assert isinstance(body, str)
    return response.status_code, response.headers.get("WWW-Authenticate"), body


@pytest.mark.parametrize("token", ["old", "new"])
@pytest.mark.parametrize("kind", ["Bearer", "bearer"])
async def test_every_token_of_the_scope_opens(token: str, kind: str) -> None:
    assert await _get(make_app(), f"{kind} {token}") == (200, None, "student 7")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic b2xk", "old", "Bearer " + "x" * (MAX_TOKEN_LENGTH + 1)],
)
async def test_no_token_is_asked_for_one(authorization: str | None) -> None:
    status, challenge, _ = await _get(make_app(), authorization)
    assert (status, challenge) == (401, 'Bearer realm="quart_app"')


@pytest.mark.parametrize("token", ["expired", "Old", "old new", "\xff"])
async def test_a_wrong_token_is_told_so(token: str) -> None:
    status, challenge, body = await _get(make_app(), f"Bearer {token}")
    assert status == 401
    assert challenge is not None
    assert challenge.endswith('error="invalid_token"')
    assert json.loads(body)["type"] == "/problems/unauthorized"
    assert token not in body


async def test_a_token_of_another_scope_is_forbidden() -> None:
    status, _, body = await _get(make_app(), "Bearer ops")
    assert (status, json.loads(body)["type"]) == (403, "/problems/forbidden")


@pytest.mark.parametrize("authorization", [None, "Bearer old", "Bearer "])
async def test_without_any_token_the_scope_is_closed(authorization: str | None) -> None:
    status, _, _ = await _get(make_app(Tokens()), authorization)
    assert status == 403


async def test_a_token_taken_out_of_its_file_opens_no_more(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"students:{_digest('old').hex()}")
    now = [0.0]
    app = make_app()
    app.extensions[auth.EXTENSION] = LatestTokens(read_tokens(file), clock=lambda: now[0])
    assert (await _get(app, "Bearer old"))[0] == 200
    file.write_text(f"students:{_digest('the new').hex()}")
    now[0] += LOOK_EVERY
    assert (await _get(app, "Bearer old"))[0] == 401
    assert (await _get(app, "Bearer the new"))[0] == 200
