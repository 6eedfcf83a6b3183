"""Run the rounds: every system resident, one under load at a time, the order changing each round.

The machine is noisy, so no system gets its seconds in one piece: a cell is measured for each system
in turn, then again for each in the next round.
"""

import random
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import load, proc
from benchmarks.database import Server
from benchmarks.load import Kind
from benchmarks.systems import Running
from benchmarks.workloads import Cell

WARM_UP = 1.0
# A slow system goes on with what its clients have long given up: nobody else is measured meanwhile.
LONGEST_REST = 60.0
REST_STEP = 0.05
RESTING = 0.1  # of one core

Place = tuple[str, str, int, int]  # system, workload, concurrency, round


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how often."""

    cells: tuple[Cell, ...]
    rounds: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One system, one cell, one round. CPU is for each request; *client_us* is wrk's, or siege's."""

    system: str
    workload: str
    concurrency: int
    round: int
    requests: int
    failures: int
    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    app_us: float
    database_us: float
    client_us: float
    statements: float
    connections: int
    rss_mib: float

    @property
    def place(self) -> Place:
        """Return where in the plan it stands."""
        return self.system, self.workload, self.concurrency, self.round


def run(
    systems: Sequence[Running],
    server: Server,
    plan: Plan,
    *,
    tick: Callable[[str], None],
    known: Container[Place] = (),
) -> Iterator[list[Sample]]:
    """Measure what is not *known* yet; yield each cell when all systems have had it.

    *tick* hears what is about to run. Raises LoadFailedError.
    """
    order = list(systems)
    shuffle = random.Random(7)  # noqa: S311 - an order, no secret
    warm: set[tuple[str, str, Kind]] = set()
    for number in range(plan.rounds):
        for cell in plan.cells:
            shuffle.shuffle(order)
            samples = []
            for running in order:
                if not cell.suits(running.system):
                    continue
                tick(f"round {number + 1} {_cell(cell)} {running.system.name}")
                if _place(running, cell, number) in known:
                    continue
                cold = (running.system.name, cell.workload.path, cell.workload.kind)
                if cold not in warm:
                    warm.add(cold)
                    _drive(running, cell, WARM_UP)
                    _rest(running, server)
                samples.append(_measure(running, server, cell, number, plan.seconds))
                _rest(running, server)
            yield samples


def expected_runs(systems: Sequence[Running], plan: Plan) -> int:
    """Return how often *tick* will be called."""
    pairs = sum(c.suits(running.system) for c in plan.cells for running in systems)
    return pairs * plan.rounds


def _cell(cell: Cell) -> str:
    return f"{cell.workload.name} c={cell.concurrency}"


def _place(running: Running, cell: Cell, number: int) -> Place:
    return running.system.name, cell.workload.name, cell.concurrency, number


def _drive(running: Running, cell: Cell, seconds: float) -> load.Load:
    url = running.address + cell.workload.path
    return load.drive(cell.workload.kind, url, concurrency=cell.concurrency, seconds=seconds)


def _measure(running: Running, server: Server, cell: Cell, number: int, seconds: float) -> Sample:
    app = proc.processes_of_session(running.session)
    database = [server.process.pid]
    look = _LookInTheMiddle(server.port, app, after=seconds / 2)
    asked = server.questions()
    before_app, before_database = proc.cpu_seconds(app), proc.cpu_seconds(database)
    done = _drive(running, cell, seconds)
    after_app, after_database = proc.cpu_seconds(app), proc.cpu_seconds(database)
    asked = server.questions() - asked - 1  # less the question itself
    look.thread.join()
    served = max(done.requests, 1)
    return Sample(
        system=running.system.name,
        workload=cell.workload.name,
        concurrency=cell.concurrency,
        round=number,
        requests=done.requests,
        failures=done.failures,
        per_second=done.requests / done.seconds if done.seconds else 0.0,
        p50_ms=done.p50_ms,
        p99_ms=done.p99_ms,
        app_us=(after_app - before_app) / served * 1e6,
        database_us=(after_database - before_database) / served * 1e6,
        client_us=done.cpu_seconds / served * 1e6,
        statements=asked / served,
        connections=look.connections,
        rss_mib=proc.largest_rss_mib(app),
    )


def _rest(running: Running, server: Server) -> None:
    """Wait until the system and the database have next to nothing to do."""
    pids = [server.process.pid, *proc.processes_of_session(running.session)]
    until = time.monotonic() + LONGEST_REST
    used, late = proc.cpu_seconds(pids), False
    while not late:
        time.sleep(REST_STEP)
        before, used = used, proc.cpu_seconds(pids)
        late = used - before < RESTING * REST_STEP or time.monotonic() > until


class _LookInTheMiddle:
    """Count a system's connections to the database while it is under load."""

    def __init__(self, port: int, pids: Sequence[int], *, after: float) -> None:
        self.connections = 0
        self._port, self._pids, self._after = port, pids, after
        self.thread = threading.Thread(target=self._look, name="look")
        self.thread.start()

    def _look(self) -> None:
        time.sleep(self._after)
        self.connections = proc.connections_to(self._port, self._pids)
