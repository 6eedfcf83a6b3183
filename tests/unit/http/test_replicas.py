"""Who may have written, and was told of an error, reads from the writer."""

import asyncio

import pytest
from quart import Quart

from quart_app.extension import QuartMySQL
from quart_app.http import deadline, problems, reconnect, replicas
from quart_app.http.lean import LeanQuart
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.errors import CommitUnknown
from tests.support.server import ScriptedServer

CONNECT = ConnectConfig(endpoints=(Endpoint(),), user="u", tls_mode=TLSMode.DISABLED)


def _app() -> Quart:
    ScriptedServer().serve_in_memory()
    app = LeanQuart("tested")
    QuartMySQL(app, connect=CONNECT, pool=PoolConfig(minsize=0))
    problems.install(app)
    replicas.install(app)
    reconnect.install(app)
    deadline.install(app, timeout=1.0)

    @app.route("/unknown", methods=["GET", "POST"])
    async def unknown() -> str:
        raise CommitUnknown("lost")

    @app.post("/broken")
    async def broken() -> str:
        raise KeyError

    @app.post("/slow")
    async def slow() -> str:
        await asyncio.sleep(60)
        return "never"

    return app


@pytest.mark.parametrize(("path", "status"), [("/unknown", 503), ("/broken", 500), ("/slow", 503)])
async def test_who_looks_after_an_error_looks_at_the_writer(path: str, status: int) -> None:
    app = _app()
    async with app.test_app():
        response = await app.test_client().post(path)
        assert response.status_code == status
        assert response.headers.getlist("X-Read-After") == ["writer"]
        assert response.headers["Set-Cookie"].startswith("quart_app_read_after=writer;")


async def test_error_of_a_read_says_nothing_of_writes() -> None:
    app = _app()
    async with app.test_app():
        response = await app.test_client().get("/unknown")
        assert response.status_code == 503
        assert "X-Read-After" not in response.headers
