"""Leaves a server that answers nobody, before the statements it has swallowed come to their deadline.

Only where there is another server to go to. No statement is judged by its age: it may take long. It
is when nothing at all comes from a server any more that it is asked for a sign of life, on a
connection made for that; and only when none comes, and another server serves, is it left. New work
then goes there. Of what is under way, that loses its connection which can be run again at any time
(retry.py: reads, transactions before their COMMIT, what was declared idempotent). A write whose loss
would leave a doubt waits on: the server may still wake up and do it.
"""

import asyncio
import math

from quart_app.mysql.connector import endpoint_of
from quart_app.mysql.driver import Connection
from quart_app.mysql.slot import Slot
from quart_app.mysql.tended import TendedStock

# A server that has been silent for as long is asked; one that answered, and goes on being silent to
# us, is busy with what we gave it: asked after twice as long, and so on.
SILENCE = 0.5
SILENCE_MAX = 16.0
# While no other server serves, it is looked for one as often.
AGAIN = 0.2


class Lookout:
    """Looks at a pool's lent connections now and then; asks in a task of the pool's."""

    def __init__(self, pool: TendedStock) -> None:
        self._pool = pool
        self._patience = SILENCE
        self._asked_at = -math.inf
        self._asking = False

    def look(self, now: float) -> None:
        """Have the server asked that has kept us waiting longest, if it is time. Waits for nothing."""
        pool = self._pool
        waiting = [slot.held() for slot in pool.lent_slots() if slot.held().waits]
        if self._asking or not waiting or not pool.driver.has_choice():
            return
        first = min(waiting, key=lambda connection: connection.last_command_at)
        heard = max(slot.proved_at for slot in self._of_same_server(first))
        if heard > self._asked_at:
            self._patience = SILENCE
        if now - max(heard, first.last_command_at, self._asked_at) >= self._patience:
            self._asking = True
            pool.spawn(self._ask(first), "lookout")

    async def _ask(self, silent: Connection) -> None:
        asked_at, sent_at = self._pool.time(), silent.last_command_at
        try:
            alive = await self._pool.driver.answers(silent)
            if alive:
                self._patience = min(SILENCE_MAX, 2 * self._patience)
            else:
                await self._leave(silent, sent_at=sent_at, asked_at=asked_at)
        finally:
            self._asking = False
            self._asked_at = self._pool.time()

    async def _leave(self, silent: Connection, *, sent_at: float, asked_at: float) -> None:
        """Go to another server as soon as one serves, and free what can be.

        Not if an answer came meanwhile: then it was our loop that was busy, or it woke up.
        """
        while silent.last_command_at == sent_at and self._is_silent(silent, since=asked_at):
            if await self._pool.driver.move_on(silent):
                self._pool.invalidate("their server answers nobody", connection=silent)
                self._free(silent)
                break
            await asyncio.sleep(AGAIN)

    def _is_silent(self, connection: Connection, *, since: float) -> bool:
        heard = max((slot.proved_at for slot in self._of_same_server(connection)), default=since)
        return connection.waits and heard <= since

    def _free(self, silent: Connection) -> None:
        """End what can be run again elsewhere."""
        for slot in self._of_same_server(silent):
            connection = slot.held()
            if connection.expendable and connection.waits:
                connection.abort()

    def _of_same_server(self, one: Connection) -> list[Slot]:
        server = endpoint_of(one)
        return [slot for slot in self._pool.filled_slots() if endpoint_of(slot.held()) == server]
