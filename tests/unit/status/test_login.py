"""The cookie: ours, of a token that is still good, and not too old."""

from pathlib import Path

import pytest

from quart_app.metrics_folder import FOLDER
from quart_app.status.login import LIFETIME, Login, shared_key
from tests.unit.status.test_history import Clock

DIGEST, OTHER = b"a" * 32, b"b" * 32


def test_cookie_is_good_for_its_token() -> None:
    login = Login(b"key", clock=Clock())
    cookie = login.cookie_for(DIGEST)
    assert login.is_good(cookie, (OTHER, DIGEST))
    assert not login.is_good(cookie, (OTHER,))  # its token was taken away
    assert not login.is_good(cookie, ())


def test_cookie_of_another_key_is_refused() -> None:
    clock = Clock()
    cookie = Login(b"one", clock=clock).cookie_for(DIGEST)
    assert not Login(b"another", clock=clock).is_good(cookie, (DIGEST,))


def test_cookie_ends() -> None:
    clock = Clock()
    login = Login(b"key", clock=clock)
    cookie = login.cookie_for(DIGEST)
    clock.now += LIFETIME
    assert login.is_good(cookie, (DIGEST,))
    clock.now += 1
    assert not login.is_good(cookie, (DIGEST,))


def test_longer_life_cannot_be_written_in() -> None:
    login = Login(b"key", clock=Clock())
    _, _, mark = login.cookie_for(DIGEST).partition(".")
    assert not login.is_good(f"99999999999.{mark}", (DIGEST,))


@pytest.mark.parametrize(
    "cookie", ["", ".", "x.y", "99999999999", "٣٣٣٣٣٣٣٣.x", "99999999999.\udcff"]
)
def test_nonsense_is_refused(cookie: str) -> None:
    assert not Login(b"key", clock=Clock()).is_good(cookie, (DIGEST,))


def test_workers_share_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    key = shared_key()
    assert len(key) == 32
    assert shared_key() == key
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_processes_by_themselves_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    assert shared_key() != shared_key()


@pytest.mark.parametrize("until", ["9" * 5000, "-1", "", "1e9", "\u0661", " 1"])
def test_time_that_is_none_is_refused_and_raises_nothing(until: str) -> None:
    login = Login(b"key", clock=lambda: 0.0)
    assert not login.is_good(f"{until}.{'0' * 64}", (DIGEST,))
