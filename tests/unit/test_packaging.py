"""What the project says about itself in several places must be one truth."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
LOCKS = sorted(ROOT.glob("requirements*.txt"))
# The plugin is for tests, tracing is an extra; three modules are run, not imported.
NOT_IMPORTED = ["testing", "http.tracing", "asgi", "__main__", "migrations.env"]
IMPORT_ALL = """
import importlib, json, pkgutil, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
import quart_app
without = [f"quart_app.{name}" for name in json.loads(sys.argv[2])]
for module in pkgutil.walk_packages(quart_app.__path__, "quart_app."):
    if not module.name.startswith(tuple(without)):
        importlib.import_module(module.name)
"""


def _classified() -> list[str]:
    lines = "\n".join(PROJECT["classifiers"])
    return re.findall(r"^Programming Language :: Python :: (3\.\d+)$", lines, re.MULTILINE)


def test_oldest_python_is_the_same_everywhere() -> None:
    oldest = _classified()[0]
    assert PROJECT["requires-python"] == f">={oldest}"
    assert f"NEEDED = ({oldest.replace('.', ', ')})" in (ROOT / "scripts/bootstrap.py").read_text()
    assert f"({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text()
    assert SETTINGS["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


def test_image_has_the_newest_python_we_test() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert bases == ["$PYTHON_IMAGE", "build", "scratch"]
    default = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", dockerfile, re.MULTILINE)
    assert default == [f"python:{_classified()[-1]}-slim"]


def test_tests_run_on_a_python_we_name_or_a_newer_one() -> None:
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert running in _classified() or sys.version_info[:2] > (3, 13)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_has_hashes_and_names_no_index(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    pins = [line for line in lines if "==" in line]
    assert pins
    assert all(line.endswith("\\") for line in pins), "every pin is followed by its hashes"
    assert not [line for line in lines if "://" in line or line.startswith("--index")]


def test_locks_agree_with_each_other() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE):
            versions.setdefault(name.lower(), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_locks_are_installed_as_they_are() -> None:
    """Pip resolves an extra of something locked anew, to a release of today, and stops there."""
    for name in ("scripts/bootstrap.py", "Dockerfile", "benchmarks/environments.py", "Makefile"):
        calls = re.findall(r"--require-hashes.*", (ROOT / name).read_text())
        assert calls
        assert all("--no-deps" in call for call in calls), name


def test_lock_lacks_nothing() -> None:
    check = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_program_starts_without_what_only_developers_have() -> None:
    """`quart-app torture` imported testcontainers, and ended in a traceback after `make serve`."""
    served = _locked("requirements.txt")
    missing = [
        module
        for module, names in packages_distributions().items()
        if served.isdisjoint(map(_normal, names)) and module != "quart_app"
    ]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, json.dumps(missing), json.dumps(NOT_IMPORTED)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _locked(lock: str) -> set[str]:
    pins = re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
    return {_normal(name) for name in pins}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_image_ignores_everything_it_does_not_copy() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    wanted = {name for line in copied for name in line.split()}
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored.count("*") == 1
    assert allowed == wanted


def test_engine_imports_no_other_part_of_the_package() -> None:
    graph = grimp.build_graph("quart_app", cache_dir=None)
    engine = {"quart_app.mysql", *graph.find_descendants("quart_app.mysql")}
    imported = {
        found for module in engine for found in graph.find_modules_directly_imported_by(module)
    }
    assert "quart_app.mysql.driver" in engine
    assert imported - engine == set()
