"""The speed that was promised, each promise against what was measured. Pure."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.rounds import Sample
from benchmarks.summary import Results
from benchmarks.systems import SYSTEMS, Family, System
from benchmarks.workloads import CROWD

PERSISTENT = "flask-persistent-db"
MOST_CONNECTIONS = 8
ONE_PERCENT = 0.01
RSS_LIMIT_MIB = 90.0
RSS_GROWTH_LIMIT = 1.05
FIRST_ANSWER_LIMIT_MS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One promise: *value* has to reach *target*, or stay below it."""

    name: str
    system: str
    value: float
    target: float
    at_most: bool = False
    unit: str = "x"

    @property
    def passed(self) -> bool:
        """Tell if the promise is kept."""
        return self.value <= self.target if self.at_most else self.value >= self.target

    @property
    def outcome(self) -> str:
        """Return PASS, or by how much it falls short."""
        if self.passed:
            return "PASS"
        missed = abs(self.value - self.target) / self.target if self.target else self.value
        return f"short by {missed:.{0 if missed >= ONE_PERCENT else 1}%}"


def verdicts(
    results: Results, samples: list[Sample], *, first_answers_ms: Mapping[str, float]
) -> list[Verdict]:
    """Judge our app on each server that it ran on; what was not measured is left out."""
    found: list[Verdict] = []
    for system in (s for s in SYSTEMS if s.family is Family.OURS):
        found += _against_persistent(results, system)
        found += _against_own_ceiling(results, system)
        found += _against_fastapi(results, system)
        found += _against_flask_lists(results, system)
        found += _memory(samples, system)
        if system.name in first_answers_ms:
            found.append(
                Verdict(
                    name="first good answer after a restart",
                    system=system.name,
                    value=first_answers_ms[system.name],
                    target=FIRST_ANSWER_LIMIT_MS,
                    at_most=True,
                    unit="ms",
                )
            )
    return found


def _database_cost(sample: Sample) -> float:
    return sample.database_us


def _against_persistent(results: Results, system: System) -> Iterator[Verdict]:
    for workload, what, concurrency, target in (
        ("lookup", "lookup", 16, 1.5),
        ("lookup", "lookup", 256, 2.0),
        ("names", "20 cities in turn", 16, 1.5),
    ):
        ours, theirs = (system.name, workload, concurrency), (PERSISTENT, workload, concurrency)
        value = results.ratio(ours, theirs)
        if value is not None:
            name = f"{what} / PersistentDB, c={concurrency}"
            yield Verdict(name=name, system=system.name, value=value, target=target)
        cost = results.ratio(ours, theirs, _database_cost)
        if cost is not None:
            name = f"database CPU of {what} / PersistentDB, c={concurrency}"
            yield Verdict(name=name, system=system.name, value=cost, target=0.25, at_most=True)


def _against_own_ceiling(results: Results, system: System) -> Iterator[Verdict]:
    for concurrency in (16, 256):
        lookup = (system.name, "lookup", concurrency)
        value = results.ratio(lookup, (system.name, "nodb", concurrency))
        if value is not None:
            name = f"lookup / own no-database route, c={concurrency}"
            yield Verdict(name=name, system=system.name, value=value, target=0.95)
    flat = results.ratio((system.name, "lookup", 1000), (system.name, "lookup", 256))
    if flat is not None:
        name = "flat throughput: c=1000 / c=256 on 8 connections"
        yield Verdict(name=name, system=system.name, value=flat, target=0.9)
    crowd = results.find(system.name, "lookup", 1000)
    if crowd is not None:
        yield Verdict(
            name="connections to the database, c=1000",
            system=system.name,
            value=crowd.connections,
            target=MOST_CONNECTIONS,
            at_most=True,
            unit="open",
        )


def _against_fastapi(results: Results, system: System) -> Iterator[Verdict]:
    peer = f"fastapi-asyncmy-{system.server.value.lower()}"
    for workload, concurrency in (("lookup", 16), ("lookup", 256), ("list", 16)):
        ours = (system.name, workload, concurrency)
        value = results.ratio(ours, (peer, workload, concurrency))
        if value is not None:
            name = f"{workload} / FastAPI + asyncmy, same server, c={concurrency}"
            yield Verdict(name=name, system=system.name, value=value, target=1.0)


def _against_flask_lists(results: Results, system: System) -> Iterator[Verdict]:
    flask = {s.name for s in SYSTEMS if s.family is Family.FLASK}
    lists = [s.system for s in results.of_cell("list", 16) if s.system in flask]
    if not lists:
        return
    value = results.ratio((system.name, "list", 16), (lists[0], "list", 16))
    if value is not None:
        name = "100-row list / best Flask peer, c=16"
        yield Verdict(name=name, system=system.name, value=value, target=3.0)


def _memory(samples: list[Sample], system: System) -> Iterator[Verdict]:
    own = [s for s in samples if s.system == system.name]
    if not own:
        return
    before = itertools.takewhile(lambda s: s.concurrency < CROWD, own)
    for name, value in (
        (
            "RSS of the worker, before the crowd of 1000",
            max((s.rss_mib for s in before), default=0),
        ),
        ("RSS of the worker, all through", max(s.rss_mib for s in own)),
    ):
        yield Verdict(
            name=name,
            system=system.name,
            value=value,
            target=RSS_LIMIT_MIB,
            at_most=True,
            unit="MiB",
        )
    rounds = sorted({s.round for s in own})
    early, late = rounds[(len(rounds) - 1) // 2], rounds[-1]
    if early != late:  # every round does the same, so what it needs should be the same
        yield Verdict(
            name="RSS of the last round / of a middle one",
            system=system.name,
            value=_largest(own, late) / _largest(own, early),
            target=RSS_GROWTH_LIMIT,
            at_most=True,
        )


def _largest(samples: list[Sample], number: int) -> float:
    return max(s.rss_mib for s in samples if s.round == number)
