"""How one connection is made, and how a statement nobody waits for is ended on its server."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from functools import partial

from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.driver import Connection, as_database_error
from quart_app.mysql.driver.watched import WatchedConnection
from quart_app.mysql.errors import ConnectError, DatabaseError, QueryError, TLSRequired
from quart_app.mysql.killing import Killer, leave
from quart_app.mysql.topology import Topology

UNREACHABLE = 2003
# With another endpoint to try, one that does not answer gets this long.
HASTE = 1.0


class MySQLDriver:
    """Makes connections to the endpoint of a ConnectConfig, and kills what they left running."""

    def __init__(self, config: ConnectConfig, *, statement_timeout: float | None = None) -> None:
        self.config = config
        self._statement_timeout = statement_timeout
        self._tls: ssl.SSLContext | None = None
        self._tls_made = False
        self.topology = Topology(config.endpoints, in_turn=config.any_role)
        self._killer = Killer(
            lambda endpoint: self._connect_to(endpoint, config.connect_timeout),
            timeout=config.connect_timeout,
        )

    def describe(self) -> str:
        """Name the servers for a log line, without credentials."""
        return ", ".join(str(endpoint) for endpoint in self.config.endpoints)

    async def connect(self) -> Connection:
        """Open a connection to the first endpoint that serves; names are resolved anew each time.

        Waits ``connect_timeout``, of several endpoints a second for each but the last. Raises
        ConnectError: the last endpoint's.
        """
        *others, last = self.topology.order(asyncio.get_running_loop().time())
        for endpoint in others:
            with contextlib.suppress(ConnectError):
                return await self._try(endpoint, min(self.config.connect_timeout, HASTE))
        return await self._try(last, self.config.connect_timeout)

    def preferred_due(self, now: float) -> bool:
        """Tell whether to look if the preferred endpoint is back; another one is in use."""
        return self.topology.preferred_due(now)

    async def return_to_preferred(self) -> bool:
        """Look whether the preferred endpoint serves again.

        True: it does, and is used from now on; connections to the other should be replaced.
        Bounded as connect() is.
        """
        try:
            connection = await self._try(self.topology.endpoints[0], HASTE)
        except ConnectError:
            return False
        await leave(connection)
        return True

    def has_choice(self) -> bool:
        """Tell whether there is another endpoint to go to; one of those only read from is not left."""
        return not self.topology.is_single and not self.config.any_role

    async def answers(self, connection: Connection) -> bool:
        """Ask the server of *connection* for a sign of life, on a connection of its own.

        Waits for a second at most. Whatever the server says is one, a refusal too.
        """
        try:
            probe = await self._connect_to(endpoint_of(connection), HASTE)
        except ConnectError as exc:
            return exc.errno != UNREACHABLE
        await leave(probe)
        return True

    async def move_on(self, connection: Connection) -> bool:
        """Leave the server of *connection* for the next that serves; new connections go there.

        False: there is none. Waits for a second at most for each.
        """
        silent, now = endpoint_of(connection), asyncio.get_running_loop().time()
        for endpoint in self.topology.order(now):
            if self.topology.current != silent:
                return True
            if endpoint != silent:
                with contextlib.suppress(ConnectError):
                    await leave(await self._try(endpoint, HASTE))
                    self.topology.failed(silent, now)
        return self.topology.current != silent

    async def _try(self, endpoint: Endpoint, timeout: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            connection = await self._connect_to(endpoint, timeout)
            if not self.topology.is_single and not self.config.any_role:
                await ensure_writable(connection, timeout)
        except ConnectError:
            self.topology.failed(endpoint, loop.time())
            raise
        switched = self.topology.succeeded(endpoint, loop.time())
        connection.switched = switched and not self.config.any_role
        return connection

    async def _connect_to(self, endpoint: Endpoint, timeout: float) -> Connection:
        try:
            async with asyncio.timeout(timeout):
                connection = await self._build(endpoint)
                await connection._connect()  # noqa: SLF001 # aiomysql has no other way in
        except TimeoutError as exc:
            raise ConnectError("timed out", errno=UNREACHABLE) from exc
        except Exception as exc:
            raise renamed(exc) from exc
        return connection

    async def _build(self, endpoint: Endpoint) -> Connection:
        config = self.config
        password = config.password if isinstance(config.password, str) else await config.password()
        tls = self._context(endpoint)
        make: Callable[..., Connection] = Connection
        if config.watch is not None:
            make = partial(WatchedConnection, watch=config.watch)
        return make(
            host=endpoint.host,
            port=endpoint.port,
            unix_socket=endpoint.unix_socket,
            user=config.user,
            password=_encodable(password),
            db=config.database,
            charset=config.charset,
            autocommit=config.autocommit,
            connect_timeout=config.connect_timeout,
            ssl=tls,
            require_tls=tls is not None and self._demanded(),
            server_public_key=config.server_public_key,
            init_command=config.init_command,
            statement_timeout=self._statement_timeout,
            **config.options,
        )

    def _demanded(self) -> bool:
        config = self.config
        return config.tls_context is not None or config.tls_mode not in (
            TLSMode.DISABLED,
            TLSMode.PREFERRED,
        )

    def _context(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        """The TLS context, made once: that costs more than a handshake does."""
        if endpoint.unix_socket is not None and not self._demanded():
            return None
        if not self._tls_made:
            self._tls = self.config.tls_context or tls_context(self.config)
            self._tls_made = True
        return self._tls

    async def kill(self, connection: Connection) -> bool:
        """End what *connection* was doing, as Killer.kill()."""
        return await self._killer.kill(connection, endpoint_of(connection))


def endpoint_of(connection: Connection) -> Endpoint:
    """Where *connection* was made to."""
    return Endpoint(host=connection.host, port=connection.port, unix_socket=connection.unix_socket)


async def ensure_writable(connection: Connection, timeout: float) -> None:
    """Raise ConnectError, and close, unless this server takes writes; waits for *timeout*."""
    try:
        async with asyncio.timeout(timeout):
            fault = await why_not_writable(connection)
    except (DatabaseError, TimeoutError) as exc:
        connection.abort()
        raise ConnectError(f"its role could not be read: {type(exc).__name__}") from exc
    except BaseException:
        connection.abort()
        raise
    if fault is not None:
        await leave(connection)
        raise ConnectError(f"{endpoint_of(connection)} takes no writes: {fault}")


async def why_not_writable(connection: Connection) -> str | None:
    """Tell why a server should not be sent writes; None if it may be.

    A Galera node without a quorum accepts connections, pings and ``SELECT 1``, and refuses the
    rest; a member of a replication group that lost its majority accepts writes and never answers.
    """
    if connection.server.read_only:
        return "read-only"
    if connection.server.is_mariadb:
        status = dict(
            (
                await connection.run(
                    "SHOW GLOBAL STATUS WHERE Variable_name IN"
                    " ('wsrep_cluster_status', 'wsrep_ready', 'wsrep_cluster_size')"
                )
            ).rows
        )
        clustered = int(status.get("wsrep_cluster_size") or 0) > 0
        in_order = status.get("wsrep_ready") == "ON"
        in_order = in_order and status.get("wsrep_cluster_status") == "Primary"
        return "the node is not part of a primary component" if clustered and not in_order else None
    return await _why_group_not_writable(connection)


async def _why_group_not_writable(connection: Connection) -> str | None:
    try:
        rows = (
            await connection.run(
                "SELECT member_state, COUNT(*) FROM performance_schema.replication_group_members"
                " WHERE member_id <> '' GROUP BY member_state"
            )
        ).rows
    except QueryError:  # not ours to read: then read_only has to be enough
        return None
    members = {state: int(count) for state, count in rows}
    if not members or set(members) == {"OFFLINE"}:
        return None  # no group
    reachable = members.get("ONLINE", 0) + members.get("RECOVERING", 0)
    return None if 2 * reachable > sum(members.values()) else "the group has lost its majority"


def tls_context(config: ConnectConfig) -> ssl.SSLContext | None:
    """What *tls_mode* means to OpenSSL."""
    if config.tls_mode is TLSMode.DISABLED:
        return None
    verify = config.tls_mode in (TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = config.tls_mode is TLSMode.VERIFY_IDENTITY
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
        if verify and config.tls_ca is None:
            context.load_default_certs()
        if config.tls_ca is not None:
            context.load_verify_locations(config.tls_ca)
        if config.tls_cert is not None:
            context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ValueError) as exc:
        raise TLSRequired(f"the TLS settings cannot be used: {type(exc).__name__}") from exc
    return context


def renamed(exc: Exception) -> ConnectError:
    """The ConnectError for whatever a connect raised."""
    if isinstance(exc, ssl.SSLError) or isinstance(exc.__cause__, ssl.SSLError):
        return TLSRequired("TLS failed: the certificate or the protocol was not accepted")
    error = as_database_error(exc, connecting=True)
    if isinstance(error, ConnectError):
        return error
    if error is None:
        return ConnectError(f"cannot connect: {type(exc).__name__}")
    return ConnectError(str(error), errno=error.errno, sqlstate=error.sqlstate)


def _encodable(password: str) -> str:
    """aiomysql encodes passwords as Latin-1; what servers compare with was set by UTF-8 clients."""
    return password.encode().decode("latin-1")
