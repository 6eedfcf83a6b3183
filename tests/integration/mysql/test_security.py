"""TLS as demanded, and every way of proving who we are."""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiomysql
import pytest

from quart_app.local_server import LocalServer, NoServerBinary
from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import AccessDenied, ConnectError, TLSRequired
from quart_app.testing.servers import Server
from quart_app.torture.cuts import Direction
from quart_app.torture.proxy import FaultProxy
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql

PASSWORD = "s3cret"  # noqa: S105  # of a throw-away server


async def cipher(connection: Connection) -> str:
    return str((await connection.run("SHOW STATUS LIKE 'Ssl_cipher'")).rows[0][1])


async def cipher_by(config: ConnectConfig) -> str:
    connection = await MySQLDriver(config).connect()
    try:
        return await cipher(connection)
    finally:
        connection.quit()
        await connection.wait_gone(1)


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture(name="tls_server", scope="module")
def _tls_server() -> Iterator[LocalServer]:
    """A server with a certificate of its own authority."""
    with tempfile.TemporaryDirectory(prefix="qa-") as folder:
        server = LocalServer(Path(folder), tls=True)
        try:
            server.start()
        except NoServerBinary as error:
            pytest.skip(str(error))
        yield server
        server.stop()


@pytest.fixture(name="with_tls")
def _with_tls(tls_server: LocalServer) -> ConnectConfig:
    return config_of(tls_server.url)


def config_of(url: str) -> ConnectConfig:
    parts = urlsplit(url)
    return ConnectConfig(
        endpoints=(Endpoint(host=parts.hostname or "", port=parts.port or 3306),),
        user=parts.username,
        password=unquote(parts.password or ""),
        database=parts.path[1:],
    )


@pytest.mark.row("R")
async def test_every_tls_mode_on_a_server_with_a_certificate(
    tls_server: LocalServer,
) -> None:
    config, ca = config_of(tls_server.url), str(tls_server.tls_ca)
    assert await cipher_by(replace(config, tls_mode=TLSMode.DISABLED)) == ""
    assert await cipher_by(replace(config, tls_mode=TLSMode.PREFERRED))
    assert await cipher_by(replace(config, tls_mode=TLSMode.REQUIRED))
    assert await cipher_by(replace(config, tls_mode=TLSMode.VERIFY_CA, tls_ca=ca))
    assert await cipher_by(replace(config, tls_mode=TLSMode.VERIFY_IDENTITY, tls_ca=ca))
    assert await cipher_by(replace(config, tls_context=ssl.create_default_context(cafile=ca)))


@pytest.mark.row("R")
@pytest.mark.parametrize("mode", [TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY])
async def test_certificate_of_a_stranger_is_refused(with_tls: ConnectConfig, mode: TLSMode) -> None:
    with pytest.raises(TLSRequired):
        await cipher_by(replace(with_tls, tls_mode=mode))


@pytest.mark.row("R")
async def test_certificate_for_another_name_is_refused_only_where_that_is_asked_for(
    tls_server: LocalServer,
) -> None:
    config, ca = config_of(tls_server.url), str(tls_server.tls_ca)
    async with FaultProxy("127.0.0.1", tls_server.port) as proxy:
        elsewhere = (Endpoint(host="127.1", port=proxy.port),)
        named = replace(config, endpoints=elsewhere, tls_ca=ca)
        assert await cipher_by(replace(named, tls_mode=TLSMode.VERIFY_CA))
        with pytest.raises(TLSRequired):
            await cipher_by(replace(named, tls_mode=TLSMode.VERIFY_IDENTITY))


@pytest.mark.row("R")
async def test_server_without_tls_is_refused_where_tls_is_demanded(
    make_local_server: Callable[..., LocalServer],
) -> None:
    config = config_of((await asyncio.to_thread(make_local_server, "--skip-ssl")).url)
    assert await cipher_by(replace(config, tls_mode=TLSMode.PREFERRED)) == ""
    with pytest.raises(TLSRequired):
        await cipher_by(replace(config, tls_mode=TLSMode.REQUIRED))


async def test_unreadable_authority_is_said_to_be(with_tls: ConnectConfig) -> None:
    with pytest.raises(TLSRequired):
        await cipher_by(replace(with_tls, tls_mode=TLSMode.VERIFY_CA, tls_ca="/does/not/exist"))


@pytest.mark.row("O")
async def test_server_counts_no_aborted_clients(
    tls_server: LocalServer, open_pool: OpenPool
) -> None:
    before = await aborted_clients(tls_server)
    for mode in (TLSMode.DISABLED, TLSMode.REQUIRED):
        pool = await open_pool(
            replace(config_of(tls_server.url), tls_mode=mode), minsize=4, max_lifetime=0
        )
        await pool.wait()
        await pool.close()
    assert await aborted_clients(tls_server) == before


async def aborted_clients(server: LocalServer) -> object:
    watcher = await MySQLDriver(config_of(server.url)).connect()
    rows = (await watcher.run("SHOW GLOBAL STATUS LIKE 'Aborted_clients'")).rows
    watcher.quit()
    await watcher.wait_gone(1)
    return rows[0][1]


@pytest.mark.row("T")
async def test_unix_socket_is_used_without_tls(
    tls_server: LocalServer,
) -> None:
    path = str(tls_server.socket)
    config = replace(config_of(tls_server.url), endpoints=(Endpoint(unix_socket=path),))
    assert await cipher_by(config) == ""


# -- accounts --------------------------------------------------------------------------------------


@pytest.fixture(name="account")
def _account(
    mysql_server: Server, server_kind: str, config: ConnectConfig
) -> Iterator[ConnectConfig]:
    """A user of MySQL with caching_sha2_password whom the server has not seen since its creation."""
    if server_kind != "mysql":
        pytest.skip("MariaDB has no caching_sha2_password here")
    mysql_server.execute(
        "CREATE USER IF NOT EXISTS sha2 IDENTIFIED WITH caching_sha2_password BY 's3cret'"
    )
    mysql_server.execute("GRANT ALL ON *.* TO sha2")
    mysql_server.execute("FLUSH PRIVILEGES")  # the server forgets who proved himself before
    yield replace(config, user="sha2", password=PASSWORD)
    mysql_server.execute("DROP USER sha2")


@pytest.fixture(name="public_key")
def _public_key(mysql_server: Server) -> bytes:
    rows = mysql_server.execute("SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'")
    return str(rows[0][1]).encode()


@pytest.mark.row("S")
async def test_caching_sha2_with_tls(account: ConnectConfig) -> None:
    assert await cipher_by(replace(account, tls_mode=TLSMode.REQUIRED))


@pytest.mark.row("S")
async def test_caching_sha2_without_tls_twice(account: ConnectConfig) -> None:
    for _ in range(2):  # by the server's key first, out of its cache then
        assert await cipher_by(replace(account, tls_mode=TLSMode.DISABLED)) == ""


@pytest.fixture(name="listener")
async def _listener(account: ConnectConfig) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(account.endpoints[0].host, account.endpoints[0].port) as proxy:
        yield proxy


@pytest.mark.row("S")
async def test_caching_sha2_with_the_servers_key_takes_none_off_the_wire(
    account: ConnectConfig, public_key: bytes, listener: FaultProxy
) -> None:
    through = (Endpoint(host="127.0.0.1", port=listener.port),)
    config = replace(account, endpoints=through, tls_mode=TLSMode.DISABLED)
    # greeting, "authenticate in full", OK: had the key been asked for, the OK would be a packet later
    listener.cut(Direction.TO_CLIENT, packets=3)
    with pytest.raises(ConnectError):
        await cipher_by(config)
    listener.cut(Direction.TO_CLIENT, packets=3)
    with pytest.raises(ConnectError) as caught:
        await cipher_by(replace(config, server_public_key=public_key))
    assert caught.value.errno == 2013, "authenticated, and cut off at the first statement"
    listener.mend()
    assert await cipher_by(replace(config, server_public_key=public_key)) == ""


@pytest.mark.row("S")
async def test_caching_sha2_with_a_key_that_is_not_the_servers_fails(
    account: ConnectConfig,
) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # this test alone
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415  # as above

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    config = replace(account, tls_mode=TLSMode.DISABLED, server_public_key=pem)
    with pytest.raises(ConnectError):
        await cipher_by(config)


async def test_native_password(
    mysql_server: Server, server_kind: str, config: ConnectConfig
) -> None:
    if server_kind == "mysql":
        pytest.skip("MySQL 9 has no mysql_native_password")
    mysql_server.execute("CREATE OR REPLACE USER native IDENTIFIED BY 's3cret'")
    try:
        assert await cipher_by(
            replace(config, user="native", password="s3cret", database=None)
        ) in {"", "TLS_AES_256_GCM_SHA384"}
    finally:
        mysql_server.execute("DROP USER native")


async def test_wrong_password_is_access_denied_at_once(
    config: ConnectConfig, open_pool: OpenPool
) -> None:
    pool = await open_pool(replace(config, password="wrong"), acquire_timeout=30)
    async with asyncio.timeout(10):
        with pytest.raises(AccessDenied) as caught:
            await pool.acquire()
    assert caught.value.errno == 1045


@pytest.mark.row("U")
async def test_password_is_rotated_without_a_restart(
    mysql_server: Server, config: ConnectConfig, open_pool: OpenPool
) -> None:
    mysql_server.execute("CREATE USER IF NOT EXISTS rotating IDENTIFIED BY 'first'")
    current = "first"

    async def password() -> str:
        return current

    account = replace(config, user="rotating", password=password, database=None)
    try:
        pool = await open_pool(account, minsize=2)
        await pool.wait()
        mysql_server.execute("ALTER USER rotating IDENTIFIED BY 'second'")
        current = "second"
        pool.drain()
        async with pool.acquire() as one, pool.acquire() as two, pool.acquire() as three:
            for connection in (one, two, three):
                await connection.run("SELECT 1")
        pool.rotate("second")
        async with pool.acquire() as connection:
            await connection.run("SELECT 1")
    finally:
        mysql_server.execute("DROP USER rotating")


async def test_connections_are_aiomysqls(config: ConnectConfig) -> None:
    connection = await MySQLDriver(config).connect()
    assert isinstance(connection, aiomysql.Connection)
    connection.abort()
