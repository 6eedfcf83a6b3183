"""``python -m benchmarks.engine``: what the pool alone does, beside aiomysql's.

Figures, not tests: nothing here fails because a machine is slow.
"""

import asyncio
import contextlib
import itertools
import json
import platform
import random
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import aiomysql
import click
import uvloop

from benchmarks import database, machine, report
from benchmarks.database import Server
from benchmarks.environments import HERE
from benchmarks.relay import Relay
from benchmarks.targets import Verdict
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.pool import Pool

PAIRS = 20_000
ROUNDS = 7
WAITERS = 10_000
CONNECTIONS = 8
CANCELLATIONS = 100_000
BATCH = 2_000
PARALLEL = 16
FAR = 0.02  # seconds that each packet takes to a database that is not next door
PATIENCE = 120.0
MICRO = 1e6


class AnyPool(Protocol):
    """What both pools have."""

    def acquire(self) -> contextlib.AbstractAsyncContextManager[object]:
        """Borrow."""


@contextlib.asynccontextmanager
async def our_pool(
    server: Server, *, minsize: int, maxsize: int, port: int | None = None
) -> AsyncIterator[Pool]:
    """Open one of our pools, filled to *minsize*; nobody who waits is turned away."""
    connect = ConnectConfig(
        endpoints=(Endpoint(host="127.0.0.1", port=port or server.port),),
        user=database.USER,
        password=server.password,
        database=database.DATABASE,
        tls_mode=TLSMode.DISABLED,
    )
    config = PoolConfig(
        minsize=minsize, maxsize=maxsize, max_waiting=2 * WAITERS, acquire_timeout=PATIENCE
    )
    async with Pool(connect, config) as pool:
        await pool.wait(timeout=PATIENCE)
        yield pool


@contextlib.asynccontextmanager
async def their_pool(
    server: Server, *, minsize: int, maxsize: int, port: int | None = None
) -> AsyncIterator[AnyPool]:
    """Open one of aiomysql's."""
    pool = await aiomysql.create_pool(
        host="127.0.0.1",
        port=port or server.port,
        user=database.USER,
        password=server.password,
        db=database.DATABASE,
        autocommit=True,
        minsize=minsize,
        maxsize=maxsize,
    )
    try:
        yield pool
    finally:
        pool.terminate()
        await pool.wait_closed()


async def free_connection(server: Server) -> list[Verdict]:
    """Acquire and release a free connection, both pools by turns."""
    ours: list[float] = []
    theirs: list[float] = []
    sizes = {"minsize": CONNECTIONS, "maxsize": CONNECTIONS}
    async with our_pool(server, **sizes) as our, their_pool(server, **sizes) as their:
        for _ in range(ROUNDS):
            ours.append(await _microseconds_a_pair(our))
            theirs.append(await _microseconds_a_pair(their))
    us, them = statistics.median(ours), statistics.median(theirs)
    name = "acquire + release of a free connection"
    return [
        _at_most(f"{name} (best {min(ours):.2f})", us, 3.0, "us"),
        _at_most(f"{name}, share of aiomysql's {them:.2f} us", us / them, 1.0, "x"),
    ]


async def _microseconds_a_pair(pool: AnyPool) -> float:
    started = time.perf_counter()
    for _ in range(PAIRS):
        async with pool.acquire():
            pass
    return (time.perf_counter() - started) / PAIRS * MICRO


async def many_waiters(server: Server) -> list[Verdict]:
    """Let ten thousand callers queue for eight connections."""
    served: list[int] = []

    async def caller(number: int, pool: Pool) -> None:
        async with pool.acquire():
            served.append(number)
            await asyncio.sleep(0)

    async with our_pool(server, minsize=CONNECTIONS, maxsize=CONNECTIONS) as pool:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(WAITERS):
                group.create_task(caller(number, pool))
        seconds = time.perf_counter() - started
    early = sum(later < earlier for earlier, later in itertools.pairwise(served))
    title = f"{WAITERS} waiters on {CONNECTIONS} connections"
    return [
        _at_most(f"{title}: lost", WAITERS - len(served), 0, "callers"),
        _at_most(f"{title}: served before an earlier one", early, 0, "callers"),
        _at_most(f"{title}: time each", seconds / WAITERS * MICRO, 100, "us"),
    ]


async def one_connect_hangs(server: Server) -> list[Verdict]:
    """Have the second of three connects hang: who can be served must not wait for it."""
    waits: list[float] = []

    async def caller(pool: Pool) -> None:
        for _ in range(200):
            started = time.perf_counter()
            async with pool.acquire():
                waits.append((time.perf_counter() - started) * 1e3)
                await asyncio.sleep(0.001)

    async with (
        Relay.open(server.port, deaf=lambda number: number == 2) as relay,  # noqa: PLR2004 - the 2nd
        our_pool(server, minsize=1, maxsize=3, port=relay.port) as pool,
        asyncio.TaskGroup() as group,  # one finds a connection, two have one made
    ):
        for _ in range(3):
            group.create_task(caller(pool))
    return [_at_most("one of three connects hangs: longest wait", max(waits), 10, "ms")]


async def cancellations(server: Server) -> list[Verdict]:
    """Cancel a hundred thousand callers anywhere: queueing, holding, in mid-query."""
    chance = random.Random(11)  # noqa: S311 - a repeatable storm
    most = 0
    async with our_pool(server, minsize=CONNECTIONS, maxsize=CONNECTIONS) as pool:
        started = time.perf_counter()
        for _ in range(CANCELLATIONS // BATCH):
            await _storm(pool, chance)
            most = max(most, await asyncio.to_thread(_connections_at, server))
        seconds = time.perf_counter() - started
        stuck = await _left_over(pool)
        async with pool.acquire() as connection:
            answers = (await connection.run("SELECT 1")).rows == [(1,)]
    title = f"{CANCELLATIONS} random cancellations in {seconds:.0f} s"
    return [
        _at_most(f"{title}: borrowed or waiting afterwards", stuck, 0, "callers"),
        _at_most(f"{title}: connections at the server", most, CONNECTIONS, ""),
        _at_most("… and the pool serves wrongly afterwards", float(not answers), 0, ""),
    ]


async def _storm(pool: Pool, chance: random.Random) -> None:
    async def caller(*, query: bool) -> None:
        async with pool.acquire() as connection:
            if query:
                await connection.run("DO SLEEP(0.001)")
            else:
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(caller(query=chance.random() < 0.01)) for _ in range(BATCH)]  # noqa: PLR2004 - one in a hundred
    chance.shuffle(tasks)
    for count, task in enumerate(tasks):
        if chance.random() < 0.02:  # noqa: PLR2004 - now and then the loop turns
            await asyncio.sleep(0)
        task.cancel()
        if count % 500 == 0:
            await asyncio.sleep(0.001)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _left_over(pool: Pool) -> int:
    """Return who still holds or waits a second after everybody is gone."""
    await asyncio.sleep(1)
    stats = pool.stats()
    return stats.active + stats.waiting


def _connections_at(server: Server) -> int:
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist")
        return int(cursor.fetchall()[0][0]) - 1  # less the one that asks


async def opening(server: Server) -> list[Verdict]:
    """Open sixteen connections to a database that is some way off, beside opening one."""
    one: list[float] = []
    ours: list[float] = []
    theirs: list[float] = []
    async with Relay.open(server.port, delay=FAR) as relay:
        for _ in range(3):
            one.append(await _seconds(our_pool(server, minsize=1, maxsize=1, port=relay.port)))
            sixteen = {"minsize": PARALLEL, "maxsize": PARALLEL, "port": relay.port}
            ours.append(await _seconds(our_pool(server, **sixteen)))
            theirs.append(await _seconds(their_pool(server, **sixteen)))
    single, many, sequential = (statistics.median(times) for times in (one, ours, theirs))
    name = f"{PARALLEL} connections {FAR * 1e3:.0f} ms a packet away, in the time of one"
    told = f"{name} ({many * 1e3:.0f} ms; aiomysql {sequential * 1e3:.0f} ms)"
    return [_at_most(told, many / single, 2.0, "x")]


async def _seconds(opened: contextlib.AbstractAsyncContextManager[object]) -> float:
    started = time.perf_counter()
    async with opened:
        return time.perf_counter() - started


def _at_most(name: str, value: float, target: float, unit: str) -> Verdict:
    return Verdict(name=name, system="pool", value=value, target=target, at_most=True, unit=unit)


FIGURES = {
    "free": free_connection,
    "waiters": many_waiters,
    "hanging": one_connect_hangs,
    "cancellations": cancellations,
    "opening": opening,
}


async def measure(server: Server, names: tuple[str, ...]) -> list[Verdict]:
    """Measure one after the other."""
    found: list[Verdict] = []
    for name in names:
        click.echo(f"{name} …", err=True)
        found += await FIGURES[name](server)
    return found


@click.command()
@click.option("--only", "names", multiple=True, type=click.Choice(list(FIGURES)))
@click.option("--loop", type=click.Choice(["uvloop", "asyncio"]), default="uvloop")
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "results")
def main(*, names: tuple[str, ...], loop: str, out: Path) -> None:
    """Measure the pool against a private MariaDB; print each figure beside its target."""
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with (
        database.private_server(HERE / ".run" / "engine") as server,
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        found = runner.run(measure(server, names or tuple(FIGURES)))
    rows = [
        [v.name, f"{v.value:.2f} {v.unit}", f"<= {v.target:g} {v.unit}", v.outcome] for v in found
    ]
    click.echo(report.table(("figure", "measured", "wanted", "outcome"), rows))
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": {**machine.describe(), "python": f"Python {platform.python_version()}"},
        "loop": loop,
        "figures": [{**asdict(v), "outcome": v.outcome} for v in found],
    }
    (out / "engine.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
