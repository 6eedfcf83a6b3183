"""``python -m benchmarks.costs``: what each safety feature costs a request, and each layer.

The app is driven in one process without an HTTP server (inprocess.py), against a private MariaDB;
beside the whole app stands one variant for each thing left out (variants.py). All take turns, in
changing order, and differences are taken within a round: what disturbs the machine disturbs both.
"""

import contextlib
import json
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import database, environments, machine, proc, report, systems
from benchmarks.environments import HERE, ROOT, program
from benchmarks.variants import VARIANTS, Role

RUN_FOLDER = HERE / ".run"
MICRO = 1e6
# Requests of one turn: some 50 ms of CPU each.
TURN = {"nodb": 640, "lookup": 480, "list": 96, "post": 64}
CONCURRENCY = 16
WARM_TURNS = 2
# Under valgrind everything takes fifty times as long, and is exact.
COUNTED = (5, 35)
COUNTS = 3
WARM = 20
PATIENCE = 120.0


class ChildFailedError(Exception):
    """The process that handles the requests has ended."""


class Child:
    """The process that handles requests, and what is ordered from it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        told = self._read()
        self.pid, self.tracing = int(told["pid"]), bool(told["tracing"])

    @classmethod
    @contextlib.contextmanager
    def running(
        cls,
        environment: Mapping[str, str],
        names: Sequence[str],
        *,
        wrapper: Sequence[str] = (),
    ) -> "Iterator[Child]":
        """Start it with these variants, *wrapper* before its command; stop it at the end."""
        python = str(program("ours", "python"))
        command = [*wrapper, python, "-m", "benchmarks.inprocess", *names]
        log = RUN_FOLDER / "inprocess.log"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                command,
                cwd=ROOT,
                # Counted twice, a request takes the same instructions: no dict changes its order.
                env={**environment, "PYTHONHASHSEED": "0"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            try:
                yield cls(process, log)
            finally:
                process.terminate()

    def handle(self, variant: str, workload: str, *, requests: int, concurrency: int) -> float:
        """Have *variant* handle *requests*; return the seconds of CPU they took it."""
        order = {
            "variant": variant,
            "workload": workload,
            "requests": requests,
            "concurrency": concurrency,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return float(self._read()["cpu_seconds"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = self._log.read_text()[-2000:]
            raise ChildFailedError(f"the process that handles requests ended:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer


Turns = dict[str, dict[str, list[tuple[float, float]]]]  # workload, variant: app us, database us


def measure(child: Child, server: database.Server, *, rounds: int) -> Turns:
    """Let all variants take turns *rounds* times, at every workload."""
    turns: Turns = {workload: {} for workload in TURN}
    shuffle = random.Random(7)  # noqa: S311 - an order, no secret
    steps = [(w, n) for n in range(-WARM_TURNS, rounds) for w in TURN]
    with click.progressbar(steps, label="measuring", file=sys.stderr) as bar:
        for workload, number in bar:
            names = _variants(workload)
            shuffle.shuffle(names)
            for name in names:
                costs = _turn(child, server, name, workload)
                if number >= 0:
                    turns[workload].setdefault(name, []).append(costs)
    return turns


def _variants(workload: str) -> list[str]:
    return [variant.name for variant in VARIANTS if workload in variant.workloads]


def _turn(child: Child, server: database.Server, name: str, workload: str) -> tuple[float, float]:
    requests = TURN[workload]
    before = proc.cpu_seconds([server.process.pid])
    used = child.handle(name, workload, requests=requests, concurrency=CONCURRENCY)
    asked = proc.cpu_seconds([server.process.pid]) - before
    return used / requests * MICRO, asked / requests * MICRO


def summarise(turns: Turns) -> dict[str, dict[str, dict[str, float]]]:
    """Return medians, and what leaving out saves: median and quartiles over the rounds. Pure."""
    return {
        workload: {name: _summary(found, variants["whole"]) for name, found in variants.items()}
        for workload, variants in turns.items()
        if variants
    }


def _summary(
    found: list[tuple[float, float]], whole: list[tuple[float, float]]
) -> dict[str, float]:
    saved = [one[0] - other[0] for one, other in zip(whole, found, strict=True)]
    low, middle, high = statistics.quantiles(saved, n=4, method="inclusive")
    saved_database = [one[1] - other[1] for one, other in zip(whole, found, strict=True)]
    return {
        "app_us": statistics.median(app for app, _ in found),
        "database_us": statistics.median(asked for _, asked in found),
        "saved_us": middle,
        "saved_low_us": low,
        "saved_high_us": high,
        "saved_database_us": statistics.median(saved_database),
    }


def instructions(environment: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Count the instructions of one request, alone, of each variant; empty without valgrind."""
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        return {}
    folder = RUN_FOLDER / "callgrind"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found: dict[str, dict[str, float]] = {}
    with click.progressbar(
        [variant.name for variant in VARIANTS], label="counting", file=sys.stderr
    ) as bar:
        for name in bar:  # one in each process: the others' housekeeping would be counted
            for workload, count in _count(environment, folder / name, name).items():
                found.setdefault(workload, {})[name] = count
    return found


def _count(environment: Mapping[str, str], folder: Path, name: str) -> dict[str, float]:
    folder.mkdir()
    options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'out'}"]
    workloads = [workload for workload in TURN if name in _variants(workload)]
    with Child.running(environment, [name], wrapper=("valgrind", "-q", *options)) as child:
        for workload in workloads:  # first use: imports, caches, connections
            child.handle(name, workload, requests=WARM, concurrency=1)
        _control(child, "--instr=on")
        return {workload: _per_request(child, folder, name, workload) for workload in workloads}


def _per_request(child: Child, folder: Path, name: str, workload: str) -> float:
    few, many = COUNTED
    found = [
        (
            _handled(child, folder, name, workload, many)
            - _handled(child, folder, name, workload, few)
        )
        / (many - few)
        for _ in range(COUNTS)
    ]
    return statistics.median(found)


def _handled(child: Child, folder: Path, name: str, workload: str, requests: int) -> int:
    _dumped(child, folder)
    child.handle(name, workload, requests=requests, concurrency=1)
    return _dumped(child, folder)


def _dumped(child: Child, folder: Path) -> int:
    """Return the instructions since the last dump."""
    _control(child, "--dump")
    dumps = [path for path in folder.iterdir() if path.suffix[1:].isdigit()]
    newest = max(dumps, key=lambda path: int(path.suffix[1:]))
    totals = [line for line in newest.read_text().splitlines() if line.startswith("totals:")]
    return int(totals[0].split()[1])


def _control(child: Child, order: str) -> None:
    subprocess.run(
        ["callgrind_control", order, str(child.pid)],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE,
    )


WORKLOADS = {
    "lookup": "lookup, 20 cities in turn",
    "post": "keyed POST",
    "list": "100 cities as JSON",
}


def tables(content: Mapping[str, Any]) -> str:
    """Return the tables, as Markdown. Pure."""
    features = [feature_table(content, workload) for workload in ("lookup", "post")]
    return "\n\n".join([layer_table(content), *features, savings_table(content)])


def layer_table(content: Mapping[str, Any]) -> str:
    """Lay out what the layers of the process cost, and the database."""
    costs = content["costs"]
    rows = []
    for workload, what in WORKLOADS.items():
        whole = costs[workload]["whole"]
        bare, wrapped = costs["nodb"]["all"]["app_us"], costs["nodb"]["whole"]["app_us"]
        app, asked = whole["app_us"], whole["database_us"]
        cells = (bare, wrapped - bare, app - wrapped, asked)
        rows.append([what, *(f"{cell:.0f} ({cell / (app + asked):.0%})" for cell in cells)])
    head = ("us of CPU a request", "Quart", "our middlewares", "handler and driver", "database")
    return report.table(head, rows)


def feature_table(content: Mapping[str, Any], workload: str) -> str:
    """Lay out what each feature costs at one workload."""
    whole, counts = content["costs"][workload]["whole"], content["instructions"].get(workload)
    head = (f"{WORKLOADS[workload]}: {whole['app_us']:.0f} us", "us", "quartiles", "share")
    more = ("database us", *(["1000 instructions"] if counts else []))
    rows = [
        _row(content, workload, name)
        for name, variant in content["variants"].items()
        if name in content["costs"][workload] and variant["role"] != Role.INSTEAD.value
    ]
    return report.table((*head, *more), rows[1:])  # the first is the whole app


def savings_table(content: Mapping[str, Any]) -> str:
    """Lay out what our own ways save."""
    rows = []
    for name, variant in content["variants"].items():
        for workload, found in content["costs"].items():
            if variant["role"] == Role.INSTEAD.value and workload in WORKLOADS and name in found:
                what = f"{variant['what']}: {WORKLOADS[workload]}"
                _, us, quartiles, _, asked, *_ = _row(content, workload, name)
                rows.append([what, us, quartiles, asked])
    return report.table(("what is saved", "us", "quartiles", "database us"), rows)


def _row(content: Mapping[str, Any], workload: str, name: str) -> list[str]:
    found, whole = content["costs"][workload][name], content["costs"][workload]["whole"]
    variant, counts = content["variants"][name], content["instructions"].get(workload)
    sign = 1 if variant["role"] == Role.WITHOUT.value else -1
    ends = sorted(sign * found[end] for end in ("saved_low_us", "saved_high_us"))
    row = [
        variant["what"],
        f"{sign * found['saved_us']:.1f}",
        f"{ends[0]:.1f} to {ends[1]:.1f}",
        f"{sign * found['saved_us'] / whole['app_us']:.1%}",
        f"{sign * found['saved_database_us']:.1f}",
    ]
    if counts:
        count = f"{sign * (counts['whole'] - counts[name]) / 1000:.1f}" if name in counts else ""
        row.append(count)
    return row


@click.command(context_settings={"show_default": True})
@click.option("--rounds", type=click.IntRange(2, 1000), default=30)
@click.option("--time/--no-time", "timed", default=True, help="Measure CPU time.")
@click.option("--count/--no-count", "counted", default=True, help="Count instructions (valgrind).")
@click.option("--python", default=environments.default_python(), help="Handles the requests.")
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "results")
def main(*, rounds: int, timed: bool, counted: bool, python: str, out: Path) -> None:
    """Measure what each safety feature costs a request: CPU of the app and of the database.

    What is not measured this time is kept from the last: --no-count takes two minutes, the counting
    five more, and does not mind a busy machine.
    """
    RUN_FOLDER.mkdir(exist_ok=True)
    environments.build(["ours"], python=python)
    path = out / "costs.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    with database.private_server(RUN_FOLDER / "costs") as server:
        database.seed(server)
        environment = systems.settings_of_ours(server.environment)
        if timed:
            content.update(_timed(environment, server, rounds=rounds))
        if counted:
            content["instructions"] = instructions(environment)
    content.setdefault("instructions", {})
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    click.echo(tables(content))
    if not content["instructions"]:
        click.echo("no instructions were counted: that takes valgrind", err=True)


def _timed(
    environment: Mapping[str, str], server: database.Server, *, rounds: int
) -> dict[str, Any]:
    with Child.running(environment, [variant.name for variant in VARIANTS]) as child:
        turns, tracing = measure(child, server, rounds=rounds), child.tracing
    return {
        "machine": machine.describe(),
        "rounds": rounds,
        "tracing_loaded": tracing,
        "variants": {v.name: {"what": v.what, "role": v.role.value} for v in VARIANTS},
        "costs": summarise(turns),
    }


if __name__ == "__main__":
    main()
