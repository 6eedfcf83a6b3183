"""What becomes of a private server when its owner ends, however that happens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quart_app.local_server import LocalServer

pytestmark = [
    pytest.mark.mysql,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc"),
]
OWNER = """
import sys, time
from quart_app.local_server import LocalServer
with LocalServer(sys.argv[1]) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""
PATIENCE = 30.0


class Owner:
    """A program of its own that owns a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.server = int(self.process.stdout.readline())

    @property
    def supervisor(self) -> int:
        """The parent of the server."""
        return int(_stat(self.server)[1])

    def end(self) -> None:
        """Let nothing be left of it."""
        self.process.kill()
        self.process.communicate()


def _stat(pid: int) -> list[str]:
    """Return state, parent and so on of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _alive(pid: int) -> bool:
    try:
        return _stat(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)


def _stopped_cleanly(folder: Path) -> bool:
    last = (folder / "server.log").read_text().splitlines()[-2:]  # MySQL has one line more
    return "Shutdown complete" in "".join(last)


@pytest.fixture(name="owner")
def _owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path)
    yield owner
    owner.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_server_ends_cleanly_with_its_owner(owner: Owner, number: signal.Signals) -> None:
    owner.process.send_signal(number)
    assert _gone(owner.server)
    assert _stopped_cleanly(owner.folder)


def test_interrupt_of_the_whole_group_stops_the_server_cleanly(owner: Owner) -> None:
    os.killpg(owner.process.pid, signal.SIGINT)
    assert owner.process.wait(PATIENCE) == -signal.SIGINT
    assert _gone(owner.server)
    assert _stopped_cleanly(owner.folder)


def test_server_ends_cleanly_with_its_supervisor(owner: Owner) -> None:
    os.kill(owner.supervisor, signal.SIGKILL)
    assert _gone(owner.server)
    assert _stopped_cleanly(owner.folder)


def test_terminated_supervisor_stops_the_server_first(owner: Owner) -> None:
    os.kill(owner.supervisor, signal.SIGTERM)
    assert _gone(owner.server)
    assert _stopped_cleanly(owner.folder)


def test_server_that_outlived_everybody_is_ended_by_the_next_owner(owner: Owner) -> None:
    supervisor = owner.supervisor
    os.kill(owner.server, signal.SIGSTOP)  # so it can't obey when the supervisor dies
    os.kill(supervisor, signal.SIGKILL)
    owner.process.kill()
    owner.process.wait()
    assert _alive(owner.server)
    with LocalServer(owner.folder) as server:
        assert not _alive(owner.server)
        assert server.pid != owner.server


def test_owner_killed_while_its_server_is_starting_leaves_a_usable_folder(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)])
    while not (tmp_path / "install.log").exists():
        time.sleep(0.005)
    process.kill()
    process.wait()
    with LocalServer(tmp_path) as server:
        assert server.running
