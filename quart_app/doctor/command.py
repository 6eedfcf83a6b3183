"""``quart-app doctor``: examine the servers of DATABASE_URL."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import click

from quart_app.database_url import safe_text
from quart_app.diagnosis import explain
from quart_app.doctor.collect import collect
from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Finding, error, exit_code
from quart_app.doctor.idle_probe import IdleProbe, Progress
from quart_app.doctor.report import as_json, as_text
from quart_app.doctor.rules import diagnose
from quart_app.doctor.rules.idle import idle
from quart_app.mysql.config import TLSMode
from quart_app.mysql.errors import DatabaseError
from quart_app.settings import Settings, SettingsError

CANNOT_CONNECT = 3
USUAL_WAIT = 28_800.0


@click.command()
@click.option(
    "--replicas",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="How often the app runs.",
)
@click.option("--json", "json_", is_flag=True, help="Print JSON, for scripts.")
@click.option(
    "--probe-idle",
    is_flag=True,
    help="Measure after how many idle seconds a connection is dropped.",
)
@click.option(
    "--up-to",
    default=600.0,
    show_default=True,
    type=click.FloatRange(1),
    help="With --probe-idle: the longest idle time that is tried; it takes about as long.",
)
@click.option(
    "--path-only",
    is_flag=True,
    help="With --probe-idle: have the server wait longer, so that only the path can drop.",
)
def doctor(*, replicas: int, json_: bool, probe_idle: bool, up_to: float, path_only: bool) -> None:
    """Say why connections go away, and what to set.

    Examines the servers of DATABASE_URL, also such that this app does not use yet, and changes
    nothing. Exit code: 0 all well, 1 warnings, 2 errors, 3 cannot connect.
    """
    settings = _settings()
    ours = ours_of(settings, replicas=replicas)
    servers, findings = asyncio.run(_examine(settings, ours))
    if not servers:
        _print(findings, json_=json_)
        sys.exit(CANNOT_CONNECT)
    if probe_idle:
        findings += _probe(settings, ours, servers[0], up_to=up_to, path_only=path_only)
    _print(findings, json_=json_)
    sys.exit(exit_code(findings))


def ours_of(settings: Settings, *, replicas: int) -> Ours:
    """Take from *settings* what the rules compare the server with."""
    return Ours(
        replicas=replicas,
        workers=settings.workers,
        maxsize=settings.maxsize,
        pool_recycle=settings.pool_recycle,
        keepalive=settings.keepalive,
        connect_timeout=settings.connect_timeout,
        request_timeout=settings.request_timeout,
        max_content_length_bytes=settings.max_content_length_bytes,
        verifies_tls=settings.connect.tls_mode in (TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY),
        endpoints=len(settings.connect.endpoints),
    )


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except SettingsError as exc:
        click.echo(str(exc), err=True)
        sys.exit(CANNOT_CONNECT)


async def _examine(settings: Settings, ours: Ours) -> tuple[list[Facts], list[Finding]]:
    """Ask every endpoint at the same time; one that cannot be reached is a finding."""
    config = settings.connect
    answers = await asyncio.gather(
        *(collect(config, endpoint) for endpoint in config.endpoints), return_exceptions=True
    )
    servers: list[Facts] = []
    findings: list[Finding] = []
    for endpoint, answer in zip(config.endpoints, answers, strict=True):
        if isinstance(answer, Facts):
            servers.append(answer)
        elif isinstance(answer, DatabaseError):
            findings.append(replace(unreachable(answer, safe_text(config)), endpoint=str(endpoint)))
        else:
            raise answer
    return servers, findings + diagnose(servers, ours, now=datetime.now(UTC))


def unreachable(exc: DatabaseError, url: str) -> Finding:
    """Say which setting is likely to be wrong."""
    return error("cannot-connect", f"cannot connect: {explain(exc)}", f"Tried {url}.", "")


def _probe(
    settings: Settings, ours: Ours, server: Facts, *, up_to: float, path_only: bool
) -> list[Finding]:
    with _progress(up_to) as progress:
        probe = IdleProbe(settings.connect, up_to=up_to, path_only=path_only, progress=progress)
        try:
            answer = asyncio.run(probe.run())
        except DatabaseError as exc:
            return [unreachable(exc, safe_text(settings.connect))]
    wait_timeout = server.number("wait_timeout") or USUAL_WAIT
    return list(idle(answer, ours, wait_timeout=wait_timeout, path_only=path_only))


@contextmanager
def _progress(up_to: float) -> Iterator[Progress]:
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


def _print(findings: list[Finding], *, json_: bool) -> None:
    click.echo(as_json(findings) if json_ else as_text(findings))
