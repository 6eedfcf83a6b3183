"""How one connection is made, and how a statement nobody waits for is ended on its server."""

import asyncio
import ssl

from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.driver import Connection, as_database_error
from quart_app.mysql.errors import ConnectError, DatabaseError, TLSRequired

NO_SUCH_THREAD = 1094


class MySQLDriver:
    """Makes connections to the endpoint of a ConnectConfig, and kills what they left running."""

    def __init__(self, config: ConnectConfig, *, statement_timeout: float | None = None) -> None:
        self.config = config
        self._statement_timeout = statement_timeout
        self._tls: ssl.SSLContext | None = None
        self._tls_made = False
        self._victims: list[Connection] = []
        self._killing = False

    def describe(self) -> str:
        """Name the servers for a log line, without credentials."""
        return ", ".join(str(endpoint) for endpoint in self.config.endpoints)

    async def connect(self) -> Connection:
        """Open a connection. Waits ``connect_timeout`` in all; raises ConnectError."""
        return await self._connect_to(self.config.endpoints[0])

    async def _connect_to(self, endpoint: Endpoint) -> Connection:
        config = self.config
        try:
            async with asyncio.timeout(config.connect_timeout):
                connection = await self._build(endpoint)
                await connection._connect()  # noqa: SLF001 # aiomysql has no other way in
        except TimeoutError as exc:
            raise ConnectError("timed out", errno=2003) from exc
        except Exception as exc:
            raise renamed(exc) from exc
        return connection

    async def _build(self, endpoint: Endpoint) -> Connection:
        config = self.config
        password = config.password if isinstance(config.password, str) else await config.password()
        tls = self._context(endpoint)
        return Connection(
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

    # -- killing ------------------------------------------------------------------------------

    async def kill(self, connection: Connection) -> None:
        """End what *connection* was doing, if its server can be told from any other.

        One extra connection at a time takes all that are pending. Raises DatabaseError if the
        server cannot be asked.
        """
        self._victims.append(connection)
        if self._killing:
            return
        self._killing = True
        try:
            while self._victims:
                await self._kill_some()
        finally:
            self._killing = False
            self._victims.clear()

    async def _kill_some(self) -> None:
        killer = await self._connect_to(endpoint_of(self._victims[-1]))
        try:
            while self._victims and endpoint_of(self._victims[-1]) == endpoint_of(killer):
                await self._kill_one(killer, self._victims.pop())
        finally:
            killer.quit()

    async def _kill_one(self, killer: Connection, victim: Connection) -> None:
        try:
            async with asyncio.timeout(self.config.connect_timeout):
                if await is_on_same_server(killer, victim):
                    await killer.run(f"KILL {victim.server.thread_id:d}")
        except TimeoutError as exc:
            raise ConnectError("timed out", errno=2003) from exc
        except DatabaseError as exc:
            if exc.errno != NO_SUCH_THREAD:  # it ended by itself meanwhile
                raise


def endpoint_of(connection: Connection) -> Endpoint:
    """Where *connection* was made to."""
    return Endpoint(host=connection.host, port=connection.port, unix_socket=connection.unix_socket)


async def is_on_same_server(killer: Connection, victim: Connection) -> bool:
    """Tell whether *killer* sees the very session *victim* had.

    Behind one address there may be another server, or the same one restarted, where the number
    belongs to somebody else (MySqlConnector #1574, vitess #9055). So all of it must fit: the
    server's identity, numbers that only grow, an uptime no shorter than the session's age, the user.
    """
    number = victim.server.thread_id
    if killer.server.identity != victim.server.identity or number >= killer.server.thread_id:
        return False
    uptime = (await killer.run("SHOW GLOBAL STATUS LIKE 'Uptime'")).rows
    age = victim.loop.time() - victim.connected_time
    if not uptime or int(uptime[0][1]) + 1 < age:
        return False
    rows = (
        await killer.run("SELECT user FROM information_schema.processlist WHERE id = %s", number)
    ).rows
    return [row[0] for row in rows] == [victim.user]


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
    """aiomysql encodes passwords as Latin-1; what is not Latin-1 is meant as UTF-8."""
    try:
        password.encode("latin-1")
    except UnicodeEncodeError:
        return password.encode().decode("latin-1")
    return password
