"""Rows 1, 2, 3, 5: what happens to connections while nobody uses them. The next request is ok."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from quart_app.torture.faults import Faults
from quart_app.torture.rows.row import Play, Row
from quart_app.torture.scene import AFTER, Scene

# Longer than checkout trusts a connection without asking it.
IDLE = 1.3
SHORT_WAIT_TIMEOUT = 2


def at_rest(strike: Callable[[Faults], Awaitable[object]]) -> Play:
    """Load; rest; *strike*; load again."""

    async def play(scene: Scene, row: Row) -> None:
        async with scene.program(row.settings) as program:
            async with scene.load(program) as load:
                await load.rest()
                await asyncio.sleep(IDLE)
                with scene.outage():
                    await strike(scene.faults)
                load.resume()
                await asyncio.sleep(AFTER)
            scene.faults.proxy.end_silent()
            await scene.count_leaks(program)

    return play


def short_wait_timeout(faults: Faults) -> AbstractAsyncContextManager[None]:
    """The server closes connections that are idle for two seconds."""
    return faults.variable("wait_timeout", SHORT_WAIT_TIMEOUT)


async def _outlive_wait_timeout(_faults: Faults) -> None:
    await asyncio.sleep(SHORT_WAIT_TIMEOUT + 0.5)


async def _kill_idle(faults: Faults) -> None:
    await faults.kill_idle()


ROWS = (
    Row(
        number="1",
        title="idle connections closed by wait_timeout",
        play=at_rest(_outlive_wait_timeout),
        server=short_wait_timeout,
        # Upkeep that would forestall it is off: the server really does it.
        settings={"QUART_APP_POOL_RECYCLE": "3000", "QUART_APP_KEEPALIVE": "0"},
    ),
    Row(number="2", title="every idle connection killed", play=at_rest(_kill_idle)),
    Row(number="3", title="server restarted while we were idle", play=at_rest(Faults.restart)),
    Row(
        number="5",
        title="silent drop of idle connections",
        play=at_rest(Faults.silence),
        through_proxy=True,
        longest=2.0,
    ),
)
