"""Row Y: what the engine leans on inside aiomysql and PyMySQL is pinned, and is still there."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import aiomysql
import pytest
from aiomysql.connection import MySQLResult
from packaging.requirements import Requirement

pytestmark = pytest.mark.row("Y")

ROOT = Path(__file__).parents[3]


def requirement(name: str) -> Requirement:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (found,) = [one for text in project["dependencies"] if (one := Requirement(text)).name == name]
    return found


@pytest.mark.parametrize("name", ["aiomysql", "PyMySQL"])
def test_driver_is_pinned_to_a_tested_minor(name: str) -> None:
    specifier = requirement(name).specifier
    major, minor = map(int, version(name).split(".")[:2])
    assert specifier.contains(version(name))
    assert not specifier.contains(f"{major}.{minor + 1}.0")


@pytest.mark.parametrize(
    "method",
    [
        "_connect",
        "_request_authentication",
        "_set_keep_alive",
        "_execute_command",
        "_read_packet",
        "_read_bytes",
        "_read_query_result",
        "_read_ok_packet",
        "_ensure_alive",
        "_close_on_cancel",
        "_write_bytes",
        "write_packet",
        "close",
        "ping",
        "query",
    ],
)
def test_method_that_is_overridden_or_called_is_aiomysqls(method: str) -> None:
    assert callable(getattr(aiomysql.Connection, method))


@pytest.mark.parametrize(
    "method",
    [
        "read",
        "init_unbuffered_query",
        "_check_packet_is_eof",
        "_finish_unbuffered_query",
        "_read_rowdata_packet_unbuffered",
    ],
)
def test_method_of_results_is_aiomysqls(method: str) -> None:
    assert callable(getattr(MySQLResult, method))


def test_only_the_driver_and_the_compatibility_import_them() -> None:
    pattern = re.compile(r"^\s*(?:from|import) (?:aiomysql|pymysql)\b", re.MULTILINE)
    package = ROOT / "quart_app" / "mysql"
    importers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if pattern.search(path.read_text())
    }
    assert all(one.startswith("driver") or one == "compat.py" for one in importers), importers
