"""Ends, on its server, what a closed connection was doing; nothing else, and nobody else's.

One connection more at a time does it for all that are pending: callers that leave together must not
come back together.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quart_app.mysql.backoff import equal_jitter
from quart_app.mysql.config import Endpoint
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import ConnectError, DatabaseError, TooManyConnections

NO_SUCH_THREAD = 1094
# A full server is asked again for so long: what is to be killed there takes up its room, and nobody
# else would try (style R6).
PATIENCE = 5.0
WAIT_INITIAL, WAIT_MAX = 0.1, 1.0
# A frozen server answers no TLS goodbye.
GOODBYE = 1.0


@dataclass(eq=False, slots=True)
class _Victim:
    connection: Connection
    where: Endpoint
    outcome: asyncio.Future[bool | DatabaseError]


class Killer:
    """Kills by SQL, on connections of its own.

    Arguments:
        *connect*: opens one; raises ConnectError.
        *timeout*: seconds for each victim.
    """

    def __init__(
        self, connect: Callable[[Endpoint], Awaitable[Connection]], *, timeout: float
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._pending: list[_Victim] = []
        self._at_work = False

    async def kill(self, connection: Connection, where: Endpoint) -> bool:
        """End what *connection*, made to *where*, was doing. False: nothing of it is left there.

        The first caller works for all who come meanwhile; they wait for it. Raises DatabaseError. If
        the one who works is cancelled, so are the others.
        """
        outcome: asyncio.Future[bool | DatabaseError] = asyncio.get_running_loop().create_future()
        self._pending.append(_Victim(connection, where, outcome))
        if not self._at_work:
            await self._kill_all()
        killed = await outcome
        if isinstance(killed, DatabaseError):
            raise killed
        return killed

    async def _kill_all(self) -> None:
        self._at_work = True
        try:
            while self._pending:
                await self._kill_at(self._pending[-1].where)
        finally:
            self._at_work = False
            for victim in self._pending:
                victim.outcome.cancel()
            self._pending.clear()

    async def _kill_at(self, where: Endpoint) -> None:
        """Kill what is pending at *where*, as long as one connection lasts: one victim at least."""
        try:
            killer = await self._get_in(where)
        except ConnectError as exc:
            for victim in [each for each in self._pending if each.where == where]:
                self._settle(victim, exc)
            return
        try:
            alive = True
            while alive and (victims := [each for each in self._pending if each.where == where]):
                self._settle(victims[-1], await self._kill_one(killer, victims[-1].connection))
                alive = killer.is_alive()
        finally:
            await leave(killer)

    async def _get_in(self, where: Endpoint) -> Connection:
        """Connect; while the server is full, again and again. Raises ConnectError."""
        loop, tries = asyncio.get_running_loop(), 0
        until = loop.time() + PATIENCE
        while True:
            try:
                return await self._connect(where)
            except TooManyConnections:
                tries += 1
                wait = equal_jitter(tries, initial=WAIT_INITIAL, maximum=WAIT_MAX)
                if loop.time() + wait > until:
                    raise
            await asyncio.sleep(wait)

    async def _kill_one(self, killer: Connection, victim: Connection) -> bool | DatabaseError:
        try:
            async with asyncio.timeout(self._timeout):
                if not await is_on_same_server(killer, victim):
                    return False
                await killer.run(f"KILL {victim.server.thread_id:d}")
        except TimeoutError:
            return ConnectError("timed out", errno=2003)
        except DatabaseError as exc:
            return False if exc.errno == NO_SUCH_THREAD else exc  # it ended by itself meanwhile
        return True

    def _settle(self, victim: _Victim, outcome: bool | DatabaseError) -> None:
        self._pending.remove(victim)
        if not victim.outcome.done():  # its caller may have left
            victim.outcome.set_result(outcome)


async def leave(connection: Connection) -> None:
    """Quit, and wait until its socket is closed: a loop that ends earlier would leave it open."""
    connection.quit()
    await connection.wait_gone(GOODBYE)


async def is_on_same_server(killer: Connection, victim: Connection) -> bool:
    """Tell whether *killer* sees the very session *victim* had.

    Behind one address there may be another server, or the same one restarted, where the number
    belongs to somebody else (MySqlConnector #1574, vitess #9055). So all of it must fit: the
    server's identity, numbers that only grow, an uptime no shorter than the session's age, the user.
    """
    number = victim.server.thread_id
    if killer.server.identity != victim.server.identity or number >= killer.server.thread_id:
        return False
    uptime = (await killer.run("SHOW GLOBAL STATUS LIKE 'Uptime'", text=True)).rows
    age = victim.loop.time() - victim.connected_time
    if not uptime or int(uptime[0][1]) + 1 < age:
        return False
    sql = "SELECT user FROM information_schema.processlist WHERE id = %s"
    rows = (await killer.run(sql, number, text=True)).rows
    return [row[0] for row in rows] == [victim.user]
