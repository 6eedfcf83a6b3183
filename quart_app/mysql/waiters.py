"""Callers waiting for a connection, first come, first served.

Futures and no Condition: a hand-off settles once, and what is handed to somebody who left comes back
(psycopg_pool's WaitingClient has the idea; cpython #112202 is why).
"""

import asyncio
from collections import OrderedDict

from quart_app.mysql.slot import Slot

Waiter = asyncio.Future[Slot]


class Waiters:
    """A FIFO of futures, each settled at most once: with a slot, an error, or by cancellation."""

    def __init__(self) -> None:
        self.queue: OrderedDict[Waiter, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.queue)

    def join(self, *, first: bool) -> Waiter:
        """Queue up; *first* is for whoever had a turn already and was given a dead connection."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self.queue[waiter] = None
        if first:
            self.queue.move_to_end(waiter, last=False)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting; no harm if it was served already."""
        self.queue.pop(waiter, None)

    def hand(self, slot: Slot) -> bool:
        """Give *slot* to the one that waits longest. False if nobody waits."""
        while self.queue:
            waiter, _ = self.queue.popitem(last=False)
            if not waiter.done():
                waiter.set_result(slot)
                return True
        return False

    def fail(self, error: BaseException) -> None:
        """Have everybody stop waiting and raise *error*."""
        while self.queue:
            waiter, _ = self.queue.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(error)


async def wait(waiter: Waiter, *, until: float) -> Slot:
    """Wait for a slot until the loop's time *until*.

    Raises TimeoutError, or what the pool failed the waiter with. Cancelled, it leaves *waiter*
    done: with a slot in it if the hand-off came first, and then the caller must give that back.
    """
    loop = asyncio.get_running_loop()
    timer = loop.call_at(until, _expire, waiter)
    try:
        return await waiter
    finally:
        timer.cancel()


def _expire(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
