"""The folder that workers share."""

import os
from pathlib import Path

import pytest

from quart_app.metrics_folder import FOLDER, forget_worker, shared_folder


def test_made_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    with shared_folder() as folder:
        assert os.environ[FOLDER] == str(folder)
        (folder / "counter_1.db").touch()
    assert FOLDER not in os.environ
    assert not folder.exists()


def test_given_folder_is_emptied_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = tmp_path / "metrics"
    given.mkdir()
    (given / "counter_1.db").touch()
    monkeypatch.setenv(FOLDER, str(given))
    with shared_folder() as folder:
        assert folder == given
        assert list(given.iterdir()) == []
    assert given.exists()
    assert os.environ[FOLDER] == str(given)


def test_worker_that_ended_leaves_the_sums(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for name in ("gauge_livesum_7.db", "gauge_livesum_77.db", "counter_7.db"):
        (tmp_path / name).touch()
    forget_worker(7)
    assert {file.name for file in tmp_path.iterdir()} == {"gauge_livesum_77.db", "counter_7.db"}


def test_without_a_folder_there_is_nothing_to_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    forget_worker(7)
    assert FOLDER not in os.environ
