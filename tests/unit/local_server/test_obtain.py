import os
import shutil
import subprocess
from pathlib import Path

import pytest

from quart_app.local_server import NoServerBinary, ServerBinary, obtain
from quart_app.local_server.__main__ import main
from quart_app.local_server.binary import Flavour
from quart_app.local_server.obtain import obtain_server

FOUND = ServerBinary(path=Path("/sbin/mariadbd"), flavour=Flavour.MARIADB, version="10.11.19")


class Machine:
    """A machine of straw: what it has, and what was run on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server: ServerBinary | None = None
        self.programs = {"apt-get": "/bin/apt-get", "sudo": "/bin/sudo"}
        self.statuses = {"sudo": 0, "update": 0, "install": 0}
        self.user = 0
        self.ran: list[str] = []
        monkeypatch.setattr(obtain, "find_server", self.find)
        monkeypatch.setattr(shutil, "which", self.programs.get)
        monkeypatch.setattr(os, "geteuid", lambda: self.user)
        monkeypatch.setattr(subprocess, "run", self.run)

    def find(self) -> ServerBinary:
        """Stand in for find_server."""
        if self.server is None:
            raise NoServerBinary
        return self.server

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        """Stand in for subprocess.run: an installation brings a server."""
        line = " ".join(command)
        self.ran.append(line)
        status = next((code for word, code in self.statuses.items() if word in line), 0)
        if "install" in line and status == 0:
            self.server = FOUND
        return subprocess.CompletedProcess(command, status, stdout=b"no room")


@pytest.fixture(name="machine")
def _machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_server_that_is_there_is_taken(machine: Machine) -> None:
    machine.server = FOUND
    assert obtain_server() == FOUND
    assert machine.ran == []


def test_root_installs_the_bare_server(machine: Machine) -> None:
    assert obtain_server() == FOUND
    assert machine.ran[-1].endswith(
        "--no-install-recommends mariadb-server-core mariadb-client-core"
    )
    assert "sudo" not in " ".join(machine.ran)


def test_user_who_may_become_root_without_asking_installs_it(machine: Machine) -> None:
    machine.user = 1000
    assert obtain_server() == FOUND
    assert all(line.startswith("/bin/sudo -n ") for line in machine.ran)


@pytest.mark.parametrize("lacking", ["apt-get", "sudo", "password"])
def test_others_are_told_what_to_type(
    machine: Machine, lacking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.user = 1000
    machine.programs.pop(lacking, None)
    machine.statuses["sudo"] = 1
    assert main() == 1
    said = capsys.readouterr().err
    assert "Type:\n\n    " in said
    assert "the same command again" in said


def test_failed_installation_says_which_command_failed(machine: Machine) -> None:
    machine.statuses["update"] = 100
    with pytest.raises(NoServerBinary, match="apt-get update -qq failed:\nno room\n"):
        obtain_server()


def test_found_server_is_named(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.server = FOUND
    assert main() == 0
    assert capsys.readouterr().out == "database server: MariaDB 10.11.19 (/sbin/mariadbd)\n"
