"""Shared timers on the loop that serves: uvloop, whose clock and timers go by whole milliseconds."""

import asyncio
from functools import partial

import pytest
import uvloop

from quart_app.mysql.timers import TICK, LoopTimers, Timers

pytestmark = pytest.mark.e2e
DELAYS = (0.0101, 0.0104, 0.0097, 0.01) * 5


def test_a_wait_takes_one_turn_of_the_loop_and_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, ends, fire = [], [], LoopTimers._fire

    def counted(timers: LoopTimers) -> None:
        turns.append(timers)
        fire(timers)

    monkeypatch.setattr(LoopTimers, "_fire", counted)

    async def wait_often() -> None:
        loop, timers = asyncio.get_running_loop(), Timers()
        for delay in DELAYS:
            done, when = loop.create_future(), loop.time() + delay
            timers.call_at(when, partial(done.set_result, None))
            await done
            ends.append(loop.time() - when)

    uvloop.run(wait_often())
    assert len(turns) == len(DELAYS)
    assert min(ends) >= -TICK
