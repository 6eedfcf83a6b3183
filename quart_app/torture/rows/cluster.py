"""Row 10 on a Galera cluster: the node in use goes, and writes go on at the next.

A bare probe writes to the other nodes directly, all the time: when the cluster itself takes writes
again is measured beside when the API does. Galera's own stall is not ours to shorten.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from quart_app.database_url import parse_database_url
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import DatabaseError
from quart_app.torture.faults import Faults
from quart_app.torture.galera import Node
from quart_app.torture.outcome import Kind, Outcome
from quart_app.torture.rows.row import HELD, Play, Row
from quart_app.torture.scene import Scene

PROBE_EVERY = 0.02
PROBE_PATIENCE = 8.0
# Writes through the API go on within this of the cluster itself.
BEHIND = 0.5
# Shorter ones are the machine's.
PAUSE = 0.3
WATCHED = 6.0
PLAIN = "CREATE TABLE IF NOT EXISTS torture_probe (probe_id BIGINT AUTO_INCREMENT PRIMARY KEY)"


class Probe:
    """Writes to *nodes* directly, one client for each, and notes when it succeeded."""

    def __init__(self, nodes: list[Faults]) -> None:
        self.wrote: list[float] = []
        self._nodes = nodes

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Write within."""
        tasks = [asyncio.create_task(self._write_to(node)) for node in self._nodes]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_to(self, node: Faults) -> None:
        driver = MySQLDriver(parse_database_url(node.server.url))
        clock = asyncio.get_running_loop().time
        while True:
            with contextlib.suppress(DatabaseError, TimeoutError):
                connection = await driver.connect()
                try:
                    await self._write(connection, clock)
                finally:
                    connection.abort()
            await asyncio.sleep(PROBE_EVERY)

    async def _write(self, connection: Connection, clock: Callable[[], float]) -> None:
        while True:
            async with asyncio.timeout(PROBE_PATIENCE):
                await connection.run("INSERT INTO torture_probe VALUES ()")
            self.wrote.append(clock())
            await asyncio.sleep(PROBE_EVERY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Seconds from the fault until writes went on."""

    cluster: float
    ours: float

    def __str__(self) -> str:
        return f"cluster {self.cluster:.2f} s, ours {self.ours:+.2f} s"


def resumed(moments: list[float], *, since: float) -> float:
    """When, after *since*, the longest pause between *moments* ended; in seconds from *since*.

    Zero where there was no pause to speak of.
    """
    after = sorted(moment for moment in moments if moment >= since)
    if not after:
        return float("inf")
    pauses = list(zip([since, *after], after, strict=False))
    began, end = max(pauses, key=lambda pause: pause[1] - pause[0])
    return end - since if end - began > PAUSE else 0.0


def in_cluster(
    strike: Callable[[Faults, list[Faults]], Awaitable[float | None]],
    *,
    within: float | None = BEHIND,
    watched: float = WATCHED,
) -> Play:
    """Load and probe; *strike* the node in use; measure for *watched* seconds; bring all back.

    *strike*: may tell since when the fault was there, if not from the beginning.
    *within*: our writes go on so many seconds after the cluster's. None where every node goes in
    turn, or where the cluster itself takes longer than a statement may.
    """

    async def play(scene: Scene, row: Row) -> None:
        async with scene.faults.admin() as admin:
            await admin.run(PLAIN)
        probe = Probe(scene.bench.others)
        async with scene.program(row.settings) as program:
            async with scene.load(program), probe.running():
                with scene.outage():
                    since = await strike(scene.faults, scene.bench.others)
                await asyncio.sleep(watched)
            await _heal(scene)
            await scene.count_leaks(program)
        _compare(scene, probe, since=since or scene.outages[0].began, within=within)

    return play


def _compare(scene: Scene, probe: Probe, *, since: float, within: float | None) -> None:
    good = [
        record.ended
        for record in scene.records
        if record.outcome is Outcome.OK and record.kind is not Kind.G
    ]
    theirs, ours = resumed(probe.wrote, since=since), resumed(good, since=since)
    found = Resumed(cluster=theirs, ours=ours - theirs)
    scene.notes.append(f"writes again after: {found}")
    late = within is not None and found.ours > within
    scene.expect(not late, f"writes go on {found.ours:.2f} s after the cluster's own")


async def _heal(scene: Scene) -> None:
    for faults in (scene.faults, *scene.bench.others):
        await asyncio.to_thread(_mend, faults)


def _mend(faults: Faults) -> None:
    if faults.server.running:
        faults.server.resume()
    faults.server.start()


async def kill(used: Faults, _others: list[Faults]) -> None:
    """The node in use is gone."""
    await used.kill_server()


async def _isolate(used: Faults, _others: list[Faults]) -> None:
    """The node in use loses the others, and with them its quorum."""
    node = used.server
    assert isinstance(node, Node)
    option = "SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'"
    await asyncio.to_thread(node.execute, option.format(1))
    await asyncio.sleep(6.0)
    await asyncio.to_thread(node.execute, option.format(0))


async def _demote(used: Faults, _others: list[Faults]) -> float:
    async with used.read_only():
        since = asyncio.get_running_loop().time()
        await asyncio.sleep(4.0)
    return since


async def _freeze(used: Faults, _others: list[Faults]) -> None:
    async with used.frozen():
        await asyncio.sleep(8.0)


async def _roll(used: Faults, others: list[Faults]) -> None:
    for node in (used, *others):
        await node.restart()


ROWS = (
    Row(number="10c", title="node in use killed with SIGKILL", play=in_cluster(kill), promise=HELD),
    Row(
        number="10d",
        title="node in use leaves the primary component",
        play=in_cluster(_isolate),
        promise=HELD,
    ),
    Row(number="10e", title="node in use made read-only", play=in_cluster(_demote)),
    Row(
        number="10f",
        title="node in use frozen",
        play=in_cluster(_freeze),
        promise=HELD,
        quick=False,
    ),
    Row(
        number="10g",
        title="rolling restart of all nodes",
        play=in_cluster(_roll, within=None),
        promise=HELD,
    ),
)
