"""The buttons of `dev`: break the private database, so that a visitor sees it heal."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from quart_app.database_url import parse_database_url
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.killing import leave

FROZEN_FOR = 4.0
log = logging.getLogger("quart_app.status")


class Victim(Protocol):
    """A private server, as local_server has it. Every method blocks."""

    @property
    def url(self) -> str: ...
    @property
    def admin_url(self) -> str: ...
    def kill(self) -> None: ...
    def start(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Breaker:
    """Breaks *server* in named ways, one at a time; it is mended by the time each ends."""

    def __init__(self, server: Victim) -> None:
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self.actions: Mapping[str, str] = {
            "kill": "Kill all connections",
            "freeze": f"Freeze the server for {FROZEN_FOR:g} s",
            "restart": "Kill the server and start it again",
        }
        self._ways: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill_connections,
            "freeze": self._freeze,
            "restart": self._restart,
        }

    def start(self, action: str) -> None:
        """Begin *action* in the background; nothing while another one is under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(action), name=f"break-{action}")

    async def _run(self, action: str) -> None:
        log.warning("breaking the database on purpose: %s", action)
        try:
            await self._ways[action]()
        except Exception:  # it must be possible to try again
            log.exception("could not %s", action)

    async def _kill_connections(self) -> None:
        driver = MySQLDriver(parse_database_url(self._server.admin_url))
        connection = await driver.connect()
        try:
            user = parse_database_url(self._server.url).user
            sql = "SELECT id FROM information_schema.processlist WHERE user = %s"
            for (number,) in (await connection.run(sql, user)).rows:
                await _kill(connection.run, int(number))
        finally:
            await leave(connection)

    async def _freeze(self) -> None:
        await asyncio.to_thread(self._server.pause)
        try:
            await asyncio.sleep(FROZEN_FOR)
        finally:
            await asyncio.to_thread(self._server.resume)

    async def _restart(self) -> None:
        await asyncio.to_thread(self._server.kill)
        await asyncio.to_thread(self._server.start)


async def _kill(run: Callable[[str], Awaitable[object]], number: int) -> None:
    try:
        await run(f"KILL {number:d}")
    except DatabaseError as error:  # it ended by itself meanwhile
        log.debug("not killed: %s", error)
