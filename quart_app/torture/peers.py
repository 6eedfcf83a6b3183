"""``torture --peers``: the same load and faults for the answers of the day, side by side.

They live beside the package, in the project's benchmarks, each in an environment of its own; so
this needs the project's folder, not only the package.
"""

import asyncio
import importlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import click
import msgspec

from quart_app.torture import hosts, report, timeline
from quart_app.torture.errors import CannotHave
from quart_app.torture.faults import Faults
from quart_app.torture.hosts import Wanted
from quart_app.torture.outcome import Kind, Outcome
from quart_app.torture.perform import bench_of
from quart_app.torture.rows.row import Row
from quart_app.torture.run import Result, play
from quart_app.torture.scene import Bench
from quart_app.torture.subject import OURS, Subject

PROJECT = Path(__file__).parents[2]
# What tells them apart soonest; the others by --only.
ROWS = ("1", "3", "4a", "5")
KINDS = (Kind.G, Kind.G, Kind.G, Kind.K)
_ASYNC = ("quart-aiomysql-hypercorn", "fastapi-asyncmy-hypercorn")


@dataclass(slots=True, kw_only=True)
class Trial:
    """One subject and what came of its rows."""

    subject: Subject
    results: list[Result]


def compare(wanted: Wanted, rows: Sequence[Row], *, out: Path | None) -> int:
    """Play *rows* with every subject, and print them side by side; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as folder:
        try:
            subjects = [_same_load(OURS), *_peers()]
            with hosts.stand(wanted, Path(folder)) as stand:
                trials = asyncio.run(_play(stand, subjects, rows, Path(folder)))
        except CannotHave as error:
            click.echo(f"quart-app: {error}", err=True)
            return 1
    text = table(trials)
    click.echo(text)
    if out is not None:
        _write(out, trials, text)
    return int(any(not result.kept for result in trials[0].results))


async def _play(
    stand: hosts.Stand, subjects: list[Subject], rows: Sequence[Row], folder: Path
) -> list[Trial]:
    trials = []
    async with bench_of(stand, folder) as (bench, version):
        click.echo(f"on {version}", err=True)
        await _make_tables(bench.faults)
        for subject in subjects:
            click.echo(f"{subject.label}\n{report.HEAD}", err=True)
            bench.subject = subject
            trials.append(Trial(subject=subject, results=[await _row(row, bench) for row in rows]))
    return trials


async def _row(row: Row, bench: Bench) -> Result:
    result = await play(row, bench)
    click.echo(report.line(result), err=True)
    return result


async def _make_tables(faults: Faults) -> None:
    contract = _benchmarks("peers.contract")
    async with faults.admin() as connection:
        await connection.run(contract.CREATE_ATTEMPT)
        await connection.run(contract.CREATE_SUMMARY)


def _same_load(subject: Subject) -> Subject:
    """W and T are ours alone."""
    return replace(subject, kinds=KINDS)


def _peers() -> Iterator[Subject]:
    systems = _benchmarks("systems")
    environments = _benchmarks("environments")
    chosen = [
        system
        for system in systems.SYSTEMS
        if system.name.startswith("flask-") or system.name in _ASYNC
    ]
    environments.build(
        dict.fromkeys(system.environment for system in chosen), python=environments.default_python()
    )
    for system in chosen:
        yield Subject(
            label=system.label,
            command=system.command,
            environment=partial(_environment, system.settings),
            ready="/nodb?city=London",
            kinds=KINDS,
            attempts="peer_attempt",
            is_ours=False,
            folder=PROJECT,
        )


def _environment(settings: Mapping[str, str], url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "DB_HOST": parts.hostname or "127.0.0.1",
        "DB_PORT": str(parts.port or 3306),
        "DB_USER": unquote(parts.username or ""),
        "DB_PASSWORD": unquote(parts.password or ""),
        "DB_NAME": parts.path.removeprefix("/"),
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
    }


def _benchmarks(name: str) -> ModuleType:
    if not (PROJECT / "benchmarks" / "systems.py").exists():
        raise CannotHave("--peers needs the project's folder: they are not in the package")
    if str(PROJECT) not in sys.path:
        sys.path.append(str(PROJECT))
    return importlib.import_module(f"benchmarks.{name}")


def table(trials: list[Trial]) -> str:
    """A line for each subject, a column for each fault: what its clients saw, as Markdown."""
    rows = [result.row for result in trials[0].results]
    lines = [
        "| " + " | ".join(["", *(f"{row.number} {row.title}" for row in rows)]) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    lines += [
        "| " + " | ".join([t.subject.label, *(cell(result) for result in t.results)]) + " |"
        for t in trials
    ]
    return "\n".join([*lines, "", "errors of requests · the longest wait · what was lost, doubled"])


def cell(result: Result) -> str:
    """What clients saw of one fault."""
    if not result.records:
        return "did not start"
    hung = sum(record.outcome is Outcome.HUNG for record in result.records)
    errors = sum(record.outcome is not Outcome.OK for record in result.records) - hung
    said = [f"{errors} of {len(result.records)}"]
    if hung:
        said.append(f"{hung} hung")
    said.append(f"{result.longest:.1f} s")
    account = result.account
    said += [
        f"{n} {what}" for n, what in ((account.lost, "lost"), (account.doubled, "doubled")) if n
    ]
    return " · ".join(said)


def _write(out: Path, trials: list[Trial], text: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.md").write_text(text + "\n")
    told = {
        trial.subject.label: msgspec.Raw(
            report.as_json(trial.results, server="", since=_begin(trial.results))
        )
        for trial in trials
    }
    (out / "peers.json").write_bytes(msgspec.json.encode(told))
    drawings = [
        timeline.svg(
            trial.results,
            title=trial.subject.label,
            since=_begin(trial.results),
            until=max((r.ended for x in trial.results for r in x.records), default=0.0),
        )
        for trial in trials
    ]
    (out / "peers.svg").write_text(timeline.stacked(drawings))
    click.echo(f"wrote peers.md, peers.json, peers.svg into {out}")


def _begin(results: list[Result]) -> float:
    return min((record.began for result in results for record in result.records), default=0.0)
