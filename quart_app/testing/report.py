"""What a run says about servers: which, how many tests ran on each, what was skipped and why."""

from collections import Counter
from collections.abc import Iterable

import pytest

from quart_app.testing.offers import Offer

PROPERTY = "database server"


def lines_before(offers: Iterable[Offer], left_out: Iterable[str]) -> list[str]:
    """Return what is said once the tests are collected."""
    lines = [f"database server {offer}" for offer in offers]
    return lines + [f"database server {kind}: left out by --server" for kind in left_out]


def lines_after(
    offers: Iterable[Offer],
    versions: dict[str, str],
    reports: dict[str, list[pytest.TestReport]],
) -> list[str]:
    """Return what is said at the end; *reports* are pytest's, by outcome."""
    ran = _ran_on(reports)
    lines = []
    for offer in offers:
        if offer.missing:
            lines.append(str(offer))
        else:
            version = versions.get(offer.kind, "not started")
            lines.append(f"{offer.kind} {version} ({offer.origin}): {ran[offer.kind]} tests ran")
    return lines + _skipped(reports.get("skipped", []))


def _ran_on(reports: dict[str, list[pytest.TestReport]]) -> Counter[str]:
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed", "xfailed", "xpassed"):
        for report in reports.get(outcome, []):
            if report.when == "call":
                ran.update(str(value) for name, value in report.user_properties if name == PROPERTY)
    return ran


def _skipped(reports: list[pytest.TestReport]) -> list[str]:
    reasons = Counter(_reason(report) for report in reports)
    return [f"skipped {count}: {reason}" for reason, count in reasons.most_common()]


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
