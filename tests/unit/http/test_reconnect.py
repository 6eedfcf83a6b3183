"""The reconnect middleware: which requests are handled again, and what the others are told."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

import aiomysql
import pytest
from quart import Quart, request
from quart.datastructures import FileStorage

from quart_app.extension import QuartMySQL
from quart_app.http import deadline, problems, reconnect
from quart_app.http.lean import LeanQuart
from quart_app.http.reconnect import KEPT_BODY_BYTES, ReplayableBody, keyed, no_replay
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.errors import PoolTimeout
from tests.support.server import (
    Reaction,
    ScriptedServer,
    greet,
    hang_up,
    last_words,
    refuse,
    reset,
    say_nothing,
)

CONNECT = ConnectConfig(endpoints=(Endpoint(),), user="u", tls_mode=TLSMode.DISABLED)
INSERT = "INSERT INTO t VALUES (1)"


@dataclass
class Scene:
    """An app whose handlers use raw cursors, on a scripted server."""

    app: Quart
    server: ScriptedServer
    handled: list[str] = field(default_factory=list)

    async def send(
        self, path: str, *, method: str = "GET", **more: object
    ) -> tuple[int, dict[str, object], str | None]:
        response = await self.app.test_client().open(path, method=method, **more)  # type: ignore[arg-type] # headers, data
        body = await response.get_data()
        answer = json.loads(body) if body[:1] == b"{" else {"text": body}
        return response.status_code, answer, response.headers.get("Retry-After")

    @property
    def inserts(self) -> int:
        return self.server.statements.count(INSERT)


@asynccontextmanager
async def scene(
    *, max_held: int = 10, statement_timeout: float | None = None
) -> AsyncIterator[Scene]:
    app, server = LeanQuart(__name__), ScriptedServer()
    server.serve_in_memory()
    pool = PoolConfig(minsize=0, acquire_timeout=1.0, statement_timeout=statement_timeout)
    db = QuartMySQL(app, connect=CONNECT, pool=pool)
    problems.install(app)
    reconnect.install(app, max_held=max_held)
    deadline.install(app, timeout=10.0)
    play = Scene(app, server)
    run = _statements(db, play)
    _add_plain_routes(app, run)
    _add_special_routes(app, run, play)
    _add_group_route(app, run)
    async with app.test_app():
        yield play


Run = Callable[..., Coroutine[object, object, str]]


def _statements(db: QuartMySQL, play: Scene) -> Run:
    """What every handler does: a raw cursor, on a connection of the pool."""

    async def run(*statements: str) -> str:
        play.handled.append(request.method)
        async with db.pool.acquire() as connection, connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
        return "done"

    return run


def _add_plain_routes(app: Quart, run: Run) -> None:
    @app.route("/read", methods=["GET", "POST"])
    async def read() -> str:
        return await run("SELECT 1")

    @app.route("/write", methods=["POST", "PUT", "DELETE", "PATCH"])
    async def write() -> str:
        return await run(INSERT)

    @app.post("/write-then-read")
    async def write_then_read() -> str:
        return await run(INSERT, "SELECT 1")

    @app.post("/transaction")
    async def transaction() -> str:
        return await run("BEGIN", INSERT, "SELECT 1", "COMMIT")


def _add_special_routes(app: Quart, run: Run, play: Scene) -> None:
    @app.post("/keyed")
    @keyed
    async def with_key() -> str:
        return await run(INSERT)

    @app.route("/once", methods=["GET"])
    @no_replay
    async def once() -> str:
        return await run("SELECT 1")

    @app.post("/body")
    async def body() -> str:
        data = [part async for part in request.body]
        await run("SELECT 1")
        return str(len(b"".join(data)))

    @app.post("/busy")
    async def busy() -> str:
        play.handled.append("busy")
        raise PoolTimeout("all busy")

    @app.get("/broken")
    async def broken() -> str:
        play.handled.append("broken")
        raise KeyError


def _add_group_route(app: Quart, run: Run) -> None:
    @app.get("/group")
    async def group() -> str:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(run("SELECT 1"))
            if request.args.get("broken"):
                tasks.create_task(_break())
        return "done"


async def _break() -> None:
    raise KeyError


LOSSES = [
    pytest.param(hang_up, id="fin"),
    pytest.param(reset, id="rst"),
    pytest.param(refuse(1053), id="shutdown"),
    pytest.param(refuse(1927), id="killed"),
]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_read_with_a_raw_cursor_is_handled_again(
    loss: Reaction, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene() as play:
        play.server.react("SELECT 1", loss, times=1)
        with caplog.at_level(logging.WARNING, logger="quart_app.http"):
            assert (await play.send("/read"))[0] == 200
        assert play.handled == ["GET", "GET"]
        assert [r.getMessage()[:6] for r in caplog.records if r.name == "quart_app.http"] == [
            "healed"
        ]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_post_that_only_read_is_handled_again(loss: Reaction) -> None:
    async with scene() as play:
        play.server.react("SELECT 1", loss, times=1)
        assert (await play.send("/read", method="POST"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("loss", LOSSES)
async def test_a_write_that_may_have_happened_is_not_handled_again(
    loss: Reaction, method: str
) -> None:
    async with scene() as play:
        play.server.react("INSERT", loss)
        status, problem, retry_after = await play.send("/write", method=method)
        assert (status, problem["type"]) == (503, "/problems/outcome-unknown")
        assert retry_after == "1"
        assert play.inserts == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_write_with_an_idempotent_method_is_handled_again(method: str) -> None:
    async with scene() as play:
        play.server.react("INSERT", hang_up, times=1)
        assert (await play.send("/write", method=method))[0] == 200
        assert play.inserts == 2


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(last_words(4031), id="4031"),
        pytest.param(refuse(1290, message="--read-only"), id="read-only"),
        pytest.param(refuse(1047), id="galera"),
        pytest.param(refuse(1213), id="deadlock"),
    ],
)
async def test_a_write_proven_not_executed_is_handled_again(refusal: Reaction) -> None:
    async with scene() as play:
        play.server.react("INSERT", refusal, times=1)
        assert (await play.send("/write", method="POST"))[0] == 200
        assert play.inserts == 2


async def test_a_write_refused_to_the_end_changed_nothing() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1290, message="--read-only"))
        status, problem, _ = await play.send("/write", method="POST")
        assert (status, problem["type"]) == (503, "/problems/unavailable")


async def test_what_was_written_before_is_not_written_again() -> None:
    async with scene() as play:
        play.server.react("SELECT 1", hang_up)
        status, problem, _ = await play.send("/write-then-read", method="POST")
        assert (status, problem["type"]) == (503, "/problems/outcome-unknown")
        assert play.inserts == 1


async def test_an_uncommitted_transaction_is_handled_again() -> None:
    async with scene() as play:
        play.server.react("SELECT 1", hang_up, times=1)
        assert (await play.send("/transaction", method="POST"))[0] == 200
        assert play.inserts == 2
        assert play.server.statements.count("COMMIT") == 1


async def test_a_lost_commit_is_not_handled_again() -> None:
    async with scene() as play:
        play.server.react("COMMIT", hang_up)
        status, problem, _ = await play.send("/transaction", method="POST")
        assert (status, problem["type"]) == (503, "/problems/outcome-unknown")
        assert play.inserts == 1


async def test_a_key_counts_where_the_view_is_keyed_and_nowhere_else() -> None:
    headers = {"Idempotency-Key": "k"}
    async with scene() as play:
        play.server.react("INSERT", hang_up, times=1)
        assert (await play.send("/keyed", method="POST", headers=headers))[0] == 200
        play.server.react("INSERT", hang_up, times=1)
        assert (await play.send("/write", method="POST", headers=headers))[0] == 503
        play.server.react("INSERT", hang_up, times=1)
        assert (await play.send("/keyed", method="POST"))[0] == 503


@pytest.mark.parametrize(
    ("path", "problem"), [("/transaction", "unavailable"), ("/write", "outcome-unknown")]
)
async def test_a_full_disk_is_told_and_not_tried_again(
    path: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1114))
        with caplog.at_level(logging.WARNING, logger="quart_app.http"):
            status, told, retry_after = await play.send(path, method="POST")
        assert (status, told["type"], retry_after) == (503, f"/problems/{problem}", "30")
        assert play.inserts == 1
        assert [r.getMessage() for r in caplog.records if r.name == "quart_app.http"] == [
            f"{problem}: StorageFailed 1114"
        ]


async def test_a_doubt_of_an_earlier_try_is_not_forgotten() -> None:
    async with scene() as play:
        play.server.react("INSERT", refuse(1290, message="--read-only"))
        play.server.react("INSERT", hang_up, times=1)
        status, problem, _ = await play.send("/write", method="PUT")
        assert (status, problem["type"]) == (503, "/problems/outcome-unknown")


async def test_a_view_can_decline() -> None:
    async with scene() as play:
        play.server.react("SELECT 1", hang_up, times=1)
        status, problem, _ = await play.send("/once")
        assert (status, problem["type"]) == (503, "/problems/unavailable")
        assert play.handled == ["GET"]


async def test_requests_are_held_while_the_server_is_away() -> None:
    async with scene() as play:
        play.server.react("GREETING", hang_up)
        waiting = [asyncio.create_task(play.send("/write", method="POST")) for _ in range(3)]
        await asyncio.sleep(5)
        play.server.react("GREETING", greet)
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200] * 3
        assert play.inserts == 3


async def test_a_server_that_stays_away_costs_the_deadline_and_no_more() -> None:
    async with scene() as play:
        play.server.react("GREETING", hang_up)
        began = asyncio.get_running_loop().time()
        status, problem, retry_after = await play.send("/read")
        assert (status, problem["type"], retry_after) == (503, "/problems/unavailable", "1")
        assert 8 < asyncio.get_running_loop().time() - began <= 10


async def test_no_more_requests_are_held_than_allowed() -> None:
    async with scene(max_held=2) as play:
        play.server.react("GREETING", hang_up)
        waiting = [asyncio.create_task(play.send("/read")) for _ in range(5)]
        done, held = await asyncio.wait(waiting, timeout=2)
        assert (len(done), len(held)) == (3, 2)
        assert {task.result()[0] for task in done} == {503}
        await asyncio.gather(*held)


async def test_a_busy_pool_is_no_reason_to_hold_anybody() -> None:
    async with scene() as play:
        status, problem, _ = await play.send("/busy", method="POST")
        assert (status, problem["type"]) == (503, "/problems/unavailable")
        assert play.handled == ["busy"]


async def test_a_stuck_read_is_handled_again_on_another_connection() -> None:
    async with scene(statement_timeout=5.0) as play:
        play.server.react("SELECT 1", say_nothing, times=1)
        assert (await play.send("/read"))[0] == 200


async def test_a_stuck_write_may_have_happened() -> None:
    async with scene(statement_timeout=5.0) as play:
        play.server.react("INSERT", say_nothing)
        status, problem, _ = await play.send("/write", method="POST")
        assert (status, problem["type"]) == (503, "/problems/outcome-unknown")
        assert play.inserts == 1


async def test_a_server_that_answers_nothing_costs_the_deadline() -> None:
    async with scene(statement_timeout=5.0) as play:
        play.server.react("SELECT 1", say_nothing)
        status, problem, _ = await play.send("/read")
        assert (status, problem["type"]) == (503, "/problems/timeout")


async def test_other_errors_are_none_of_its_business() -> None:
    async with scene() as play:
        assert (await play.send("/broken"))[0] == 500
        assert play.handled == ["broken"]
        play.server.react("INSERT", refuse(1062))
        await play.send("/write", method="POST")
        assert play.inserts == 1
        assert (await play.send("/nowhere"))[0] == 404


async def test_a_group_of_tasks_that_lost_their_connections_is_handled_again() -> None:
    async with scene() as play:
        play.server.react("SELECT 1", hang_up, times=2)
        assert (await play.send("/group"))[0] == 200
        play.server.react("SELECT 1", hang_up, times=2)
        assert (await play.send("/group?broken=1"))[0] == 500


async def test_an_error_of_the_second_try_is_the_answer() -> None:
    async with scene() as play:
        play.server.react("SELECT 1", refuse(1064))
        play.server.react("SELECT 1", hang_up, times=1)
        assert (await play.send("/read"))[0] == 500
        assert play.handled == ["GET", "GET"]


@pytest.mark.parametrize(("size", "status"), [(KEPT_BODY_BYTES, 200), (KEPT_BODY_BYTES + 1, 503)])
async def test_a_body_read_in_pieces_is_kept_up_to_a_limit(size: int, status: int) -> None:
    async with scene() as play:
        play.server.react("SELECT 1", hang_up, times=1)
        answered, answer, _ = await play.send("/body", method="POST", data=b"x" * size)
        assert answered == status
        assert status == 503 or answer["text"] == str(size).encode()


async def test_files_are_read_from_their_start_again() -> None:
    async with scene() as play:
        db = play.app.extensions["QUART_MYSQL"]

        @play.app.post("/upload")
        async def upload() -> str:
            file = (await request.files)["file"]
            play.handled.append(file.read().decode() + (await request.form)["field"])
            async with db.pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT 1")
            file.close()
            return "done"

        play.server.react("SELECT 1", hang_up, times=1)
        upload_of = {"file": FileStorage(BytesIO(b"content"), filename="name")}
        sent = await play.send("/upload", method="POST", files=upload_of, form={"field": "+"})
        assert sent[0] == 200
        assert play.handled == ["content+"] * 2


async def test_a_cleared_body_comes_back() -> None:
    body = ReplayableBody(None, None)
    body.set_result(b"abc")
    body.clear()
    assert await body == b""
    assert body.rewind()
    assert await body == b"abc"
    assert body.rewind()
    assert await body == b"abc"


async def test_handlers_see_connections_of_aiomysql() -> None:
    async with scene() as play:
        db = play.app.extensions["QUART_MYSQL"]
        async with db.connection() as connection:
            assert isinstance(connection, aiomysql.Connection)
