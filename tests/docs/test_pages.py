"""What the pages name exists: links, files, settings, metrics, code that can be read."""

import ast
import re
from pathlib import Path

import pytest
from quart import Blueprint, Quart

from quart_app.app import create_app
from quart_app.metrics import Metrics
from quart_app.mysql.config import ConnectConfig
from quart_app.settings import Settings, env_name

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", _without_code(page.read_text()))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:quart_app|tests|docs|deploy|benchmarks|examples)/[\w./-]*)`", page.read_text()
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@each_page
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {env_name(field) for field in Settings.model_fields}
    known |= {f"{env_name(field)}_FILE" for field in Settings.secrets}
    named = set(
        re.findall(r"\b(QUART_APP_[A-Z_]*[A-Z]|DATABASE_URL(?:_FILE)?)\b", page.read_text())
    )
    assert named - known == set()


@each_page
def test_python_can_be_read(page: Path) -> None:
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_metrics_that_are_named_exist() -> None:
    text = (ROOT / "docs/how_to_guides/read_the_metrics.md").read_text()
    named = set(re.findall(r"`((?:mysql|http|event_loop)_\w+)`", text))
    page = Metrics(name="test").page().decode()
    told = set(re.findall(r"^# HELP (\w+)", page, re.MULTILINE))
    assert {name.removesuffix("_count") for name in named} - told == set()


def test_files_of_the_architecture_exist() -> None:
    text = (ROOT / "docs/discussion/architecture.md").read_text()
    tree = text.split("```text\n")[1].split("```")[0]
    there = {path.name for path in (ROOT / "quart_app").rglob("*.py")}
    named = set(re.findall(r"\b(\w+\.py)\b", tree))
    assert len(named) > 40
    assert named - there == set()


@pytest.fixture(name="app")
def _app() -> Quart:
    return create_app(Settings(database=ConnectConfig(user="x", database="x"), access_log=False))


def test_blueprint_of_the_how_to_guide_fits_into_the_app(app: Quart) -> None:
    text = (ROOT / "docs/how_to_guides/own_blueprint.md").read_text()
    found: dict[str, object] = {"__name__": "notes"}
    exec(text.split("```python\n")[1].split("```")[0], found)  # noqa: S102 # the page's own code
    blueprint = found["blueprint"]
    assert isinstance(blueprint, Blueprint)
    app.register_blueprint(blueprint)
    rules = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("notes.")}
    assert rules == {
        "/notes/<int:note_id>",
        "/notes/<int:note_id>/move",
        "/notes/<int:note_id>/mail",
    }
