"""The script that makes the environment, on a machine of straw: nothing is installed here."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bootstrap.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Machine:
    """What runs on it, and what was run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
        self.script = _load()
        self.ran: list[str] = []
        self.failing: tuple[str, ...] = ()
        self.programs = {"apt-get": "/usr/bin/apt-get", "sudo": "/usr/bin/sudo"}
        for name in ("requirements.txt", "requirements-build.txt", "requirements-dev.txt"):
            (project / name).write_text(name)
        (project / "pyproject.toml").write_text("[project]")
        monkeypatch.setattr(self.script, "PROJECT", project)
        monkeypatch.setattr(self.script, "run", self.run)
        monkeypatch.setattr(self.script, "succeeds", self.succeeds)
        monkeypatch.setattr(shutil, "which", self.programs.get)

    def run(self, *command: str | Path) -> None:
        """Stand in for running a command that must succeed."""
        line = " ".join(map(str, command))
        self.ran.append(line)
        if " -m venv " in line:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()

    def succeeds(self, *command: str | Path) -> bool:
        """Stand in for asking a command."""
        line = " ".join(map(str, command))
        return not any(word in line for word in self.failing)


@pytest.fixture(name="machine")
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def test_new_environment_gets_the_locked_packages_and_the_project(
    machine: Machine, tmp_path: Path
) -> None:
    machine.script.main(tmp_path / "venv", "dev")
    make, locked, project = machine.ran
    assert make.endswith(f"-m venv --clear {tmp_path / 'venv'}")
    assert locked.endswith(f"--require-hashes --no-deps -r {tmp_path / 'requirements-dev.txt'}")
    assert project.endswith(f"--no-deps --no-build-isolation -e {tmp_path}")


@pytest.mark.parametrize("level", ["runtime", "dev"])
def test_nothing_is_done_twice(machine: Machine, tmp_path: Path, level: str) -> None:
    machine.script.main(tmp_path / "venv", "dev")
    machine.ran.clear()
    machine.script.main(tmp_path / "venv", level)
    assert machine.ran == []


def test_changed_lock_is_installed(machine: Machine, tmp_path: Path) -> None:
    machine.script.main(tmp_path / "venv", "runtime")
    (tmp_path / "requirements.txt").write_text("something newer")
    machine.ran.clear()
    machine.script.main(tmp_path / "venv", "runtime")
    assert len(machine.ran) == 2
    assert all(" -m pip " in line for line in machine.ran)


def test_broken_environment_is_made_anew(machine: Machine, tmp_path: Path) -> None:
    machine.script.main(tmp_path / "venv", "dev")
    shutil.rmtree(tmp_path / "venv" / "bin")
    machine.ran.clear()
    machine.script.main(tmp_path / "venv", "dev")
    assert " -m venv --clear " in machine.ran[0]
    assert len(machine.ran) == 3


def test_old_python_is_refused(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.script, "NEEDED", (99, 1))
    with pytest.raises(SystemExit, match=r"Python 99\.1 or newer is needed"):
        machine.script.main(tmp_path / "venv", "dev")


def test_python_without_venv_gets_the_systems_package(machine: Machine, tmp_path: Path) -> None:
    machine.failing = ("ensurepip",)
    machine.script.main(tmp_path / "venv", "dev")
    assert machine.ran[0].endswith("apt-get update -qq")
    assert machine.ran[1].endswith("-venv")
    assert " -m venv " in machine.ran[2]


def test_user_who_may_not_install_is_told_what_to_type(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.failing = ("ensurepip", "sudo")
    monkeypatch.setattr(machine.script.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match=r"sudo apt-get install -y python3\.\d+-venv"):
        machine.script.main(tmp_path / "venv", "dev")
    assert machine.ran == []
