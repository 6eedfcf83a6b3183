"""``quart-app doctor``: examine the servers of DATABASE_URL. Only options and printing."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from quart_app.doctor.findings import Finding, exit_code
from quart_app.doctor.report import as_json, as_text
from quart_app.settings import Settings, SettingsError

CANNOT_CONNECT = 3
MAX_UP_TO = 24 * 3600


@click.command()
@click.option(
    "--replicas",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="How many copies of the app run at once.",
)
@click.option("--json", "json_", is_flag=True, help="Print JSON, for scripts.")
@click.option(
    "--probe-idle",
    is_flag=True,
    help="Measure after how many idle seconds a connection is dropped.",
)
@click.option(
    "--up-to",
    default=600,
    show_default=True,
    type=click.IntRange(1, MAX_UP_TO),
    help="With --probe-idle: the longest idle time that is tried; it takes about as long.",
)
@click.option(
    "--path-only",
    is_flag=True,
    help="With --probe-idle: have the server wait longer, so that only the path can drop.",
)
def doctor(*, replicas: int, json_: bool, probe_idle: bool, up_to: int, path_only: bool) -> None:
    """Say why connections go away, and what to set.

    Examines the servers of DATABASE_URL, whether this app uses them yet or not, and changes
    nothing. Exit code: 0 all well, 1 warnings, 2 errors, 3 cannot connect.
    """
    # Loads the driver, which --help does not need.
    from quart_app.doctor import examination  # noqa: PLC0415
    from quart_app.doctor.idle_probe import IdleProbe  # noqa: PLC0415

    settings = _settings()
    ours = examination.ours_of(settings, replicas=replicas)
    servers, findings = asyncio.run(examination.examine(settings, ours))
    if not servers:
        _end(findings, CANNOT_CONNECT, json_=json_)
    if probe_idle:
        with _progress(up_to) as progress:
            probe = IdleProbe(settings.connect, up_to=up_to, path_only=path_only, progress=progress)
            findings += asyncio.run(examination.measure_idle(probe, settings, ours, servers[0]))
    _end(findings, exit_code(findings), json_=json_)


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except SettingsError as exc:
        click.echo(str(exc), err=True)
        sys.exit(CANNOT_CONNECT)


@contextmanager
def _progress(up_to: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, so that stdout is the report alone; none where nobody looks."""
    steps = 1000
    with click.progressbar(
        length=steps, label="idle connections", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        done = 0

        def show(passed: float) -> None:
            nonlocal done
            now = int(steps * min(1.0, passed / up_to))
            bar.update(now - done)
            done = now

        yield show


def _end(findings: list[Finding], status: int, *, json_: bool) -> NoReturn:
    click.echo(as_json(findings, status=status) if json_ else as_text(findings))
    sys.exit(status)
