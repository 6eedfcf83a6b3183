"""Draw ``results.json``: throughput and p99 over concurrency, and the cost of one request.

Runs in an environment of its own, which has matplotlib and nothing of ours.
"""

import json
import sys
from pathlib import Path
from typing import TypedDict

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes


class Summary(TypedDict):
    """What is used of one summary."""

    system: str
    workload: str
    concurrency: int
    per_second: float
    low: float
    high: float
    p99_ms: float | None
    app_us: float
    database_us: float


class Results(TypedDict):
    """What is used of the file."""

    machine: dict[str, str]
    labels: dict[str, str]
    summaries: list[Summary]


COLOURS = {  # by the start of a system's name: colours for each of its kind, and a line
    "ours": (("#d62728", "#ff7f0e", "#8c1515"), "-"),
    "quart": (("#1f77b4", "#6baed6", "#08306b"), "-"),
    "fastapi": (("#2ca02c", "#98df8a", "#0b5d0b"), "-"),
    "flask": (("#555555", "#999999", "#7b4173", "#ce6dbd", "#8c6d31", "#bdb76b", "#b0b0b0"), "--"),
}
MOST_SHOWN = 5000  # us; connection per query needs 28,000: its bar leaves the picture
COST_CONCURRENCY = 16
PARTS = (
    ("HTTP server", "#9ecae1"),
    ("framework and app", "#3182bd"),
    ("driver and pool", "#e6550d"),
    ("database", "#a1d99b"),
)


def main(source: Path, out: Path) -> None:
    """Draw both plots, each as SVG and PNG."""
    results: Results = json.loads(source.read_text())
    _over_concurrency(results, out / "over-concurrency")
    _cost(results, out / "cost-per-request")


def _save(stem: Path) -> None:
    plt.tight_layout()
    for suffix in (".svg", ".png"):
        plt.savefig(stem.with_suffix(suffix), dpi=110, metadata=_undated(suffix))
    plt.close()


def _undated(suffix: str) -> dict[str, None] | None:
    return {"Date": None} if suffix == ".svg" else None


def _over_concurrency(results: Results, stem: Path) -> None:
    lookups = [s for s in results["summaries"] if s["workload"] == "lookup"]
    figure, (rates, tails) = plt.subplots(1, 2, figsize=(13, 6))
    measured = {s["system"] for s in lookups}
    names = [name for name in results["labels"] if name in measured]
    for name in names:
        points = sorted((s for s in lookups if s["system"] == name), key=lambda s: s["concurrency"])
        _draw_lines(rates, tails, results["labels"][name], points, _style(name, names))
    for axes, title in ((rates, "requests/s"), (tails, "p99, ms")):
        axes.set_xscale("log", base=4)
        axes.set_xlabel("connections")
        axes.set_title(f"GET /?city=london: {title}")
        axes.grid(alpha=0.3)
        axes.set_xticks(sorted({s["concurrency"] for s in lookups}))
        axes.get_xaxis().set_major_formatter("{x:.0f}")
    tails.set_yscale("log")
    handles, labels = rates.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper center", ncols=4, fontsize=8, bbox_to_anchor=(0.5, 0.02)
    )
    for suffix in (".svg", ".png"):
        figure.savefig(
            stem.with_suffix(suffix), dpi=110, bbox_inches="tight", metadata=_undated(suffix)
        )
    plt.close(figure)


def _style(name: str, names: list[str]) -> dict[str, str | float]:
    kind = name.partition("-")[0]
    colours, line = COLOURS[kind]
    alike = [other for other in names if other.startswith(kind)]
    colour = colours[alike.index(name) % len(colours)]
    width = 2.5 if kind == "ours" else 1.2
    return {"color": colour, "linestyle": line, "linewidth": width, "marker": "o", "markersize": 3}


def _draw_lines(
    rates: Axes, tails: Axes, label: str, points: list[Summary], style: dict[str, str | float]
) -> None:
    at = [p["concurrency"] for p in points]
    rates.errorbar(
        at,
        [p["per_second"] for p in points],
        yerr=[
            [p["per_second"] - p["low"] for p in points],
            [p["high"] - p["per_second"] for p in points],
        ],
        label=label,
        capsize=2,
        **style,
    )
    tails.plot(at, [p["p99_ms"] or float("nan") for p in points], label=label, **style)


def _cost(results: Results, stem: Path) -> None:
    found = {
        (s["system"], s["workload"]): s
        for s in results["summaries"]
        if s["concurrency"] == COST_CONCURRENCY
    }
    costs = {name: _parts(found, name) for name, workload in found if workload == "lookup"}
    shown = {name: parts for name, parts in costs.items() if parts}
    if not shown:
        return
    order = sorted(shown, key=lambda name: -sum(shown[name]))
    plt.figure(figsize=(11, 0.35 * len(order) + 1.5))
    left = [0.0] * len(order)
    labels = [results["labels"][name] for name in order]
    for i, (part, colour) in enumerate(PARTS):
        widths = [shown[name][i] for name in order]
        plt.barh(labels, widths, left=left, label=part, color=colour)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    most = 1.1 * max((total for total in left if total < MOST_SHOWN), default=MOST_SHOWN)
    plt.xlim(0, most)
    for row, total in enumerate(left):
        if total > most:
            text = f"{total:,.0f} us \N{RIGHTWARDS ARROW}"
            plt.text(0.99 * most, row, text, va="center", ha="right", color="white")
    plt.xlabel(f"CPU microseconds of one lookup, {COST_CONCURRENCY} connections")
    plt.legend(loc="upper right")
    plt.grid(axis="x", alpha=0.3)
    _save(stem)


def _parts(found: dict[tuple[str, str], Summary], name: str) -> list[float]:
    """Split a lookup: what a bare app costs there, what /nodb adds, what the lookup adds."""
    lookup, no_database = found[name, "lookup"], found.get((name, "nodb"))
    if no_database is None:
        return []
    server = "uwsgi" if name.startswith("flask") else name.rpartition("-")[2]
    bare = found.get((f"bare-{name}", "nodb")) or found.get((f"bare-{server}", "nodb"))
    http = min(bare["app_us"], no_database["app_us"]) if bare else 0.0
    return [
        http,
        no_database["app_us"] - http,
        max(0.0, lookup["app_us"] - no_database["app_us"]),
        lookup["database_us"],
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
