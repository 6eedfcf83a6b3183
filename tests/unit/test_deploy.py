"""What lies in deploy/ fits what the program has: metrics, alerts, runbooks."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.http.problems import KINDS
from quart_app.metrics import Metrics
from quart_app.mysql import errors
from quart_app.settings import Settings

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "quart-app.json"
RUNBOOKS = ROOT / "docs" / "how_to_guides" / "runbooks"
SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created")
NAME = re.compile(r"\b(?:mysql|http|event_loop|process)_[a-z_]+\b(?=[\[{ )]|$)")


SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}")


def names_in(text: str) -> set[str]:
    """The metrics that an expression names, without the suffixes of their samples."""
    return {plain(name) for name in NAME.findall(text)}


def plain(name: str) -> str:
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


@pytest.fixture(name="exposed", scope="module")
def _exposed() -> set[str]:
    page = Metrics(name="mysql").page().decode()
    return {plain(line.split()[2]) for line in page.splitlines() if line.startswith("# TYPE")}


def expressions() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]


def test_alerts_name_metrics_that_exist(exposed: set[str]) -> None:
    named = names_in("\n".join(re.findall(r"expr: (\|\n(?: {10}.*\n)+|.*)", ALERTS.read_text())))
    assert "mysql_pool_ready" in named
    assert named <= exposed


def test_dashboard_names_metrics_that_exist(exposed: set[str]) -> None:
    named = {name for expression in expressions() for name in names_in(expression)}
    assert "http_request_duration_seconds" in named
    assert named <= exposed


def test_selectors_name_labels_and_values_that_exist() -> None:
    names = Metrics(name="mysql")._registry._names_to_collectors
    known = {
        plain(name): set(metric._labelnames) | {"le"}
        for name, metric in names.items()
        if hasattr(metric, "_labelnames")
    }
    values = {
        "error": {name for name in dir(errors) if isinstance(getattr(errors, name), type)},
        "type": {kind.slug for kind in KINDS},
        "done": {"true", "false"},
        "reason": {"lost", "ping failed"},
        "status": {"5.."},
        "route": {
            rule.rule
            for rule in create_app(
                Settings(database=parse_database_url("mysql://me@127.0.0.1/mine"))
            ).url_map.iter_rules()
        },
    }
    selectors = SELECTOR.findall("\n".join((ALERTS.read_text(), *expressions())))
    assert len(selectors) > 40
    for name, matchers in selectors:
        for label, value in re.findall(r'(\w+)[=~!]+"([^"]*)"', matchers):
            if label not in ("job", "instance"):  # Prometheus's own
                assert label in known[plain(name)], name
                assert set(value.split("|")) <= values[label], (name, value)


def test_dashboard_shows_every_metric(exposed: set[str]) -> None:
    named = {name for expression in expressions() for name in names_in(expression)}
    ours = {name for name in exposed if not name.startswith("process_")}
    assert ours - named <= {"mysql_pool_connections", "mysql_pool_connections_min"}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_every_alert_has_a_runbook_that_names_it() -> None:
    rules = ALERTS.read_text().split("- alert: ")[1:]
    assert len(rules) > 10
    for rule in rules:
        (page,) = re.findall(r"runbook: (\S+)", rule)
        assert f"`{rule.split()[0]}`" in (ROOT / page).read_text()


def test_every_runbook_belongs_to_an_alert_and_is_listed() -> None:
    index, rules = (RUNBOOKS / "index.md").read_text(), ALERTS.read_text()
    pages = {page.name for page in RUNBOOKS.glob("*.md")} - {"index.md"}
    for page in pages:
        assert f"({page})" in index
        assert f"runbooks/{page}" in rules


def test_links_between_runbooks_lead_somewhere() -> None:
    for page in RUNBOOKS.glob("*.md"):
        for link in re.findall(r"\]\(([\w-]+\.md)\)", page.read_text()):
            assert (RUNBOOKS / link).exists(), (page.name, link)


def test_settings_in_runbooks_exist() -> None:
    from quart_app.settings import Settings, env_name  # noqa: PLC0415 # not for the rest

    known = {env_name(field) for field in Settings.model_fields}
    for page in RUNBOOKS.glob("*.md"):
        assert set(re.findall(r"QUART_APP_[A-Z_]+", page.read_text())) <= known, page.name


def test_rules_do_what_they_say(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    queries = "\n".join(
        f"      - record: r{number}\n        expr: {json.dumps(_without_variables(expression))}"
        for number, expression in enumerate(expressions())
    )
    dashboard = tmp_path / "dashboard.yml"
    dashboard.write_text(f"groups:\n  - name: dashboard\n    rules:\n{queries}\n")
    subprocess.run([promtool, "check", "rules", str(ALERTS), str(dashboard)], check=True)
    tests = ALERTS.with_name("alerts.test.yml")
    subprocess.run([promtool, "test", "rules", str(tests)], check=True)


def _without_variables(expression: str) -> str:
    return (
        expression.replace("$__rate_interval", "1m")
        .replace("$job", ".*")
        .replace("$instance", ".*")
    )
