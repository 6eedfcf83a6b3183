"""``python -m benchmarks``: build the peers, run everything side by side, print, plot."""

import contextlib
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
@click.option("--rounds", "count", type=click.IntRange(1, 50), help="[default: 5; quick: 2]")
@click.option("--seconds", type=click.IntRange(1, 60), help="Of each run. [default: 4; quick: 1]")
@click.option("--python", default=environments.default_python(), help="Runs every system.")
@click.option("--out", type=click.Path(path_type=Path), default=environments.HERE / "results")
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
    out: Path,
    restarts: bool,
    only_list: bool,
    only_build: bool,
) -> None:
    """Measure quart_app beside the answers of the day, on this machine, over loopback only.

    Every system is one process with its database connections, all are resident, one is under load
    at a time, rounds alternate. A full run takes about an hour.
    """
    chosen = _chosen_systems(names, quick=quick)
    if only_list:
        for system in chosen:
            click.echo(f"{system.name:28} {system.label}")
        return
    _require_programs()
    environments.build([*dict.fromkeys(s.environment for s in chosen), "plots"], python=python)
    if only_build:
        return
    plan = rounds.Plan(
        cells=_chosen_cells(workloads, concurrencies, quick=quick),
        rounds=count or (2 if quick else 5),
        seconds=seconds or (1 if quick else 4),
    )
    try:
        _measure_and_report(chosen, plan, out, restarts=restarts)
    except (catalogue.StartFailedError, load.LoadFailedError) as error:
        raise click.ClickException(str(error)) from error


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


def _measure_and_report(
    chosen: list[System], plan: rounds.Plan, out: Path, *, restarts: bool
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with _all_running(chosen) as (server, systems):
        expected = rounds.expected_runs(systems, plan)
        with click.progressbar(
            length=expected, label="measuring", file=sys.stderr, item_show_func=_shown
        ) as bar:
            samples = rounds.run(systems, server, plan, tick=lambda what: bar.update(1, what))
        healed = _heal(systems, server) if restarts else {}
    results = Results(samples)
    judged = targets.verdicts(results, samples, first_answers_ms=healed)
    told = report.Report(
        machine=machine.describe(),
        versions=machine.versions(),
        samples=samples,
        results=results,
        verdicts=judged,
    )
    report.write_json(out / "results.json", told)
    text = report.markdown(told)
    (out / "results.md").write_text(text)
    click.echo(text)
    _plot(out)


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


def _plot(out: Path) -> None:
    python = str(environments.program("plots", "python"))
    command = [python, "-m", "benchmarks.plots", str(out / "results.json"), str(out)]
    subprocess.run(command, check=True, cwd=environments.ROOT)


if __name__ == "__main__":
    main()
