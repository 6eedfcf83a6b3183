"""Tokens: which writes they name, and whether a server has those."""

from typing import Any

import pytest

from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.consistency import MAX_TOKEN_LENGTH, is_caught_up, is_token, token_of
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import ConnectionLost
from tests.support.server import Reaction, ScriptedServer, answer_rows, hang_up, refuse

MARIADB = "11.8.6-MariaDB"
SET = "5c1f7e5e-0000-0000-0000-000000000001:1-9"


async def connected(version: str = "9.7.0", **rules: Reaction) -> tuple[ScriptedServer, Connection]:
    """A server of *version*, that reacts to these beginnings of statements, and a connection."""
    server = ScriptedServer(version=version)
    for name, reaction in rules.items():
        server.react(STATEMENTS[name], reaction)
    server.serve_in_memory()
    connect = ConnectConfig(endpoints=(Endpoint(),), user="u", tls_mode=TLSMode.DISABLED)
    return server, await MySQLDriver(connect).connect()


STATEMENTS = {
    "executed": "SELECT @@global.gtid_executed$",
    "position": "SELECT @@gtid_binlog_pos$",
    "ready": "SHOW GLOBAL STATUS LIKE 'wsrep_ready'",
    "wait": "SELECT WAIT_FOR_EXECUTED_GTID_SET|SELECT MASTER_GTID_WAIT",
    "sync": "SET STATEMENT wsrep_sync_wait",
}


def value(what: Any) -> Reaction:
    return answer_rows(("v",), [(what,)])


@pytest.mark.parametrize("text", ["mysql:" + SET, "mariadb:0-1-7,1-2-9", "sync:"])
def test_what_servers_name_their_writes_by_is_a_token(text: str) -> None:
    assert is_token(text)


@pytest.mark.parametrize(
    "text", ["", "mysql:", "sync:1", "mysql:x'y", "mysql:" + "1" * MAX_TOKEN_LENGTH]
)
def test_what_no_server_says_is_no_token(text: str) -> None:
    assert not is_token(text)


@pytest.mark.parametrize(
    ("executed", "token"),
    [(SET + ",\n" + SET, f"mysql:{SET},{SET}"), ("", None), ("1," * MAX_TOKEN_LENGTH, None)],
)
async def test_mysqls_token_is_all_it_executed(executed: str, token: str | None) -> None:
    _, connection = await connected(executed=value(executed))
    assert await token_of(connection) == token
    connection.abort()


@pytest.mark.parametrize(
    ("position", "ready", "token"),
    [
        ("0-1-7", [], "mariadb:0-1-7"),
        ("0-1-7," * MAX_TOKEN_LENGTH, [], None),
        ("", [("wsrep_ready", "ON")], "sync:"),
        ("", [("wsrep_ready", "OFF")], None),
        ("", [], None),
    ],
)
async def test_mariadbs_token_is_its_position_or_that_it_is_in_a_cluster(
    position: str, ready: list[tuple[Any, ...]], token: str | None
) -> None:
    rows = answer_rows(("name", "value"), ready)
    _, connection = await connected(MARIADB, position=value(position), ready=rows)
    assert await token_of(connection) == token
    connection.abort()


@pytest.mark.parametrize(("version", "kind"), [("9.7.0", "mysql"), (MARIADB, "mariadb")])
@pytest.mark.parametrize(("reached", "caught_up"), [(0, True), (1, False), (-1, False)])
async def test_server_says_whether_it_got_there_in_time(
    version: str, kind: str, reached: int, *, caught_up: bool
) -> None:
    server, connection = await connected(version, wait=value(reached))
    assert await is_caught_up(connection, f"{kind}:0-1-7", wait=0.5) is caught_up
    assert server.statements[-1].endswith("('0-1-7', 0.5e0)")
    connection.abort()


@pytest.mark.parametrize(("version", "kind"), [("9.7.0", "mariadb"), (MARIADB, "mysql")])
async def test_token_of_the_other_kind_of_server_is_never_reached(version: str, kind: str) -> None:
    server, connection = await connected(version)
    before = len(server.statements)
    assert not await is_caught_up(connection, f"{kind}:1-1-1", wait=0.5)
    assert len(server.statements) == before
    connection.abort()


async def test_server_without_such_a_function_has_not_caught_up() -> None:
    _, connection = await connected(wait=refuse(1305, "42000"))
    assert not await is_caught_up(connection, "mysql:" + SET, wait=0.5)
    connection.abort()


async def test_node_of_a_cluster_is_told_to_wait_for_the_others() -> None:
    server, connection = await connected(MARIADB)
    assert await is_caught_up(connection, "sync:", wait=0.5)
    assert server.statements[-1] == "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 1"
    connection.abort()


async def test_server_that_leaves_has_not_answered() -> None:
    _, connection = await connected(MARIADB, sync=hang_up)
    with pytest.raises(ConnectionLost):
        await is_caught_up(connection, "sync:", wait=0.5)
