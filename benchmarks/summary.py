"""Medians with their spread, out of samples. Pure."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.rounds import Sample

Key = tuple[str, str, int]  # system, workload, concurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The rounds of one system in one cell: medians; low and high are the extremes."""

    system: str
    workload: str
    concurrency: int
    rounds: int
    per_second: float
    low: float
    high: float
    p50_ms: float | None
    p99_ms: float | None
    app_us: float
    database_us: float
    client_us: float
    statements: float
    failures: int
    connections: int
    rss_mib: float

    @property
    def spread(self) -> float:
        """Return half the distance of the extremes, as a share of the median."""
        return (self.high - self.low) / 2 / self.per_second if self.per_second else 0.0


class Results:
    """All summaries, by system, workload and concurrency."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        groups: dict[Key, list[Sample]] = {}
        for sample in samples:
            key = (sample.system, sample.workload, sample.concurrency)
            groups.setdefault(key, []).append(sample)
        self.by_key = {key: _summarise(group) for key, group in groups.items()}
        self._groups = groups

    def find(self, system: str, workload: str, concurrency: int) -> Summary | None:
        """Return what was measured, or None if it was not."""
        return self.by_key.get((system, workload, concurrency))

    def ratio(
        self, over: Key, under: Key, pick: Callable[[Sample], float] = lambda s: s.per_second
    ) -> float | None:
        """Compare two, round by round, and return the median; None if one was not measured.

        What disturbs the machine for minutes disturbs both of a round, and cancels out.
        """
        theirs = {s.round: pick(s) for s in self._groups.get(under, ())}
        pairs = [(pick(s), theirs.get(s.round)) for s in self._groups.get(over, ())]
        ratios = [one / other for one, other in pairs if other]
        return statistics.median(ratios) if ratios else None

    def cells(self) -> list[tuple[str, int]]:
        """Return workload and concurrency of each cell, in the order they ran."""
        return list(dict.fromkeys((workload, c) for _, workload, c in self.by_key))

    def of_cell(self, workload: str, concurrency: int) -> list[Summary]:
        """Return all systems of one cell, the fastest first."""
        found = [s for (_, w, c), s in self.by_key.items() if (w, c) == (workload, concurrency)]
        return sorted(found, key=lambda summary: -summary.per_second)


def _summarise(samples: Sequence[Sample]) -> Summary:
    first = samples[0]
    rates = [s.per_second for s in samples]
    return Summary(
        system=first.system,
        workload=first.workload,
        concurrency=first.concurrency,
        rounds=len(samples),
        per_second=statistics.median(rates),
        low=min(rates),
        high=max(rates),
        p50_ms=_median(samples, lambda s: s.p50_ms),
        p99_ms=_median(samples, lambda s: s.p99_ms),
        app_us=statistics.median(s.app_us for s in samples),
        database_us=statistics.median(s.database_us for s in samples),
        client_us=statistics.median(s.client_us for s in samples),
        statements=statistics.median(s.statements for s in samples),
        failures=sum(s.failures for s in samples),
        connections=max(s.connections for s in samples),
        rss_mib=max(s.rss_mib for s in samples),
    )


def _median(samples: Sequence[Sample], pick: Callable[[Sample], float | None]) -> float | None:
    known = [value for sample in samples if (value := pick(sample)) is not None]
    return statistics.median(known) if known else None
