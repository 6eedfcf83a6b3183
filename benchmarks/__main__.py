"""``python -m benchmarks``: build the peers, run everything side by side, print, plot."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks import database, environments, load, machine, report, restart, rounds, targets
from benchmarks import systems as catalogue
from benchmarks import workloads as work
from benchmarks.summary import Results
from benchmarks.systems import Family, Running, System

RUN_FOLDER = environments.HERE / ".run"


@click.command(context_settings={"show_default": True})
@click.option("--quick", is_flag=True, help="Six systems, five cells, two short rounds: < 3 min.")
@click.option("--system", "names", multiple=True, help="Only these; repeat. A prefix will do.")
@click.option("--workload", "workloads", multiple=True, type=click.Choice([*work.WORKLOADS]))
@click.option("--concurrency", "concurrencies", multiple=True, type=click.IntRange(1, 1000))
@click.option("--rounds", "count", type=click.IntRange(1, 50), help="[default: 6; quick: 2]")
@click.option("--seconds", type=click.IntRange(1, 60), help="Of each run. [default: 2; quick: 1]")
@click.option("--python", default=environments.default_python(), help="Runs every system.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="[default: results, which is published, if all of it is measured; else .run/results]",
)
@click.option("--resume", is_flag=True, help="Keep what --out holds; measure what is missing.")
@click.option("--restart/--no-restart", "restarts", default=True, help="Time the healing, too.")
@click.option("--list", "only_list", is_flag=True, help="List the systems and stop.")
@click.option("--build", "only_build", is_flag=True, help="Build the environments and stop.")
def main(  # noqa: PLR0913 - one for each option
    *,
    quick: bool,
    names: tuple[str, ...],
    workloads: tuple[str, ...],
    concurrencies: tuple[int, ...],
    count: int | None,
    seconds: int | None,
    python: str,
    out: Path | None,
    resume: bool,
    restarts: bool,
    only_list: bool,
    only_build: bool,
) -> None:
    """Measure quart_app beside the answers of the day, on this machine, over loopback only.

    Every system is one process with its database connections, all are resident, one is under load
    at a time, rounds alternate. A full run takes about an hour, --rounds 3 half of that. Interrupted,
    it reports what it has, and --resume goes on from there.
    """
    chosen = _chosen_systems(names, quick=quick)
    if only_list:
        for system in chosen:
            click.echo(f"{system.name:28} {system.label}")
        return
    _require_programs()
    wanted = [s.environment for s in chosen]
    environments.build(dict.fromkeys([*wanted, "ours", "plots"]), python=python)  # ours: seeds, too
    if only_build:
        return
    plan = rounds.Plan(
        cells=_chosen_cells(workloads, concurrencies, quick=quick),
        rounds=count or (2 if quick else 6),
        seconds=seconds or (1 if quick else 2),
    )
    everything = not (quick or names or workloads or concurrencies)
    out = out or (environments.HERE if everything else RUN_FOLDER) / "results"
    run = _Run(plan, out, known=report.read_samples(out / "results.json") if resume else [])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run.measure(chosen, restarts=restarts)
    except (catalogue.StartFailedError, load.LoadFailedError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        run.show()


def _chosen_systems(names: tuple[str, ...], *, quick: bool) -> list[System]:
    wanted = names or (catalogue.QUICK if quick else tuple(catalogue.BY_NAME))
    chosen = [s for s in catalogue.SYSTEMS if any(s.name.startswith(name) for name in wanted)]
    if not chosen:
        raise click.BadParameter("no such system; see --list", param_hint="--system")
    return chosen


def _chosen_cells(
    workloads: tuple[str, ...], concurrencies: tuple[int, ...], *, quick: bool
) -> tuple[work.Cell, ...]:
    cells = work.QUICK if quick else work.FULL
    if workloads and concurrencies:
        cells = tuple(
            work.Cell(workload=work.WORKLOADS[name], concurrency=c)
            for name in workloads
            for c in concurrencies
        )
    return tuple(
        cell
        for cell in cells
        if (not workloads or cell.workload.name in workloads)
        and (not concurrencies or cell.concurrency in concurrencies)
        and (cell.workload is not work.SIEGE or load.has_siege())
    )


def _require_programs() -> None:
    missing = [*database.missing(), *load.missing()]
    if missing:
        text = f"not installed: {', '.join(missing)}. Debian: mariadb-server-core, wrk, siege"
        raise click.ClickException(text)


class _Run:
    """What was measured so far. Written after every cell, so that an interruption costs little."""

    def __init__(self, plan: rounds.Plan, out: Path, *, known: list[rounds.Sample]) -> None:
        self._plan, self._out = plan, out
        self._samples = known
        self._first_answers_ms: dict[str, float] = {}
        self._pool: list[targets.Verdict] = []
        self._complete = False
        self._machine, self._versions = machine.describe(), machine.versions()

    def measure(self, chosen: list[System], *, restarts: bool) -> None:
        """Measure everything, then how the systems heal, then the pool alone."""
        self._out.mkdir(parents=True, exist_ok=True)
        with _all_running(chosen) as (server, systems):
            expected = rounds.expected_runs(systems, self._plan)
            known = {sample.place for sample in self._samples}
            with click.progressbar(
                length=expected, label="measuring", file=sys.stderr, item_show_func=_shown
            ) as bar:
                for samples in rounds.run(
                    systems, server, self._plan, known=known, tick=lambda what: bar.update(1, what)
                ):
                    self._samples += samples
                    self._write()
            if restarts:
                self._first_answers_ms = _heal(systems, server)
        self._pool = _pool_alone()
        self._complete = True

    def show(self) -> None:
        """Write and print all of it, and draw it; nothing where nothing was measured."""
        if not self._samples:
            return
        told = self._write()
        text = report.markdown(told)
        (self._out / "results.md").write_text(text)
        click.echo(text)
        _plot(self._out)
        click.echo(f"in {self._out}", err=True)

    def _write(self) -> report.Report:
        results = Results(self._samples)
        judged = targets.verdicts(results, self._samples, first_answers_ms=self._first_answers_ms)
        told = report.Report(
            machine=self._machine,
            versions=self._versions,
            plan={
                "rounds": self._plan.rounds,
                "seconds": self._plan.seconds,
                "complete": self._complete,
            },
            samples=self._samples,
            results=results,
            verdicts=[*judged, *self._pool],
        )
        report.write_json(self._out / "results.json", told)
        return told


def _shown(what: object) -> str:
    return str(what or "")


@contextlib.contextmanager
def _all_running(
    chosen: list[System],
) -> Iterator[tuple[database.Server, list[Running]]]:
    """Start the database and every system; stop all, whatever happens, Ctrl-C included."""
    logs = RUN_FOLDER / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(database.private_server(RUN_FOLDER / "database"))
        click.echo("seeding …", err=True)
        database.seed(server)
        started = []
        for system in chosen:
            click.echo(f"starting {system.name} …", err=True)
            start = catalogue.running(system, environment=server.environment, logs=logs)
            started.append(stack.enter_context(start))
        yield server, started


def _heal(systems: list[Running], server: database.Server) -> dict[str, float]:
    ours = [running for running in systems if running.system.family is Family.OURS]
    return {running.system.name: restart.first_answer_ms(running, server) for running in ours}


def _pool_alone() -> list[targets.Verdict]:
    """Borrow and return, without HTTP; on the Python that the systems run on."""
    out = RUN_FOLDER / "engine"
    python = str(environments.program("ours", "python"))
    command = [python, "-m", "benchmarks.engine", "--only", "free", "--out", str(out)]
    subprocess.run(command, check=True, cwd=environments.ROOT, stdout=subprocess.DEVNULL)
    figures = json.loads((out / "engine.json").read_text())["figures"]
    return [targets.Verdict(**{k: v for k, v in f.items() if k != "outcome"}) for f in figures]


def _plot(out: Path) -> None:
    python = str(environments.program("plots", "python"))
    command = [python, "-m", "benchmarks.plots", str(out / "results.json"), str(out)]
    subprocess.run(command, check=True, cwd=environments.ROOT)


if __name__ == "__main__":
    main()
