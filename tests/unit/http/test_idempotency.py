"""Idempotency-Key: which keys are good, and how they go. More is tested on real servers."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from quart import Quart, Request, Response, request
from werkzeug.datastructures import Headers

from quart_app.extension import QuartMySQL, current_session
from quart_app.http import idempotency, problems
from quart_app.http.idempotency import MAX_KEY_LENGTH, PURGE_BATCH, PURGE_EVERY, read_key
from quart_app.http.problems import INVALID, ProblemError
from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.errors import IntegrityError
from tests.support import wire
from tests.support.requests import make_request
from tests.support.server import answer, refuse
from tests.unit.http.ledger_server import LedgerServer
from tests.unit.http.test_keyed_property import make_app


def _request(*keys: str) -> Request:
    request = make_request(method="POST")
    request.headers = Headers([("Idempotency-Key", key) for key in keys])
    return request


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", b"8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"8e03978e"', b"8e03978e"),
        ("  padded  ", b"padded"),
        ('"', b'"'),
        ("a b", b"a b"),
        ("x" * MAX_KEY_LENGTH, b"x" * MAX_KEY_LENGTH),
    ],
)
def test_a_key_is_read_bare_or_quoted(header: str, key: bytes) -> None:
    assert read_key(_request(header)) == key


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("",),
        ("   ",),
        ('""',),
        ("x" * (MAX_KEY_LENGTH + 1),),
        ("schl\u00fcssel",),
        ("tab\tbed",),
        ("\x7f",),
        ("one", "two"),
    ],
)
def test_anything_else_is_refused(headers: tuple[str, ...]) -> None:
    with pytest.raises(ProblemError) as caught:
        read_key(_request(*headers))
    assert caught.value.kind.status == 400
    assert not any(key and key in caught.value.detail for key in headers if len(key) > 3)


CONNECT = ConnectConfig(endpoints=(Endpoint(),), user="u", tls_mode=TLSMode.DISABLED)


def _purges(server: LedgerServer) -> int:
    return sum(sql.startswith("DELETE FROM idempotency_key") for sql in server.statements)


async def test_old_keys_are_purged_now_and_then_and_after_a_failure_again() -> None:
    app, server = Quart(__name__), LedgerServer({})
    server.serve_in_memory()
    QuartMySQL(app, connect=CONNECT)
    idempotency.install(app, keep=3600)
    async with app.test_app():
        await asyncio.sleep(1.6 * PURGE_EVERY)
        assert _purges(server) >= 1
        server.react("DELETE", refuse(1146))
        before = _purges(server)
        await asyncio.sleep(3.2 * PURGE_EVERY)
        assert _purges(server) >= before + 2
        (statement,) = {sql for sql in server.statements if sql.startswith("DELETE")}
        assert "INTERVAL 3600 SECOND" in statement
        assert f"LIMIT {PURGE_BATCH}" in statement


async def test_a_full_batch_is_followed_by_another() -> None:
    app, server = Quart(__name__), LedgerServer({})
    server.serve_in_memory()
    db = QuartMySQL(app, connect=CONNECT)
    server.react("DELETE", answer(wire.ok(affected=7)))
    server.react("DELETE", answer(wire.ok(affected=PURGE_BATCH)), times=2)
    async with app.test_app():
        assert await idempotency.purge(db, keep=60) == 2 * PURGE_BATCH + 7


@pytest.mark.parametrize(("errno", "status"), [(1452, 409), (1146, 500)])
async def test_another_error_than_a_duplicate_is_not_taken_for_one(errno: int, status: int) -> None:
    app, server = make_app(), LedgerServer({})
    server.serve_in_memory()
    server.react("INSERT INTO idempotency_key", refuse(errno))
    async with app.test_app():
        response = await app.test_client().post("/attempts", headers={"Idempotency-Key": "k"})
        assert response.status_code == status


async def test_a_key_purged_at_this_moment_is_tried_again() -> None:
    app, server = make_app(), LedgerServer({})
    server.serve_in_memory()
    server.react("INSERT INTO idempotency_key", refuse(1062), times=1)
    async with app.test_app():
        response = await app.test_client().post("/attempts", headers={"Idempotency-Key": "k"})
        assert response.status_code == 201
        assert server.attempts == ["k"]


def _app(work: Callable[[], Awaitable[idempotency.Answer]]) -> tuple[Quart, LedgerServer]:
    app, server = Quart(__name__), LedgerServer({})
    server.serve_in_memory()
    QuartMySQL(app, connect=CONNECT)
    problems.install(app)

    @app.post("/")
    async def post() -> Response:
        return await idempotency.once(request, content=b"", work=work)

    return app, server


async def _post(app: Quart, *, token: str = "", key: str = "k") -> tuple[int, bytes, str | None]:
    headers = {"Idempotency-Key": key, "Authorization": f"Bearer {token}"}
    response = await app.test_client().post("/", headers=headers)
    answer = await response.get_data(as_text=False)
    assert isinstance(answer, bytes)
    return response.status_code, answer, response.headers.get("Idempotent-Replayed")


async def test_a_key_is_its_callers_alone() -> None:
    numbers = count()

    async def work() -> idempotency.Answer:
        await current_session().execute("INSERT INTO attempt VALUES (%s)", ("x",))
        return idempotency.Answer(status=201, body=b"%d" % next(numbers))

    app, server = _app(work)
    async with app.test_app():
        for token, number in (("one", b"0"), ("two", b"1"), ("", b"2")):
            assert await _post(app, token=token) == (201, number, None)
        for token, number in (("one", b"0"), ("two", b"1"), ("", b"2")):
            assert await _post(app, token=token) == (201, number, "true")
    assert len(server.attempts) == 3


async def test_work_without_a_statement_is_done_once_too() -> None:
    numbers = count()

    async def work() -> idempotency.Answer:
        return idempotency.Answer(status=201, body=b"%d" % next(numbers))

    app, _ = _app(work)
    async with app.test_app():
        assert await _post(app) == (201, b"0", None)
        assert await _post(app) == (201, b"0", "true")


async def test_work_that_takes_a_taken_key_for_its_own_conflict_changes_nothing() -> None:
    async def work() -> idempotency.Answer:
        try:
            await current_session().execute("INSERT INTO attempt VALUES (%s)", ("x",))
        except IntegrityError:
            await current_session().execute("INSERT INTO attempt VALUES (%s)", ("wrong",))
            return idempotency.Answer(status=409, body=b"wrong")
        return idempotency.Answer(status=201, body=b"right")

    app, server = _app(work)
    async with app.test_app():
        assert await _post(app) == (201, b"right", None)
        assert await _post(app) == (201, b"right", "true")
    assert server.attempts == ["x"]


async def test_what_the_work_raises_itself_is_not_taken_for_the_keys() -> None:
    async def work() -> idempotency.Answer:
        await current_session().execute("INSERT INTO attempt VALUES (%s)", ("x",))
        raise ProblemError(INVALID, "no")

    app, server = _app(work)
    async with app.test_app():
        assert (await _post(app))[0] == 400
    assert server.keys == {}
    assert server.attempts == []
