"""From facts to findings. Pure: no I/O, no clock, no environment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Finding, error, info, ok
from quart_app.doctor.rules import limits, security, state, timeouts

Rule = Callable[[Facts, Ours], Iterator[Finding]]


def diagnose(servers: Sequence[Facts], ours: Ours, *, now: datetime) -> list[Finding]:
    """Apply every rule to every server, then those that look at all of them."""
    rules: tuple[Rule, ...] = (
        *timeouts.RULES,
        *limits.RULES,
        *security.RULES,
        security.certificate(now),
        *state.RULES,
        state.age(now.date()),
    )
    found = [
        replace(finding, endpoint=facts.endpoint)
        for facts in servers
        for rule in rules
        for finding in rule(facts, ours)
    ]
    return found + list(_writers(servers))


def _writers(servers: Sequence[Facts]) -> Iterator[Finding]:
    """One that takes writes is enough, but one there must be."""
    closed = [facts.endpoint for facts in servers if not facts.writable]
    names = ", ".join(closed)
    if servers and len(closed) == len(servers):
        yield error(
            "read-only",
            f"no server takes writes: {names}",
            "read_only, super_read_only or offline_mode is on (writes fail with 1290), or the node has "
            "left its cluster (1047). A replica, or a primary that was demoted and whose successor is "
            "not named in DATABASE_URL.",
            "name the primary in DATABASE_URL (several hosts by commas), or on the server that "
            "should be it: SET GLOBAL super_read_only = OFF, SET GLOBAL read_only = OFF",
        )
    elif closed:
        yield info(
            "read-only",
            f"read-only: {names}",
            "Writes go to the others. Fine for replicas and for the spare nodes of a cluster.",
        )
    elif servers:
        yield ok("read-only", "takes writes")
