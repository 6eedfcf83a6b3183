"""The compose files and HAProxy's: what can be told without starting them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from quart_app.settings import Settings

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "compose.yaml", ROOT / "deploy" / "compose" / "cluster.yaml"]
SECONDS = {"s": 1, "m": 60, "h": 3600, "ms": 0.001}


def _apps(file: Path) -> list[dict[str, Any]]:
    services = yaml.safe_load(file.read_text())["services"].values()
    return [service for service in services if service["image"] == "quart-app"]


def _time(config: str, name: str) -> float:
    found = re.search(rf"timeout {name} (\d+)(\w+)", (ROOT / "deploy/haproxy" / config).read_text())
    assert found is not None, name
    return int(found[1]) * SECONDS[found[2]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_containers_of_the_app_are_locked_down_and_need_no_shell(file: Path) -> None:
    assert len(_apps(file)) >= 3
    for app in _apps(file):
        assert app["read_only"]
        assert app["cap_drop"] == ["ALL"]
        assert app["security_opt"] == ["no-new-privileges:true"]
        assert app.get("command", ["quart-app"])[0] == "quart-app"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_containers_are_given_the_time_they_need_to_stop(file: Path) -> None:
    fields = Settings.model_fields
    names = ("drain_delay", "graceful_timeout", "shutdown_timeout")
    needed = sum(fields[name].default for name in names)
    serving = [app for app in _apps(file) if "stop_grace_period" in app]
    assert serving
    assert all(int(app["stop_grace_period"].removesuffix("s")) > needed for app in serving)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_only_migrations_may_change_tables(file: Path) -> None:
    for app in _apps(file):
        migrating = app.get("command", [])[-1:] in (["migrate"], ["seed"])
        user = re.match(r"mysql://(\w+):", app["environment"]["DATABASE_URL"])
        assert user is not None
        assert user[1] == ("quart_app_migrate" if migrating else "quart_app")


def test_proxy_waits_longer_than_the_app_answers_and_keeps_connections_shorter() -> None:
    request_timeout: float = Settings.model_fields["request_timeout"].default
    assert _time("app.cfg", "server") > request_timeout
    hypercorn = (ROOT / "hypercorn.toml").read_text()
    kept = re.search(r"keep_alive_timeout = (\d+)", hypercorn)
    assert kept is not None
    assert _time("app.cfg", "http-keep-alive") < int(kept[1])


def test_proxy_sees_an_unready_process_before_its_port_closes() -> None:
    checks = re.search(
        r"check inter (\d+)ms fall 1 ", (ROOT / "deploy/haproxy/app.cfg").read_text()
    )
    assert checks is not None
    assert int(checks[1]) / 1000 * 2 < Settings.model_fields["drain_delay"].default
