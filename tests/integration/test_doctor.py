"""The doctor on real servers, and the idle probe on paths that forget connections."""

import asyncio
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from quart_app.cli import main
from quart_app.database_url import parse_database_url
from quart_app.doctor.collect import collect
from quart_app.doctor.idle_probe import IdleProbe
from quart_app.doctor.idle_search import Answer, How
from quart_app.local_server import LocalServer
from quart_app.mysql.config import ConnectConfig, Endpoint
from quart_app.testing.servers import Server
from quart_app.torture.cuts import Cut
from tests.support.forgetful import ForgetfulProxy

pytestmark = pytest.mark.mysql


def config_of(url: str, *, port: int | None = None) -> ConnectConfig:
    config = parse_database_url(f"{url}?ssl_mode=disabled")
    if port is None:
        return config
    return ConnectConfig(
        endpoints=(Endpoint(host="127.0.0.1", port=port),),
        user=config.user,
        password=config.password,
        database=config.database,
        tls_mode=config.tls_mode,
    )


def doctor(monkeypatch: pytest.MonkeyPatch, url: str, *arguments: str) -> tuple[int, str]:
    """Run the command in this process."""
    monkeypatch.setenv("DATABASE_URL", url)
    result = CliRunner().invoke(main, ["doctor", *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout


async def test_facts_of_a_real_server(database_url: str, server_kind: str) -> None:
    config = parse_database_url(database_url)
    facts = await collect(config, config.endpoints[0])
    assert facts.number("wait_timeout") == 28800
    assert facts.number("Uptime") is not None
    assert facts.is_local == (config.endpoints[0].host == "127.0.0.1")
    assert len(facts.round_trips) == 20
    assert facts.skew is not None
    assert abs(facts.skew) < 2
    assert facts.auth_plugin in ("mysql_native_password", "caching_sha2_password")
    assert server_kind == "given" or facts.is_mariadb == (server_kind == "mariadb")
    assert facts.version[0].isdigit()
    assert not facts.version.startswith("5.5.5")


async def test_encryption_is_seen(make_local_server: Callable[..., LocalServer]) -> None:
    server = make_local_server(tls=True)
    config = parse_database_url(f"{server.url}?ssl_mode=required")
    facts = await collect(config, config.endpoints[0])
    assert facts.encryption.startswith("TLSv1.")
    assert facts.status["Ssl_server_not_after"]


def test_well_set_server_is_well(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = doctor(monkeypatch, database_url)
    assert status == 0, output
    assert "ERROR" not in output
    assert "WARNING" not in output


def test_badly_set_server_is_told_what_to_set(
    make_local_server: Callable[..., LocalServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_local_server(
        "--wait-timeout=20",
        "--max-connections=12",
        "--max-allowed-packet=1048576",
        "--connect-timeout=2",
        "--net-read-timeout=5",
        "--read-only=ON",
    )
    status, output = doctor(monkeypatch, server.url, "--json", "--replicas", "3")
    report = json.loads(output)
    assert status == report["exit_code"] == 2
    severity = {finding["code"]: finding["severity"] for finding in report["findings"]}
    assert severity["wait-timeout-short"] == "warning"
    assert severity["connection-budget"] == "error"
    assert severity["packet-size"] == "warning"
    assert severity["connect-timeout"] == "warning"
    assert severity["net-read-timeout"] == "warning"
    assert severity["read-only"] == "error"


def test_refused_login_names_the_setting(
    mysql_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = mysql_server.url.replace("mysql://", "mysql://nobody:secret@", 1)
    wrong = wrong.replace(wrong.split("@", 1)[1], mysql_server.url.rsplit("@", 1)[1])
    status, output = doctor(monkeypatch, wrong)
    assert status == 3
    assert "DATABASE_URL" in output
    assert "secret" not in output


def test_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = doctor(monkeypatch, "mysql://me:secret@127.0.0.1:1/mine", "--json")
    report = json.loads(output)
    (finding,) = report["findings"]
    assert status == report["exit_code"] == 3
    assert finding["code"] == "cannot-connect"
    assert "host and port in DATABASE_URL" in finding["title"]
    assert "secret" not in output


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUART_APP_MAXSIZE", "many")
    status, _ = doctor(monkeypatch, "mysql://me@127.0.0.1:1/mine")
    assert status == 3


def test_one_of_two_servers_away_is_an_error(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _, name = database_url.rpartition("/")
    status, output = doctor(monkeypatch, f"{before},127.0.0.1:1/{name}", "--json")
    findings = json.loads(output)["findings"]
    assert status == 2
    assert [f["endpoint"] for f in findings if f["code"] == "cannot-connect"] == ["127.0.0.1:1"]
    assert any(f["code"] == "wait-timeout" for f in findings)


async def probe(
    url: str, *, idle: float, how: Cut, up_to: float, path_only: bool = False
) -> Answer:
    config = config_of(url)
    async with ForgetfulProxy("127.0.0.1", config.endpoints[0].port, idle=idle, how=how) as proxy:
        measured = IdleProbe(
            config_of(url, port=proxy.port), up_to=up_to, path_only=path_only, ping_timeout=0.7
        )
        return await measured.run()


@pytest.mark.parametrize(("cut", "how"), [(Cut.FIN, How.FIN), (Cut.RST, How.RST)])
async def test_path_that_says_it_drops_is_measured_to_the_moment(
    database_url: str, cut: Cut, how: How
) -> None:
    answer = await probe(database_url, idle=0.8, how=cut, up_to=2)
    assert answer.how is how
    assert answer.certain
    assert answer.dropped == pytest.approx(0.8, abs=0.4)


async def test_silent_path_is_found_and_bracketed(database_url: str) -> None:
    answer = await probe(database_url, idle=0.8, how=Cut.SILENCE, up_to=2)
    assert answer.how is How.SILENCE
    assert answer.certain
    assert answer.dropped is not None
    assert answer.held < 1.0
    assert 0.7 < answer.dropped <= 1.0
    assert answer.dropped - answer.held < 0.2


async def test_path_that_holds_is_well(database_url: str) -> None:
    answer = await probe(database_url, idle=30, how=Cut.SILENCE, up_to=1)
    assert answer == Answer(held=1.0)


async def test_restart_is_not_taken_for_idleness(breakable_server: Server) -> None:
    config = config_of(breakable_server.new_database())
    measuring = asyncio.create_task(IdleProbe(config, up_to=5, ping_timeout=0.7).run())
    await asyncio.sleep(1)
    await asyncio.to_thread(breakable_server.process.kill)
    answer = await measuring
    assert answer.dropped is not None
    assert not answer.certain


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_servers_own_limit_is_told_from_the_path(
    make_local_server: Callable[..., LocalServer], monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    server = make_local_server(f"--wait-timeout={limit}")
    status, output = doctor(
        monkeypatch, server.url, "--probe-idle", "--up-to", str(limit + 2), "--json"
    )
    (finding,) = (f for f in json.loads(output)["findings"] if f["code"].startswith("idle"))
    assert finding["code"] == "idle-server"
    assert f"closes after {limit} s (wait_timeout)" in finding["title"]
    assert status == 1  # such a wait_timeout is a warning


async def test_goodbye_of_mysql_is_heard(mysql_server: Server, database_url: str) -> None:
    config = parse_database_url(f"{database_url}?ssl_mode=disabled")
    config = ConnectConfig(
        endpoints=config.endpoints,
        user=config.user,
        password=config.password,
        database=config.database,
        init_command="SET SESSION wait_timeout = 1",
    )
    answer = await IdleProbe(config, up_to=3).run()
    is_mariadb = "MariaDB" in full_version(mysql_server)
    assert answer.how in ((How.FIN, How.RST) if is_mariadb else (How.GOODBYE,))
    assert answer.dropped == pytest.approx(1, abs=0.9)


async def test_path_only_has_the_server_wait(make_local_server: Callable[..., LocalServer]) -> None:
    server = make_local_server("--wait-timeout=1")
    answer = await IdleProbe(config_of(server.url), up_to=3, path_only=True).run()
    assert answer.held == 3
    assert answer.how is None


def full_version(server: Server) -> str:
    return str(server.execute("SELECT VERSION()")[0][0])


def connections_of(server: Server, user: str | None) -> object:
    sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s"
    return server.execute(sql, user)[0][0]


async def test_probe_reports_progress_and_leaves_nothing_open(mysql_server: Server) -> None:
    url = mysql_server.new_database()
    seen: list[float] = []
    await IdleProbe(config_of(url), up_to=1, progress=seen.append).run()
    assert seen == sorted(seen)
    assert seen[-1] == 1
    user = config_of(url).user
    async with asyncio.timeout(5):
        while connections_of(mysql_server, user):  # noqa: ASYNC110 # the server tells nobody
            await asyncio.sleep(0.1)
