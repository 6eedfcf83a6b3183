"""Findings on paper: for people, and as JSON."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace

from quart_app.doctor.findings import Finding, Severity

WIDTH = 96
MARKS = {
    Severity.ERROR: "ERROR  ",
    Severity.WARNING: "WARNING",
    Severity.INFO: "info   ",
    Severity.OK: "ok     ",
}
_LASTING = (
    "SET GLOBAL lasts until the server restarts. Write the value into its configuration file as well "
    "(MySQL: SET PERSIST; a managed service: its parameter group)."
)


def as_text(findings: Sequence[Finding]) -> str:
    """The worst first; what is well on one line each."""
    lines: list[str] = []
    servers = {finding.endpoint for finding in findings if finding.endpoint}
    for finding, endpoints in _grouped(findings).items():
        everywhere = not servers - endpoints or not any(endpoints)
        lines += _lines(finding, where="" if everywhere else ", ".join(sorted(endpoints)))
    if any("SET GLOBAL" in finding.remedy for finding in findings):
        lines += ["", *textwrap.wrap(_LASTING, WIDTH)]
    return "\n".join([*lines, "", summary(findings)])


def _grouped(findings: Sequence[Finding]) -> dict[Finding, set[str]]:
    """The worst first; what is the same on several servers is said once, with where it is so."""
    groups: dict[Finding, set[str]] = {}
    for finding in sorted(findings, key=lambda finding: -finding.severity.rank):
        groups.setdefault(replace(finding, endpoint=""), set()).add(finding.endpoint)
    return groups


def _lines(finding: Finding, *, where: str) -> Iterator[str]:
    yield f"{MARKS[finding.severity]} {finding.title}{where and f' [{where}]'}"
    if finding.severity is Severity.OK:
        return
    yield from textwrap.wrap(
        finding.meaning, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8
    )
    if finding.remedy:
        yield from textwrap.wrap(
            finding.remedy, WIDTH, initial_indent="     -> ", subsequent_indent=" " * 8
        )


def summary(findings: Iterable[Finding]) -> str:
    """How many of each."""
    severities = [finding.severity for finding in findings]
    counts = {
        severity: severities.count(severity) for severity in (Severity.ERROR, Severity.WARNING)
    }
    checks = f"{len(severities)} check{'s'[: len(severities) != 1]}"
    if not any(counts.values()):
        return f"No warnings in {checks}."
    parts = [
        f"{count} {severity.value}{'s'[: count > 1]}" for severity, count in counts.items() if count
    ]
    return f"{' and '.join(parts)} in {checks}."


def as_json(findings: Sequence[Finding], *, status: int) -> str:
    """For scripts: the findings, and the exit *status*."""
    rows = [{**asdict(finding), "severity": finding.severity.value} for finding in findings]
    return json.dumps({"exit_code": status, "findings": rows}, indent=2)
