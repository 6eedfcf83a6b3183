"""Reads the facts of one server. The only part of the doctor, with the idle probe, that does I/O."""

import asyncio
import ipaddress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from quart_app.doctor.facts import Facts
from quart_app.mysql.config import ConnectConfig, Endpoint
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.deadline import within
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import DatabaseError

ROUND_TRIPS = 20
# All questions together; a server that is slower than that has said enough.
TIMEOUT = 15.0
# A closed connection's socket gets this long to be gone.
GOODBYE = 1.0
CLIENT_SSL = 0x0800

_VARIABLES = "SHOW VARIABLES"
_STATUS = "SHOW GLOBAL STATUS"
_TLS = "SHOW SESSION STATUS LIKE 'Ssl_%'"
_GLOBAL_LIMITS = "SHOW GLOBAL VARIABLES LIKE '%timeout%'"
_MEMBERS = (
    "SELECT CONCAT(member_host, ':', member_port), member_state"
    " FROM performance_schema.replication_group_members WHERE member_host <> ''"
)


async def collect(config: ConnectConfig, endpoint: Endpoint) -> Facts:
    """Connect to *endpoint* and ask. Waits ``connect_timeout`` and TIMEOUT; raises DatabaseError."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    connection = await MySQLDriver(replace(config, endpoints=(endpoint,))).connect()
    took = loop.time() - began
    try:
        with within(TIMEOUT):
            return await _ask(connection, endpoint, took)
    finally:
        connection.quit()
        await connection.wait_gone(GOODBYE)


async def _ask(connection: Connection, endpoint: Endpoint, took: float) -> Facts:
    variables = await _pairs(connection, _VARIABLES)
    status = await _pairs(connection, _STATUS) | await _pairs(connection, _TLS)
    round_trips = await _round_trips(connection)
    is_mariadb = connection.server.is_mariadb
    return Facts(
        endpoint=str(endpoint),
        is_local=is_local(endpoint),
        is_mariadb=is_mariadb,
        # MariaDB 10 puts an old MySQL version in front of its own, for old replicas.
        version=connection.server.version.removeprefix("5.5.5-"),
        variables=variables | await _pairs(connection, _GLOBAL_LIMITS),
        status=status,
        encryption=status.get("Ssl_version", ""),
        offers_tls=bool(connection.server_capabilities & CLIENT_SSL),
        auth_plugin=connection._auth_plugin_used or "",  # noqa: SLF001 # the only place that knows
        # The session's value is the account's own limit, where it has one.
        user_limit=int(variables.get("max_user_connections", "0")),
        connect_took=took,
        round_trips=round_trips,
        skew=await _skew(connection),
        members=None if is_mariadb else await _members(connection),
    )


async def _pairs(connection: Connection, sql: str) -> dict[str, str]:
    """The two columns of a SHOW. A proxy that does not know it tells nothing."""
    try:
        rows = (await connection.run(sql)).rows
    except DatabaseError as error:
        if connection.closed:
            raise
        del error
        return {}
    return {str(name): str(value) for name, value, *_ in rows}


async def _round_trips(connection: Connection) -> tuple[float, ...]:
    loop = asyncio.get_running_loop()
    taken = []
    for _ in range(ROUND_TRIPS):
        began = loop.time()
        await connection.probe()
        taken.append(loop.time() - began)
    return tuple(taken)


async def _skew(connection: Connection) -> float:
    """The server's clock less ours, taken in the middle of the round trip."""
    before = datetime.now(UTC)
    ((text,),) = (await connection.run("SELECT CAST(UTC_TIMESTAMP(6) AS CHAR)")).rows
    after = datetime.now(UTC)
    theirs = datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    return (theirs - (before + (after - before) / 2)) / timedelta(seconds=1)


async def _members(connection: Connection) -> tuple[tuple[str, str], ...] | None:
    """The replication group; None where there is none, or it is not for our eyes."""
    try:
        rows = (await connection.run(_MEMBERS)).rows
    except DatabaseError:
        if connection.closed:
            raise
        return None
    return tuple((str(host), str(state)) for host, state in rows)


def is_local(endpoint: Endpoint) -> bool:
    """Tell whether what we send to *endpoint* stays on this machine."""
    if endpoint.unix_socket or endpoint.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return False
