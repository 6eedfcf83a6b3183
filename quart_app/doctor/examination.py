"""A whole examination: every server of the settings, and the path to the first."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from quart_app.database_url import safe_text
from quart_app.diagnosis import explain
from quart_app.doctor.collect import collect
from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Finding, error
from quart_app.doctor.idle_probe import IdleProbe
from quart_app.doctor.rules import diagnose
from quart_app.doctor.rules.idle import idle
from quart_app.mysql.config import TLSMode
from quart_app.mysql.errors import DatabaseError
from quart_app.settings import Settings

USUAL_WAIT = 28_800.0


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


async def examine(settings: Settings, ours: Ours) -> tuple[list[Facts], list[Finding]]:
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


async def measure_idle(
    probe: IdleProbe, settings: Settings, ours: Ours, server: Facts
) -> list[Finding]:
    """Run *probe* and say what its answer means. Waits as long as it does."""
    try:
        answer = await probe.run()
    except DatabaseError as exc:
        return [unreachable(exc, safe_text(settings.connect))]
    wait_timeout = server.number("wait_timeout") or USUAL_WAIT
    return list(idle(answer, ours, wait_timeout=wait_timeout, path_only=probe.path_only))
