"""Rows 11 to 13, 15: how a program begins and ends, and where its server is."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from quart_app.database_url import parse_database_url
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig
from quart_app.mysql.pool import Pool
from quart_app.torture import client
from quart_app.torture.program import Program
from quart_app.torture.proxy import FaultProxy
from quart_app.torture.rows.row import Row
from quart_app.torture.scene import AFTER, Scene

HEALING = 5.0
GRACEFUL = 15.0
WATCHED = 3.0
# Requests ask all the time; a pool that backs off connects far less often.
MOST_CONNECTS = 15
UNAVAILABLE = 503


async def _down_at_start(scene: Scene, row: Row) -> None:
    await scene.faults.kill_server()
    async with scene.program(row.settings) as program:
        ready = await client.once(program.port, "/health/ready")
        refused = await client.once(program.port, "/cities")
        scene.expect(ready.status == UNAVAILABLE, f"ready says {ready.status}")
        scene.expect(refused.status == UNAVAILABLE, f"a request got {refused.status}")
        scene.expect("retry-after" in refused.headers, "no Retry-After")
        with scene.outage():
            await scene.faults.start()
        healed = await client.until(program.port, "/health/ready", 200, timeout=HEALING)
        scene.note_healed()
        scene.expect(healed, f"not ready {HEALING:g} s after the server")
        async with scene.load(program):
            await asyncio.sleep(AFTER / 2)
        await scene.count_leaks(program)


async def _wrong_settings(scene: Scene, row: Row) -> None:
    """Each of them: no retry storm, one clear line, 503, and `serve --check` names it."""
    through = scene.faults.through(scene.bench.database_url)
    for word, url in _wrong(through).items():
        scene.url = url
        before = scene.faults.proxy.accepted
        async with scene.program(row.settings) as program:
            with scene.outage():
                statuses = await _ask_for(program, WATCHED)
            connects = scene.faults.proxy.accepted - before
            scene.expect(statuses == {UNAVAILABLE}, f"{word}: answers {statuses}")
            scene.expect(connects <= MOST_CONNECTS, f"{word}: {connects} connects in {WATCHED:g} s")
            lines = [line for line in program.log.splitlines() if '"error"' in line]
            scene.expect(len(lines) == 1, f"{word}: {len(lines)} lines of log")
        scene.expect(word in await _checked(url), f"{word}: serve --check does not say so")


def _wrong(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    netloc = parts.netloc.replace(f":{parts.password}@", ":wrong@")
    return {
        "password": urlunsplit(parts._replace(netloc=netloc)),
        "database": urlunsplit(parts._replace(path="/no_such_database")),
        "TLS": urlunsplit(parts._replace(query="ssl_mode=verify-identity")),
    }


async def _ask_for(program: Program, seconds: float) -> set[int]:
    clock = asyncio.get_running_loop().time
    until, statuses = clock() + seconds, set()
    while clock() < until:
        statuses.add((await client.once(program.port, "/cities")).status)
        await asyncio.sleep(0.02)
    return statuses


async def _checked(url: str) -> str:
    """What `serve --check` says, if it fails as it should."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "quart_app", "serve", "--check"),
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode() if process.returncode else ""


async def _sigterm(scene: Scene, row: Row) -> None:
    async with scene.faults.admin() as admin:
        aborted = "SHOW GLOBAL STATUS LIKE 'Aborted_clients'"
        before = int((await admin.run(aborted)).rows[0][1])
        async with scene.program(row.settings) as program, scene.load(program, keep=False):
            program.terminate()
            told = await client.until(program.port, "/health/ready", UNAVAILABLE, timeout=1.0)
            status = await program.wait(GRACEFUL)
        scene.expect(told, "ready did not say 503 first")
        scene.expect(status == 0, f"exit status {status}")
        await asyncio.sleep(0.2)
        rude = int((await admin.run(aborted)).rows[0][1]) - before
        scene.expect(rude == 0, f"{rude} connections were closed without a word")


async def _address_changed(scene: Scene, _row: Row) -> None:
    """The engine's pool in this process, whose own resolver gives another address from now on."""
    here = urlsplit(scene.bench.database_url)
    target = (here.hostname or "127.0.0.1", here.port or 3306)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(FaultProxy(*target))
        new = FaultProxy(*target, listen="127.0.0.2")
        new.port = old.port
        await stack.enter_async_context(new)
        names = _Names("127.0.0.1")
        stack.callback(names.install(asyncio.get_running_loop()))
        config = _named(parse_database_url(scene.bench.database_url), old.port)
        pool = await stack.enter_async_context(Pool(config, PoolConfig(max_lifetime=1.0)))
        await _use(pool)
        names.address = "127.0.0.2"
        with scene.outage():
            await asyncio.sleep(2.5)
        await _use(pool)
        scene.expect(new.accepted, "no connection went to the new address")
        scene.expect(not old.open, f"{old.open} connections to the old address are kept")


def _named(config: ConnectConfig, port: int) -> ConnectConfig:
    return replace(config, endpoints=(Endpoint(host=_Names.NAME, port=port),))


class _Names:
    """A resolver that knows one name."""

    NAME = "database.invalid"

    def __init__(self, address: str) -> None:
        self.address = address

    def install(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Put it before *loop*'s own; returns what takes it out again."""
        resolve = loop.getaddrinfo

        async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
            return await resolve(self.address if host == self.NAME else host, port, **options)

        loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign, assignment] # one name more
        return lambda: setattr(loop, "getaddrinfo", resolve)


async def _use(pool: Pool) -> None:
    async def query() -> None:
        async with pool.acquire() as connection:
            await connection.run("SELECT 1")

    await asyncio.gather(*(query() for _ in range(4)))


ROWS = (
    Row(number="11", title="the host name has another address", play=_address_changed),
    Row(number="12", title="database down when the app starts", play=_down_at_start),
    Row(
        number="13",
        title="wrong password, unknown database, no TLS",
        play=_wrong_settings,
        quick=False,
    ),
    Row(number="15", title="SIGTERM under load", play=_sigterm),
)
