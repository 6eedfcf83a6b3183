"""The filler's timer, on a loop that is not asyncio's own."""

import asyncio
import random
from types import SimpleNamespace
from typing import cast

import uvloop

from quart_app.mysql.filler import Filler
from quart_app.mysql.pool import Pool


def test_timer_that_is_due_at_once_can_be_moved_under_uvloop() -> None:
    """Uvloop gives a handle without when() for it; the second caller got an AttributeError."""

    async def main() -> None:
        filler = Filler(cast("Pool", SimpleNamespace(rng=random.Random(), is_open=False)))
        now = asyncio.get_running_loop().time()
        filler._try_at(now)
        filler._try_at(now - 1.0)
        await asyncio.sleep(0)
        assert filler.timer is None

    uvloop.run(main())
