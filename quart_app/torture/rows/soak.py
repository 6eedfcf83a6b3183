"""The soak: busy and idle in turn, on a server that closes what is idle for a second.

Days of an office's load in minutes: every idle spell is a night. Memory, files, tasks and the
server's connections must be as many at the end as after the beginning.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from quart_app.torture.faults import Faults
from quart_app.torture.program import Program
from quart_app.torture.rows.row import Row
from quart_app.torture.scene import Scene

BUSY, IDLE = 2.0, 2.6
# The first cycles fill caches; what grows after them grows for ever.
SETTLED_AFTER = 0.4
RSS_GROWTH = 1.05
MEBIBYTE = 1024 * 1024
SLACK = 2
ROOM = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was held at the end of an idle spell."""

    rss_bytes: int
    files: int
    tasks: int
    in_pool: int
    at_server: int


def soak(seconds: float) -> Row:
    """Make the row that lasts for *seconds*."""

    async def play(scene: Scene, row: Row) -> None:
        samples: list[Sample] = []
        async with scene.program(row.settings) as program:
            async with scene.load(program) as load:
                clock = asyncio.get_running_loop().time
                until = clock() + seconds
                while clock() < until:
                    await asyncio.sleep(BUSY)
                    await load.rest()
                    await asyncio.sleep(IDLE)
                    samples.append(await _sample(scene, program))
                    load.resume()
            await scene.count_leaks(program)
        _judge(scene, samples)

    return Row(
        number="S",
        title=f"soak for {seconds:g} s, wait_timeout=1",
        play=play,
        server=_nights,
        timeout=seconds + ROOM,
    )


def _nights(faults: Faults) -> AbstractAsyncContextManager[None]:
    return faults.variable("wait_timeout", 1)


async def _sample(scene: Scene, program: Program) -> Sample:
    state = await program.state()
    return Sample(
        rss_bytes=state.rss_bytes,
        files=state.files,
        tasks=state.tasks,
        in_pool=state.pool.total,
        at_server=await scene.faults.connections(),
    )


def _judge(scene: Scene, samples: list[Sample]) -> None:
    settled = samples[int(len(samples) * SETTLED_AFTER) :]
    if len(settled) < SLACK:
        scene.expect(None, "too short a soak to tell anything; take a minute at least")
        return
    first, last = settled[0], settled[-1]
    grown = last.rss_bytes / first.rss_bytes
    scene.notes.append(
        f"{len(samples)} cycles: RSS {first.rss_bytes / MEBIBYTE:.1f} -> "
        f"{last.rss_bytes / MEBIBYTE:.1f} MiB, files {first.files} -> {last.files}, "
        f"tasks {first.tasks} -> {last.tasks}, "
        f"server connections {first.at_server} -> {last.at_server}"
    )
    scene.expect(grown <= RSS_GROWTH, f"memory grew by {grown - 1:.0%}")
    scene.expect(last.files <= first.files + SLACK, f"files grew to {last.files}")
    scene.expect(last.tasks <= first.tasks + SLACK, f"tasks grew to {last.tasks}")
    most = max(sample.at_server - sample.in_pool for sample in settled)
    scene.expect(most <= SLACK, f"{most} connections more at the server than in the pool")
