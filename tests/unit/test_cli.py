"""The command line: help on everything, wrong settings end with status 2."""

import click
import pytest
from click.testing import CliRunner

from quart_app import __version__
from quart_app.cli import main

COMMANDS = sorted(main.commands)


@pytest.fixture(name="runner")
def _runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("DATABASE_URL", "QUART_APP_BIND", "QUART_APP_WORKERS"):
        monkeypatch.setenv(name, "")  # so that it is restored, whatever a command does to it
        monkeypatch.delenv(name)
    return CliRunner()


def test_commands_of_the_readme_are_there() -> None:
    assert {"serve", "migrate", "seed", "dev"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_has_help(runner: CliRunner, command: str) -> None:
    result = runner.invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert main.commands[command].help
    for parameter in main.commands[command].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.name


def test_version(runner: CliRunner) -> None:
    assert __version__ in runner.invoke(main, ["--version"]).output


@pytest.mark.parametrize("command", ["serve", "migrate", "seed"])
def test_missing_url_ends_with_status_2(runner: CliRunner, command: str) -> None:
    result = runner.invoke(main, [command])
    assert result.exit_code == 2
    assert "DATABASE_URL: is required" in result.output


def test_wrong_options_are_told_as_settings(runner: CliRunner) -> None:
    result = runner.invoke(main, ["serve", "--bind", "nowhere", "--workers", "0"])
    assert result.exit_code == 2
    for name in ("DATABASE_URL", "QUART_APP_BIND", "QUART_APP_WORKERS"):
        assert f"  {name}: " in result.output


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "1e9"])
def test_migrate_waits_no_longer_than_a_day(runner: CliRunner, seconds: str) -> None:
    result = runner.invoke(main, ["migrate", "--wait", seconds])
    assert result.exit_code == 2
    assert "Invalid value for '--wait'" in result.output


def test_unknown_command_is_told(runner: CliRunner) -> None:
    result = runner.invoke(main, ["sevre"])
    assert result.exit_code == 2
    assert "No such command" in result.output
