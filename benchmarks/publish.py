"""``python -m benchmarks.publish``: write what was measured into the README and the page about speed.

Only between the markers ``<!-- name -->`` and ``<!-- /name -->``; a test compares them with the results.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks import costs
from benchmarks.environments import HERE, ROOT
from benchmarks.report import read_samples, table
from benchmarks.summary import Results, Summary
from benchmarks.systems import BY_NAME, SYSTEMS, Family, ServerKind, System

RESULTS = HERE / "results"
README = ROOT / "README.md"
SPEED = ROOT / "docs/discussion/speed.md"
NOT_YET = "No full run of `make bench` is here yet, so no figure stands here."
MANY = 20  # from here on no decimals
COMPARED = (16, 256, 1000)
ABOUT_SYSTEMS = (
    "Requests/s: the lookup (`GET /?city=london`) by the number of clients; with 16 clients that of"
    " 20 cities in turn, the list of 100, the keyed POST, and the mix of nine lookups to one POST. CPU"
    " us: of the system's processes, and of the database, for one lookup with 16 clients. RSS: the"
    " most of a process. quart_app shortens Hypercorn's way for a plain GET; the others run on"
    " Hypercorn as it is."
)
LAYERS = ("HTTP server", "framework and app", "driver and pool", "database")
JUDGED = (ServerKind.HYPERCORN, ServerKind.UVICORN, ServerKind.GRANIAN)


class Run:
    """One run of ``make bench``."""

    def __init__(self, folder: Path) -> None:
        told: dict[str, Any] = json.loads((folder / "results.json").read_text())
        self.machine: dict[str, str] = told["machine"]
        self.plan: dict[str, Any] = told["plan"]
        self.targets: list[dict[str, Any]] = told["targets"]
        self.results = Results(read_samples(folder / "results.json"))

    def find(self, system: System, workload: str, concurrency: int = 16) -> Summary | None:
        """Return what was measured, or None."""
        return self.results.find(system.name, workload, concurrency)


def machine_text(run: Run) -> str:
    """Say what it was measured on, and how."""
    told, plan = run.machine, run.plan
    kept = "" if plan["complete"] else "; the run was cut short"
    return (
        f"Measured {told['date']} on {told['cores']} cores ({told['processor']}, kernel"
        f" {told['kernel']}), {told['python']}, {told['database'].split()[1]}: medians of"
        f" {plan['rounds']} rounds of {plan['seconds']} s, the systems by turns{kept}."
    )


def target_table(run: Run) -> str:
    """Lay out every target, a column for each server that the app ran on."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    on = [s for s in JUDGED if any(v["system"] == _ours(s) for v in run.targets)]
    for verdict in run.targets:
        found.setdefault(verdict["name"], {})[verdict["system"]] = verdict
    rows = []
    for name, by_system in found.items():
        one = next(iter(by_system.values()))
        wanted = f"{'<=' if one['at_most'] else '>='} {one['target']:g} {one['unit']}"
        alone = by_system.get("pool")
        cells = [_verdict(by_system.get(_ours(server), alone)) for server in on]
        rows.append([name, wanted, *cells])
    return table(("target", "wanted", *(server.value for server in on)), rows)


def _ours(server: ServerKind) -> str:
    return f"ours-{server.value.lower()}"


def _verdict(verdict: Mapping[str, Any] | None) -> str:
    if verdict is None:
        return ""
    value = verdict["value"]
    return f"{value:.{0 if value >= MANY else 2}f} {verdict['outcome']}"


def system_table(run: Run) -> str:
    """Lay out all systems: the lookup over concurrency, the other workloads, CPU and memory."""
    head = (
        "system",
        *(f"c={c}" for c in COMPARED),
        *("p99 ms, c=256", "20 cities", "list", "POST", "mix", "app us", "db us", "RSS MiB"),
    )
    rows = [_system_row(run, s) for s in SYSTEMS if run.find(s, "lookup") is not None]
    return table(head, sorted(rows, key=lambda row: -float(row[1])))


def _system_row(run: Run, system: System) -> list[str]:
    lookup, crowd = run.find(system, "lookup"), run.find(system, "lookup", 256)
    assert lookup is not None
    sizes = [s.rss_mib for s in run.results.by_key.values() if s.system == system.name]
    return [
        system.label,
        *(_rate(run.find(system, "lookup", c)) for c in COMPARED),
        "" if crowd is None or crowd.p99_ms is None else f"{crowd.p99_ms:.0f}",
        *(_rate(run.find(system, workload)) for workload in ("names", "list", "post", "mix")),
        f"{lookup.app_us:.0f}",
        f"{lookup.database_us:.0f}",
        f"{max(sizes):.0f}",
    ]


def _rate(summary: Summary | None) -> str:
    return "" if summary is None else f"{summary.per_second:.0f}"


def layer_table(run: Run) -> str:
    """Lay out where the CPU of one lookup goes, over HTTP."""
    rows = []
    for system in SYSTEMS:
        parts = _layers(run, system)
        if parts is not None:
            total = sum(parts)
            shares = [f"{part:.0f} ({part / total:.0%})" for part in parts]
            rows.append((total, [system.label, *shares, f"{total:.0f}"]))
    head = ("us of CPU, `GET /?city=london`, c=16", *LAYERS, "all")
    return table(head, [row for _, row in sorted(rows)])


def _layers(run: Run, system: System) -> tuple[float, float, float, float] | None:
    """A bare app; what the route without a database adds; what the lookup adds; the database."""
    on_same = f"bare-{system.server.value.lower()}"
    bare = BY_NAME.get(f"bare-{system.name}", BY_NAME[on_same])
    found = [run.find(bare, "nodb"), run.find(system, "nodb"), run.find(system, "lookup")]
    if None in found or system.family is Family.BARE:
        return None
    http, no_database, lookup = (s for s in found if s is not None)
    app = max(0.0, no_database.app_us - http.app_us)
    return http.app_us, app, max(0.0, lookup.app_us - no_database.app_us), lookup.database_us


def load_table(run: Run) -> str:
    """Lay out how busy the machine was, and how much of that was the load generator."""
    rows = []
    for system in (s for s in SYSTEMS if s.family is not Family.BARE):
        lookup, crowd = run.find(system, "lookup"), run.find(system, "lookup", 256)
        if lookup is not None and crowd is not None:
            rows.append([system.label, *_busy(run, lookup), *_busy(run, crowd)])
    head = ("cores in use", "all, c=16", "system", "wrk", "all, c=256", "system", "wrk")
    return table(head, rows)


def _busy(run: Run, summary: Summary) -> tuple[str, str, str]:
    parts = (summary.app_us, summary.database_us, summary.client_us)
    app, asked, client = (us * summary.per_second / 1e6 for us in parts)
    return f"{app + asked + client:.2f} of {run.machine['cores']}", f"{app:.2f}", f"{client:.2f}"


def readme_text(folder: Path = RESULTS) -> str:
    """Return the README's part; says so where nothing was measured yet."""
    if not (folder / "results.json").exists():
        return NOT_YET
    run = Run(folder)
    parts = (
        f"{machine_text(run)} Ratios are taken within a round.",
        target_table(run),
        ABOUT_SYSTEMS,
        system_table(run),
        "![Throughput and p99 over the number of clients](benchmarks/results/over-concurrency.svg)",
        "![CPU of one lookup, by layer](benchmarks/results/cost-per-request.svg)",
    )
    return "\n\n".join(parts)


def layers_text(folder: Path = RESULTS) -> str:
    """Return the page's table of layers."""
    if not (folder / "results.json").exists():
        return NOT_YET
    run = Run(folder)
    picture = "![The same as bars](../../benchmarks/results/cost-per-request.svg)"
    return f"{machine_text(run)}\n\n{layer_table(run)}\n\n{picture}"


def load_text(folder: Path = RESULTS) -> str:
    """Return the page's table of what the load generator takes."""
    return load_table(Run(folder)) if (folder / "results.json").exists() else NOT_YET


def costs_text(folder: Path = RESULTS) -> str:
    """Return the page's tables of what features cost."""
    path = folder / "costs.json"
    if not path.exists():
        return NOT_YET.replace("make bench", "make bench-costs")
    told = json.loads(path.read_text())
    where = (
        f"Measured {told['machine']['date']}, {told['machine']['python']}; {told['rounds']} rounds."
    )
    return f"{where}\n\n{costs.tables(told)}"


PARTS: dict[tuple[Path, str], Callable[[], str]] = {
    (README, "speed"): readme_text,
    (SPEED, "layers"): layers_text,
    (SPEED, "costs"): costs_text,
    (SPEED, "load"): load_text,
}


def part(page: str, marker: str) -> str:
    """Return what stands between the markers. Raises ValueError if they are not there."""
    return page[slice(*_between(page, marker))]


def placed(page: str, marker: str, text: str) -> str:
    """Put *text* between the markers."""
    begin, end = _between(page, marker)
    return page[:begin] + text + page[end:]


def _between(page: str, marker: str) -> tuple[int, int]:
    found = re.search(rf"<!-- {marker} -->\n(.*?)\n<!-- /{marker} -->", page, re.DOTALL)
    if found is None:
        raise ValueError(f"no <!-- {marker} --> … <!-- /{marker} -->")
    return found.span(1)


@click.command()
def main() -> None:
    """Write the results into the README and the page about speed."""
    for (path, marker), make in PARTS.items():
        page = path.read_text()
        fresh = placed(page, marker, make())
        if fresh != page:
            path.write_text(fresh)
            click.echo(f"{path.relative_to(ROOT)}: {marker}")


if __name__ == "__main__":
    main()
