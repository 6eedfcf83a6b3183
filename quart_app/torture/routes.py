"""Routes that only the torture app has: what the promises W and T are about, and rude behaviour.

Handlers are written as anybody would write them: nothing in here knows of lost connections.
"""

import asyncio
import gc
import resource
import time
from dataclasses import asdict
from pathlib import Path

import msgspec
from quart import Blueprint, Quart, Response, request

from quart_app.app import create_app
from quart_app.extension import current_session
from quart_app.mysql.driver import Connection
from quart_app.settings import Settings

blueprint = Blueprint("torture", __name__, url_prefix="/torture")
_leaked: list[object] = []


def create_torture_app(settings: Settings) -> Quart:
    """The app, and these routes."""
    app = create_app(settings)
    app.register_blueprint(blueprint)
    return app


@blueprint.post("/plain/<int:token>")
async def plain(token: int) -> str:
    """W: a plain autocommit write, with a raw cursor."""
    async with current_session().pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("INSERT INTO torture_write (token) VALUES (%s)", (token,))
    return "done"


@blueprint.post("/transfer/<int:token>")
async def transfer(token: int) -> str:
    """T: a transaction as one piece of work, not declared idempotent."""

    async def work(connection: Connection) -> None:
        await _move(connection, token)

    await current_session().run(work, idempotent=False)
    return "done"


@blueprint.post("/transfer-once/<int:token>")
async def transfer_once(token: int) -> str:
    """T, idempotent: the work looks whether it was done."""

    async def work(connection: Connection) -> None:
        done = await connection.run("INSERT IGNORE INTO torture_once (token) VALUES (%s)", (token,))
        if done.affected_rows:
            await _move(connection, token)

    await current_session().run(work, idempotent=True)
    return "done"


async def _move(connection: Connection, token: int) -> None:
    source, target = (int(request.args[name]) for name in ("source", "target"))
    # What was read must still be so when it is changed; some servers see to that (1020).
    await connection.run("SELECT balance FROM torture_account WHERE account_id = %s", (source,))
    add = "UPDATE torture_account SET balance = balance + %s WHERE account_id = %s"
    await connection.run(add, (-1, source))
    await connection.run(add, (1, target))
    entry = "INSERT INTO torture_entry (token, source, target) VALUES (%s, %s, %s)"
    await connection.run(entry, (token, source, target))


@blueprint.get("/sleep/<float:seconds>")
async def sleep(seconds: float) -> str:
    """A statement that takes long."""
    await current_session().fetch_val("SELECT SLEEP(%s)", (seconds,))
    return "slept"


@blueprint.post("/leak")
async def leak() -> str:
    """Borrow a connection and never give it back."""
    _leaked.append(await current_session().pool.acquire())
    return "leaked"


@blueprint.post("/starve/<float:seconds>")
async def starve(seconds: float) -> str:
    """Block the event loop."""
    time.sleep(seconds)  # noqa: ASYNC251 - the rudeness is the point
    return "starved"


@blueprint.get("/state")
async def state() -> Response:
    """Tell what this process holds."""
    pool = current_session().pool
    gc.collect()
    held = {
        "pool": asdict(pool.stats()),
        "tasks": len(asyncio.all_tasks()),
        "files": _files(),
        "rss_bytes": _rss(),
    }
    return Response(msgspec.json.encode(held), content_type="application/json")


def _files() -> int:
    open_files = Path("/proc/self/fd")
    return sum(1 for _ in open_files.iterdir()) if open_files.exists() else 0


def _rss() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
