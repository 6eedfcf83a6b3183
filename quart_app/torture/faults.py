"""What can go wrong with a database server and the way to it, done on demand and undone after.

For a LocalServer and a server in a container alike. What breaks the network strikes connections
made through the proxy: give the app `through()`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from quart_app.database_url import parse_database_url
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import LockWaitTimeout, QueryError, TooManyConnections
from quart_app.torture.cuts import Cut
from quart_app.torture.proxy import FaultProxy, Mode

NO_SUCH_THREAD = 1094
# MariaDB's least; MySQL would go lower.
LEAST_MAX_CONNECTIONS = 10
MOST_FILLERS = 200
GOODBYE = 1.0
GIVE_WAY = 0.2
# A user's connections, but for the one that asks.
_OTHERS = "FROM information_schema.processlist WHERE user = %s AND id <> CONNECTION_ID()"


class Breakable(Protocol):
    """A server that can be broken: LocalServer and ContainerServer are."""

    @property
    def url(self) -> str: ...
    @property
    def admin_url(self) -> str: ...
    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...
    def restart(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Faults:
    """The faults, by name. Every method returns when the fault is there, or is over.

    Arguments:
        *server*: running; each fault leaves it so, but for `kill_server()`, which `start()` undoes.
        *proxy*: listens, and relays to the server.
    """

    # Those that are over at once, for a test to be run with each of them.
    MOMENTARY = ("kill_idle", "kill_all", "restart", "silence")

    def __init__(self, server: Breakable, proxy: FaultProxy) -> None:
        self.server = server
        self.proxy = proxy
        self.user = urlsplit(server.url).username or ""

    def through(self, url: str) -> str:
        """Return *url* with the proxy in the place of the server, and without TLS."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{self.proxy.port}"
        return urlunsplit(parts._replace(netloc=netloc, query="ssl_mode=disabled"))

    async def strike(self, name: str) -> None:
        """Do the fault of this *name*, one of MOMENTARY."""
        await getattr(self, name)()

    # -- connections ------------------------------------------------------------------------

    async def kill_idle(self) -> int:
        """Kill the app user's connections that do nothing now; tell how many."""
        return await self._kill(f"SELECT id {_OTHERS} AND command = 'Sleep'")

    async def kill_all(self) -> int:
        """Kill all of the app user's connections, also in the middle of a statement."""
        return await self._kill(f"SELECT id {_OTHERS}")

    async def connections(self) -> int:
        """Count the app user's connections, as the server sees them."""
        sql = f"SELECT COUNT(*) {_OTHERS}"
        async with self.admin() as connection:
            return int((await connection.run(sql, (self.user,))).rows[0][0])

    @contextlib.asynccontextmanager
    async def full_house(self) -> AsyncGenerator[None, None]:
        """No further connection is accepted (1040); those that exist go on."""
        async with contextlib.AsyncExitStack() as stack:
            admin = await stack.enter_async_context(self.admin())
            before = (await admin.run("SELECT @@GLOBAL.max_connections")).rows[0][0]
            stack.push_async_callback(admin.run, f"SET GLOBAL max_connections = {before:d}")
            await admin.run(f"SET GLOBAL max_connections = {LEAST_MAX_CONNECTIONS}")
            await self._fill_up(stack)
            yield

    @contextlib.asynccontextmanager
    async def user_limit(self) -> AsyncGenerator[None, None]:
        """The app's user may have no further connection (1203, 1226); those that exist go on."""
        limit = f"ALTER USER '{self.user}'@'%' WITH MAX_USER_CONNECTIONS {{:d}}"
        async with self.admin() as admin:
            await admin.run(limit.format(1))
            try:
                yield
            finally:
                await admin.run(limit.format(0))

    # -- the server -------------------------------------------------------------------------

    async def restart(self) -> None:
        """Stop the server cleanly and start it again."""
        await asyncio.to_thread(self.server.restart)

    async def kill_server(self) -> None:
        """Kill the server's process with SIGKILL."""
        await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        """Start a server that was killed, and wait until it answers."""
        await asyncio.to_thread(self.server.start)

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncGenerator[None, None]:
        """The server's process is stopped (SIGSTOP): it answers nothing and closes nothing."""
        await asyncio.to_thread(self.server.pause)
        try:
            yield
        finally:
            await asyncio.to_thread(self.server.resume)

    @contextlib.asynccontextmanager
    async def read_only(self) -> AsyncGenerator[None, None]:
        """The server takes no writes (1290), as one that was demoted."""
        async with self.admin() as admin:
            await _make_read_only(admin)
            try:
                yield
            finally:
                await admin.run("SET GLOBAL read_only = 0")

    @contextlib.asynccontextmanager
    async def variable(self, name: str, value: int) -> AsyncGenerator[None, None]:
        """The server's global variable *name* is *value*; it counts for connections made within."""
        async with self.admin() as admin:
            before = (await admin.run(f"SELECT @@GLOBAL.{name}")).rows[0][0]
            await admin.run(f"SET GLOBAL {name} = {value:d}")
        try:
            yield
        finally:
            async with self.admin() as admin:
                await admin.run(f"SET GLOBAL {name} = {before:d}")

    # -- the network ------------------------------------------------------------------------

    async def silence(self) -> None:
        """Packets of the connections that exist vanish from now on: no FIN, no RST. New ones pass."""
        self.proxy.end_all(Cut.SILENCE)

    @contextlib.asynccontextmanager
    async def silent(self) -> AsyncGenerator[None, None]:
        """As `silence()`, and new connections are not answered either."""
        async with self._network(Mode.SILENT):
            yield

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncGenerator[None, None]:
        """Connections are reset, and new ones refused."""
        self.proxy.end_all(Cut.RST)
        async with self._network(Mode.REFUSE):
            yield

    @contextlib.asynccontextmanager
    async def delayed(self, seconds: float) -> AsyncGenerator[None, None]:
        """Everything takes *seconds* longer, each way."""
        self.proxy.latency = seconds
        async with self._network(Mode.SLOW):
            yield

    @contextlib.contextmanager
    def lost_commits(self, *, share: float = 1.0) -> Generator[None, None, None]:
        """COMMIT arrives and is done, its answer does not: the connection ends instead."""
        self.proxy.lose_answers(b"COMMIT", Cut.FIN, share=share)
        try:
            yield
        finally:
            self.proxy.mend()

    # -- how --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncGenerator[Connection, None]:
        """A connection of a user who may do everything, straight to the server."""
        connection = await MySQLDriver(parse_database_url(self.server.admin_url)).connect()
        try:
            yield connection
        finally:
            await _leave(connection)

    async def _kill(self, sql: str) -> int:
        killed = 0
        async with self.admin() as admin:
            for (number,) in (await admin.run(sql, (self.user,))).rows:
                try:
                    await admin.run(f"KILL {number:d}")
                except QueryError as error:
                    if error.errno != NO_SUCH_THREAD:  # it ended by itself meanwhile
                        raise
                else:
                    killed += 1
        return killed

    async def _fill_up(self, stack: contextlib.AsyncExitStack) -> None:
        driver = MySQLDriver(parse_database_url(self.server.url))
        for _ in range(MOST_FILLERS):
            try:
                connection = await driver.connect()
            except TooManyConnections:
                return
            stack.push_async_callback(_leave, connection)
        raise RuntimeError("the server takes any number of connections")

    @contextlib.asynccontextmanager
    async def _network(self, mode: Mode) -> AsyncGenerator[None, None]:
        await self.proxy.switch(mode)
        try:
            yield
        finally:
            self.proxy.end_silent()
            await self.proxy.switch(Mode.PASS)


async def _make_read_only(admin: Connection) -> None:
    """Set it; it waits for writes under way, and what comes meanwhile waits for it.

    One under way may wait for a lock whose owner is among those that wait: so it gives way, and tries
    again.
    """
    await admin.run("SET SESSION lock_wait_timeout = 1")
    while True:
        with contextlib.suppress(LockWaitTimeout):
            await admin.run("SET GLOBAL read_only = 1")
            return
        await asyncio.sleep(GIVE_WAY)


async def _leave(connection: Connection) -> None:
    """Say goodbye, and wait for the socket to be gone: the loop may end at once."""
    connection.quit()
    await connection.wait_gone(GOODBYE)
