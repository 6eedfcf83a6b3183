"""Making connections to one of several servers, and ending statements on the right one."""

import asyncio
import ssl
from dataclasses import replace
from typing import Any

import pytest
from pymysql.err import ProgrammingError

from quart_app.mysql import killing
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.connector import MySQLDriver, renamed, tls_context, why_not_writable
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import (
    ConnectError,
    DatabaseError,
    QueryError,
    TLSRequired,
    TooManyConnections,
)
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from tests.support import wire
from tests.support.server import (
    Reaction,
    ScriptedServer,
    answer,
    answer_rows,
    hang_up,
    refuse,
    say_nothing,
)
from tests.support.virtual import VirtualLoop

ONE, TWO = Endpoint(host="one"), Endpoint(host="two")
GROUP = "SELECT member_state"
FULL = answer(wire.early_error(1040, "Too many connections"))


def now() -> float:
    return asyncio.get_running_loop().time()


def listening(host: str = "one", **facts: wire.Value) -> ScriptedServer:
    """A server whose every session has been there for long, and is the app's."""
    server = ScriptedServer()
    server.facts.update({f"@@{name}": value for name, value in facts.items()})
    server.react("SHOW GLOBAL STATUS LIKE 'Uptime'", answer_rows(("a", "b"), [("Uptime", "99999")]))
    server.react("SELECT user FROM", answer_rows(("user",), [("app",)]))
    server.react(GROUP, answer_rows(("member_state", "count"), []))
    server.serve_in_memory((host, 3306))
    return server


def driver_of(*endpoints: Endpoint, **more: Any) -> MySQLDriver:
    known: dict[str, Any] = {"user": "app", "tls_mode": TLSMode.DISABLED, "connect_timeout": 3.0}
    return MySQLDriver(ConnectConfig(endpoints=endpoints or (ONE,), **known | more))


async def abandoned(driver: MySQLDriver) -> Connection:
    """A connection that was closed while its server was at work."""
    connection = await driver.connect()
    connection.abort()
    return connection


def killed(server: ScriptedServer) -> list[str]:
    return [sql for sql in server.statements if sql.startswith("KILL")]


# -- killing ---------------------------------------------------------------------------------------


@pytest.mark.row("V")
async def test_kill_is_sql_on_a_connection_of_its_own_that_takes_leave() -> None:
    server, driver = listening(), driver_of()
    await driver.kill(await abandoned(driver))
    await asyncio.sleep(0.1)
    assert killed(server) == ["KILL 100"]
    assert [name for name, _ in server.peers[1].commands][-1] == "COM_QUIT"
    assert "COM_PROCESS_KILL" not in server.commands


@pytest.mark.parametrize("options", [{"use_unicode": False}, {"conv": {253: str.upper}}])
async def test_what_a_program_makes_of_values_spares_no_session(options: dict[str, Any]) -> None:
    server, driver = listening(), driver_of(options=options)
    assert await driver.kill(await abandoned(driver))
    assert killed(server) == ["KILL 100"]


async def test_one_connection_kills_all_that_are_pending() -> None:
    server, driver = listening(), driver_of()
    victims = [await abandoned(driver) for _ in range(5)]
    assert all(await asyncio.gather(*(driver.kill(victim) for victim in victims)))
    assert sorted(killed(server)) == [f"KILL {number}" for number in range(100, 105)]
    assert len(server.peers) == 6


def other_server(server: ScriptedServer) -> None:
    server.facts["@@server_uuid"] = "another"


def restarted_server(server: ScriptedServer) -> None:
    server.react("SHOW GLOBAL STATUS LIKE 'Uptime'", answer_rows(("a", "b"), [("Uptime", "5")]))


def no_uptime(server: ScriptedServer) -> None:
    server.react("SHOW GLOBAL STATUS LIKE 'Uptime'", answer_rows(("a", "b"), []))


def others_session(server: ScriptedServer) -> None:
    server.react("SELECT user FROM", answer_rows(("user",), [("somebody",)]))


def no_session(server: ScriptedServer) -> None:
    server.react("SELECT user FROM", answer_rows(("user",), []))


def counted_anew(server: ScriptedServer) -> None:
    server.peers.clear()  # the next session gets the first number again


@pytest.mark.row("V")
@pytest.mark.parametrize(
    "change",
    [other_server, restarted_server, no_uptime, others_session, no_session, counted_anew],
)
async def test_nothing_is_killed_unless_it_is_the_very_session(change: Any) -> None:
    server, driver = listening(), driver_of()
    victim = await abandoned(driver)
    await asyncio.sleep(100)
    change(server)
    assert not await driver.kill(victim)
    assert killed(server) == []


async def test_session_that_ended_by_itself_is_no_error() -> None:
    server, driver = listening(), driver_of()
    server.react("KILL", refuse(1094, "HY000", "Unknown thread id"))
    assert not await driver.kill(await abandoned(driver))
    assert killed(server) == ["KILL 100"]


@pytest.mark.parametrize("reaction", [refuse(1095, "HY000"), hang_up, say_nothing])
async def test_failed_kill_is_told_in_time(reaction: Reaction) -> None:
    server, driver = listening(), driver_of()
    victim = await abandoned(driver)
    server.react("KILL", reaction)
    began = now()
    with pytest.raises(DatabaseError):
        await driver.kill(victim)
    assert now() - began <= 3


@pytest.mark.parametrize("reaction", [refuse(1095, "HY000"), hang_up])
async def test_failed_kill_spares_none_of_the_others(reaction: Reaction) -> None:
    server, driver = listening(), driver_of()
    victims = [await abandoned(driver) for _ in range(5)]
    server.react("KILL 103", reaction)
    kills = [driver.kill(victim) for victim in victims]
    answers = await asyncio.gather(*kills, return_exceptions=True)
    assert [answer for answer in answers if answer is True] == [True] * 4
    assert isinstance(answers[3], DatabaseError)
    assert sorted(killed(server)) == [f"KILL {number}" for number in range(100, 105)]


async def test_server_that_is_gone_spares_nothing_on_another() -> None:
    listening("one")
    two, driver = listening("two", server_uuid="two"), driver_of(ONE, TWO)
    gone = [await abandoned(driver) for _ in range(3)]
    network(driver).unlisten(("one", 3306))
    left = await abandoned(driver)
    kills = [driver.kill(victim) for victim in [left, *gone]]
    first, *others = await asyncio.gather(*kills, return_exceptions=True)
    assert first is True
    assert [type(each) for each in others] == [ConnectError] * 3
    assert killed(two) == ["KILL 100"]


async def test_kill_goes_to_the_server_of_its_victim() -> None:
    one, two = listening("one"), listening("two", server_uuid="two")
    driver = driver_of(ONE, TWO)
    first = await abandoned(driver)
    network(driver).unlisten(("one", 3306))
    second = await abandoned(driver)
    network(driver).listen(("one", 3306), one.handle)
    await asyncio.gather(driver.kill(first), driver.kill(second))
    assert killed(one) == ["KILL 100"]
    assert killed(two) == ["KILL 100"]


async def test_full_server_is_asked_again_until_it_has_room() -> None:
    server, driver = listening(), driver_of()
    victims = [await abandoned(driver) for _ in range(2)]
    server.react("GREETING", FULL, times=4)
    began = now()
    assert await asyncio.gather(*(driver.kill(victim) for victim in victims)) == [True, True]
    assert 0.75 <= now() - began <= killing.PATIENCE
    assert len(server.peers) == len(victims) + 4 + 1


async def test_server_that_stays_full_is_left_alone_in_time() -> None:
    server, driver = listening(), driver_of()
    victims = [await abandoned(driver) for _ in range(2)]
    server.react("GREETING", FULL)
    began = now()
    kills = [driver.kill(victim) for victim in victims]
    answers = await asyncio.gather(*kills, return_exceptions=True)
    assert [type(answer) for answer in answers] == [TooManyConnections] * 2
    assert now() - began <= killing.PATIENCE
    assert len(server.peers) < 20


async def test_victim_whose_caller_left_is_killed_all_the_same() -> None:
    server, driver = listening(), driver_of()
    first, second = [asyncio.create_task(driver.kill(await abandoned(driver))) for _ in range(2)]
    await asyncio.sleep(0)
    second.cancel()
    assert await first
    assert second.cancelled()
    assert sorted(killed(server)) == ["KILL 100", "KILL 101"]


async def test_all_that_is_pending_ends_with_the_one_who_works() -> None:
    server, driver = listening(), driver_of()
    victims = [await abandoned(driver) for _ in range(3)]
    server.react("KILL", say_nothing)
    kills = [asyncio.create_task(driver.kill(victim)) for victim in victims]
    await asyncio.sleep(0.1)
    kills[0].cancel()
    await asyncio.wait(kills)
    assert all(kill.cancelled() for kill in kills)
    server.react("KILL", answer(wire.ok()))
    assert await driver.kill(await abandoned(driver))


def network(_: MySQLDriver) -> Any:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.network


# -- several servers -------------------------------------------------------------------------------


async def test_first_server_that_serves_is_used() -> None:
    two, driver = listening("two"), driver_of(ONE, TWO)
    connection = await driver.connect()
    assert connection.host == "two"
    assert connection.switched
    assert driver.describe() == "one:3306, two:3306"
    assert two.peers
    connection.abort()


async def test_deaf_server_delays_by_a_second_at_most() -> None:
    one, driver = listening("one"), driver_of(ONE, TWO)
    listening("two")
    one.react("GREETING", say_nothing)
    began = now()
    connection = await driver.connect()
    assert connection.host == "two"
    assert now() - began == 1
    connection.abort()


async def test_server_that_takes_no_writes_is_passed_over_and_left_politely() -> None:
    one, driver = listening("one", read_only=1), driver_of(ONE, TWO)
    listening("two")
    connection = await driver.connect()
    assert connection.host == "two"
    await asyncio.sleep(0.1)
    assert one.commands[-1] == "COM_QUIT"
    connection.abort()


async def test_sole_server_is_taken_as_it_is() -> None:
    listening("one", read_only=1)
    connection = await driver_of(ONE).connect()
    assert connection.server.read_only
    connection.abort()


@pytest.mark.parametrize("reaction", [hang_up, say_nothing])
async def test_server_whose_role_cannot_be_read_is_passed_over(reaction: Reaction) -> None:
    one, driver = listening("one"), driver_of(ONE, TWO)
    one.react(GROUP, reaction)
    listening("two")
    connection = await driver.connect()
    assert connection.host == "two"
    connection.abort()


async def test_while_no_server_takes_writes_callers_wait_for_one_until_their_deadline() -> None:
    one, two = listening("one", read_only=1), listening("two", read_only=1)
    config = PoolConfig(minsize=0, acquire_timeout=1.0)
    driver = driver_of(ONE, TWO)
    async with Pool(None, config, driver=driver) as pool:
        asking = asyncio.create_task(Session(pool).fetch_val("SELECT 1"))
        await asyncio.sleep(3)
        assert not asking.done()
        two.facts["@@read_only"] = 0
        await asking
        assert one.peers


async def test_last_servers_error_is_told_when_none_serves() -> None:
    with pytest.raises(ConnectError):
        await driver_of(ONE, TWO).connect()


async def test_preferred_server_is_returned_to() -> None:
    driver = driver_of(ONE, TWO)
    listening("two")
    (await driver.connect()).abort()
    assert not driver.preferred_due(now())
    await asyncio.sleep(31)
    assert driver.preferred_due(now())
    assert not await driver.return_to_preferred()
    one = listening("one")
    assert await driver.return_to_preferred()
    connection = await driver.connect()
    assert connection.host == "one"
    assert one.peers
    connection.abort()


async def test_cancelled_look_at_the_role_leaves_nothing_open() -> None:
    one, driver = listening("one"), driver_of(ONE, TWO)
    one.react(GROUP, say_nothing)
    task = asyncio.create_task(driver.connect())
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0.1)
    assert task.cancelled()
    assert one.peers[0].writer.transport.is_closing()


def state(**counts: int) -> Reaction:
    return answer_rows(("member_state", "count"), list(counts.items()))


@pytest.mark.parametrize(
    ("reaction", "writable"),
    [
        (state(), True),
        (state(OFFLINE=1), True),
        (state(ONLINE=3), True),
        (state(ONLINE=2, UNREACHABLE=1), True),
        (state(ONLINE=1, UNREACHABLE=2), False),
        (state(ONLINE=1, UNREACHABLE=1), False),
        (state(ERROR=1, ONLINE=1), False),
        (refuse(1142, "42000"), True),
    ],
)
async def test_member_of_a_group_takes_writes_with_a_majority(
    reaction: Reaction, *, writable: bool
) -> None:
    server = listening()
    server.react(GROUP, reaction)
    connection = await driver_of().connect()
    assert (await why_not_writable(connection) is None) == writable
    connection.abort()


@pytest.mark.parametrize(
    ("status", "writable"),
    [
        ({}, True),
        ({"wsrep_cluster_size": "0", "wsrep_ready": "OFF"}, True),
        (
            {
                "wsrep_cluster_size": "3",
                "wsrep_ready": "ON",
                "wsrep_cluster_status": "Primary",
            },
            True,
        ),
        (
            {
                "wsrep_cluster_size": "3",
                "wsrep_ready": "OFF",
                "wsrep_cluster_status": "Primary",
            },
            False,
        ),
        (
            {
                "wsrep_cluster_size": "1",
                "wsrep_ready": "ON",
                "wsrep_cluster_status": "non-Primary",
            },
            False,
        ),
    ],
)
async def test_node_of_a_cluster_takes_writes_in_its_primary_component(
    status: dict[str, str], *, writable: bool
) -> None:
    server = listening()
    server.version = "11.8.6-MariaDB"
    server.react("SHOW GLOBAL STATUS WHERE", answer_rows(("a", "b"), list(status.items())))
    connection = await driver_of().connect()
    assert (await why_not_writable(connection) is None) == writable
    connection.abort()


# -- settings --------------------------------------------------------------------------------------


def test_tls_modes_mean_what_mysqls_clients_mean() -> None:
    config = ConnectConfig()
    assert tls_context(replace(config, tls_mode=TLSMode.DISABLED)) is None
    for mode, verify, named in [
        (TLSMode.PREFERRED, False, False),
        (TLSMode.REQUIRED, False, False),
        (TLSMode.VERIFY_CA, True, False),
        (TLSMode.VERIFY_IDENTITY, True, True),
    ]:
        context = tls_context(replace(config, tls_mode=mode))
        assert context is not None
        assert (bool(context.verify_mode), context.check_hostname) == (verify, named)


@pytest.mark.parametrize("setting", ["tls_ca", "tls_cert"])
async def test_tls_files_that_cannot_be_read_are_a_fault_of_the_settings(setting: str) -> None:
    files: dict[str, Any] = {setting: "/no/such/file"}
    config = replace(ConnectConfig(), tls_mode=TLSMode.REQUIRED, **files)
    with pytest.raises(TLSRequired, match="FileNotFoundError"):
        tls_context(config)
    with pytest.raises(TLSRequired):
        await MySQLDriver(config).connect()


async def test_watch_sees_every_statement() -> None:
    from contextlib import contextmanager  # noqa: PLC0415  # here alone

    server, seen = listening(), []

    @contextmanager
    def watch(sql: bytes) -> Any:
        seen.append(sql)
        yield

    connection = await driver_of(watch=watch).connect()
    seen.clear()
    await connection.run("SELECT 1")
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT 2")
    assert seen == [b"SELECT 1", b"SELECT 2"]
    assert server.peers
    connection.abort()


async def test_whatever_a_source_of_passwords_raises_is_a_connect_error() -> None:
    async def password() -> str:
        message = "the vault is sealed"
        raise LookupError(message)

    with pytest.raises(ConnectError, match="LookupError"):
        await driver_of(password=password).connect()


@pytest.mark.parametrize(
    ("raised", "kind", "errno"),
    [
        (ssl.SSLError("wrong"), TLSRequired, None),
        (QueryError("no", errno=1064, sqlstate="42000"), ConnectError, 1064),
        (ConnectionRefusedError(), ConnectError, 2003),
        (ProgrammingError("no placeholder"), ConnectError, None),
        (KeyError("odd"), ConnectError, None),
    ],
)
def test_whatever_a_connect_raises_is_renamed(
    raised: Exception, kind: type[ConnectError], errno: int | None
) -> None:
    error = renamed(raised)
    assert type(error) is kind
    assert error.errno == errno
