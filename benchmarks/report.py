"""Tables for people (Markdown that also reads well in a terminal) and JSON for programs."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rounds import Sample
from benchmarks.summary import Results, Summary
from benchmarks.systems import BY_NAME
from benchmarks.targets import PERSISTENT, Verdict
from benchmarks.workloads import WORKLOADS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured and judged."""

    machine: dict[str, str]
    versions: dict[str, str]
    samples: Sequence[Sample]
    results: Results
    verdicts: Sequence[Verdict]
    plan: dict[str, int | float | bool]


def write_json(path: Path, report: Report) -> None:
    """Write it for programs, a sample on each line; never half of it."""
    content = {
        "machine": report.machine,
        "plan": report.plan,
        "versions": report.versions,
        "labels": {name: system.label for name, system in BY_NAME.items()},
        "summaries": [dataclasses.asdict(summary) for summary in report.results.by_key.values()],
        "targets": [{**dataclasses.asdict(v), "outcome": v.outcome} for v in report.verdicts],
    }
    samples = ",\n".join(json.dumps(dataclasses.asdict(sample)) for sample in report.samples)
    text = json.dumps(content, indent=1).removesuffix("\n}")
    fresh = path.with_suffix(".new")
    fresh.write_text(f'{text},\n "samples": [\n{samples}\n]\n}}\n')
    fresh.replace(path)


def read_samples(path: Path) -> list[Sample]:
    """Read back the samples of an earlier run; none if there was none."""
    if not path.exists():
        return []
    return [Sample(**fields) for fields in json.loads(path.read_text())["samples"]]


def markdown(report: Report) -> str:
    """Return the tables of all cells, and the targets."""
    results, verdicts, machine = report.results, report.verdicts, report.machine
    parts = ["# Results", ", ".join(f"{key} {value}" for key, value in machine.items())]
    parts.append(", ".join(f"{key} {value}" for key, value in report.plan.items()))
    for workload, concurrency in results.cells():
        parts.append(f"## {WORKLOADS[workload].what}, {concurrency} connections")
        parts.append(_cell_table(results, workload, concurrency))
    parts += ["## Targets", _target_table(verdicts)] if verdicts else []
    return "\n\n".join(parts) + "\n"


def _cell_table(results: Results, workload: str, concurrency: int) -> str:
    head = (
        *("system", "req/s", "+-", "/ PersistentDB", "/ own no-db", "p50 ms", "p99 ms"),
        *("app us", "db us", "client us", "stmts", "failed", "conns", "RSS MiB"),
    )
    rows = [
        _cell_row(summary, results, concurrency)
        for summary in results.of_cell(workload, concurrency)
    ]
    return table(head, rows)


def _cell_row(summary: Summary, results: Results, concurrency: int) -> list[str]:
    own = (summary.system, summary.workload, concurrency)
    persistent = results.ratio(own, (PERSISTENT, summary.workload, concurrency))
    ceiling = results.ratio(own, (summary.system, "nodb", concurrency))
    return [
        BY_NAME[summary.system].label,
        f"{summary.per_second:.0f}",
        f"{summary.spread:.0%}",
        _number(persistent, 2),
        _number(ceiling, 2),
        _number(summary.p50_ms),
        _number(summary.p99_ms),
        f"{summary.app_us:.0f}",
        f"{summary.database_us:.0f}",
        f"{summary.client_us:.0f}",
        f"{summary.statements:.2f}",
        str(summary.failures),
        str(summary.connections),
        f"{summary.rss_mib:.0f}",
    ]


def _target_table(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [
            verdict.name,
            BY_NAME[verdict.system].server.value if verdict.system in BY_NAME else verdict.system,
            f"{verdict.value:.2f} {verdict.unit}",
            f"{'<=' if verdict.at_most else '>='} {verdict.target:g} {verdict.unit}",
            verdict.outcome,
        ]
        for verdict in sorted(verdicts, key=lambda v: v.name)
    ]
    return table(("target", "on", "measured", "wanted", "outcome"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table with even columns; all but the first are set right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = [c.rjust(w) for c, w in zip(cells, widths, strict=True)]
        return "| " + " | ".join([first.strip().ljust(widths[0]), *rest]) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"
