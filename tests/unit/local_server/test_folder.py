import os
import tempfile
from pathlib import Path

import pytest

from quart_app.local_server import FolderInUse, LocalServerError
from quart_app.local_server import folder as folders
from quart_app.local_server.folder import SOCKET_PATH_BYTES, Folder, Memory


def test_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new" / "db")
    folder.acquire()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.release()


def test_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    first, second = Folder(tmp_path), Folder(tmp_path)
    first.acquire()
    with pytest.raises(FolderInUse, match=f"in use by process {os.getpid()};"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_release_is_idempotent(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.acquire()
    folder.release()
    folder.release()
    assert folder.server_lock == folders.NOT_HELD


def test_server_that_can_not_be_ended_leaves_the_folder_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "ORPHAN_GRACE", 0.0)
    monkeypatch.setattr(folders, "KILL_GRACE", 0.0)
    outlived = Folder(tmp_path)
    outlived.acquire()
    outlived.remember(Memory(pid=os.getpid()))  # a pid that was given to another program since
    os.close(outlived._owner_lock)
    outlived._owner_lock = folders.NOT_HELD
    with pytest.raises(FolderInUse, match="a server of an earlier run"):
        Folder(tmp_path).acquire()
    outlived.release()


def test_memory_survives(tmp_path: Path) -> None:
    memory = Memory(flavour="mysql", version="9.7.4", port=4000, pid=7)
    folder = Folder(tmp_path)
    folder.remember(memory)
    assert folder.remembered() == memory
    assert (tmp_path / "memory.json").stat().st_mode & 0o777 == 0o600


def test_memory_that_can_not_be_read_says_what_to_remove(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text("{")
    with pytest.raises(LocalServerError, match=f"remove {tmp_path} to start anew"):
        Folder(tmp_path).remembered()


def test_passwords_are_new_for_each_folder_and_not_shown() -> None:
    first, second = Memory(), Memory()
    assert first.app_password != second.app_password
    assert first.app_password not in repr(first)


def test_socket_of_a_long_path_is_elsewhere_and_short(tmp_path: Path) -> None:
    folder = Folder(tmp_path / ("d" * SOCKET_PATH_BYTES))
    assert len(os.fsencode(folder.socket)) <= SOCKET_PATH_BYTES
    assert folder.socket.parent.parent == Path(tempfile.gettempdir())
    assert Folder(tmp_path).socket == tmp_path / "s.sock"


def test_socket_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = Folder(tmp_path / ("d" * SOCKET_PATH_BYTES))
    folder.socket.parent.symlink_to(tmp_path)
    with pytest.raises(LocalServerError, match="belongs to somebody else"):
        folder.acquire()


def test_long_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LOG_LIMIT_BYTES", 3)
    folder = Folder(tmp_path)
    folder.trim_log()
    folder.log.write_text("1234")
    folder.trim_log()
    assert not folder.log.exists()
    assert (tmp_path / "server.log.1").read_text() == "1234"
