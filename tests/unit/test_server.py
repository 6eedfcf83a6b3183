"""How Hypercorn is set up."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest
from hypercorn.config import Config

from quart_app.database_url import parse_database_url
from quart_app.server import BindError, bind, make_config
from quart_app.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="settings")
def _settings() -> Settings:
    url = parse_database_url("mysql://me:hidden@127.0.0.1:1/mine")
    return Settings(database=url, bind=("127.0.0.1:1",), graceful_timeout=16.0)


def test_settings_lie_over_the_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "hypercorn.toml"
    file.write_text('bind = ["0.0.0.0:9"]\nkeep_alive_timeout = 77\ngraceful_timeout = 1\n')
    config = make_config(settings, config_file=file)
    assert config.bind == ["127.0.0.1:1"]
    assert config.keep_alive_timeout == 77
    assert config.graceful_timeout == 16.0


def test_file_may_be_missing(settings: Settings, tmp_path: Path) -> None:
    config = make_config(settings, config_file=tmp_path / "none")
    assert config.worker_class == "uvloop"
    assert config.accesslog is None


def test_budget_of_the_file_is_that_of_the_settings(settings: Settings) -> None:
    config = Config.from_toml(ROOT / "hypercorn.toml")
    fields = Settings.model_fields
    assert config.graceful_timeout == fields["graceful_timeout"].default
    assert config.shutdown_timeout == fields["shutdown_timeout"].default
    assert settings.request_timeout < config.graceful_timeout < config.shutdown_timeout


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EADDRINUSE, "another program listens there; choose another address with --bind"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_address_that_cannot_be_bound_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(_: Config) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Config, "create_sockets", refuse)
    with pytest.raises(BindError) as caught:
        bind(make_config(settings))
    assert str(caught.value) == f"cannot listen on 127.0.0.1:1: {reason}"
