"""Every request is answered in time."""

import asyncio
import json

import pytest
from quart import Quart, Response

from quart_app.http import deadline as request_deadline
from quart_app.http import problems
from quart_app.mysql import deadline
from quart_app.mysql.errors import PoolTimeout
from tests.support.requests import make_request


@pytest.fixture(name="app")
def _app() -> Quart:
    app = Quart(__name__)
    problems.install(app)
    request_deadline.install(app, timeout=10.0)

    @app.get("/remaining")
    async def remaining() -> str:
        return str(deadline.remaining())

    @app.route("/wait", methods=["GET", "POST"])
    async def wait() -> str:
        await asyncio.sleep(3600)
        return ""

    @app.get("/own-timeout")
    async def own_timeout() -> str:
        async with asyncio.timeout(1):
            await asyncio.sleep(3600)
        return ""

    @app.get("/pool-timeout")
    async def pool_timeout() -> str:
        await asyncio.sleep(10.1)
        raise PoolTimeout

    return app


async def type_of(app: Quart, path: str, method: str = "GET") -> tuple[int, str]:
    response = await app.handle_request(make_request(path, method=method))
    assert isinstance(response, Response)
    return response.status_code, json.loads(await response.get_data())["type"]


async def test_handler_runs_under_the_ambient_deadline(app: Quart) -> None:
    response = await app.test_client().get("/remaining")
    assert await response.get_data() == b"10.0"
    assert deadline.current() is None


async def test_stuck_handler_is_cancelled_just_after_the_deadline(app: Quart) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await type_of(app, "/wait") == (503, "/problems/timeout")
    assert loop.time() - began == pytest.approx(10.0 + request_deadline.GRACE)


async def test_outcome_of_a_stuck_change_is_unknown(app: Quart) -> None:
    assert await type_of(app, "/wait", "POST") == (503, "/problems/outcome-unknown")


async def test_timeout_of_the_handlers_own_is_a_defect(app: Quart) -> None:
    assert await type_of(app, "/own-timeout") == (500, "/problems/internal")


async def test_what_the_engine_says_at_the_deadline_counts(app: Quart) -> None:
    assert await type_of(app, "/pool-timeout") == (503, "/problems/unavailable")


async def test_clients_disconnect_is_no_timeout(app: Quart) -> None:
    task = asyncio.create_task(app.handle_request(make_request("/wait")))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
