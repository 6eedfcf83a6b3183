"""Reads from replicas, where the reader said that it may be: else, and whenever in doubt, the writer.

A replica that lags, fails or is busy costs a bounded wait and then nothing: the writer answers.
"""

from collections.abc import Mapping, Sequence

from quart_app.mysql import consistency, deadline
from quart_app.mysql.driver import Connection, Result
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.pool import Pool

# Seconds to wait for a connection, and for a replica to catch up. Longer, and the writer is quicker.
MAX_WAIT = 0.5

Args = Sequence[object] | Mapping[str, object] | None


class Replicas:
    """A pool of servers to read from."""

    def __init__(self, pool: Pool, *, max_wait: float = MAX_WAIT) -> None:
        self.pool = pool
        self.answered = 0
        self.left_to_writer = 0
        self._max_wait = max_wait

    async def read(self, sql: str, args: Args, *, text: bool) -> Result | None:
        """Read from a replica; None if that is not allowed or not to be had: ask the writer.

        Waits for half of the time to the ambient deadline, which should be there; the other half
        is the writer's. Raises nothing of the database: even a fault of the statement may be the
        replica's, which does not have the new column yet.
        """
        reading = consistency.current()
        if reading is None or not self.pool.is_open:
            return None
        left = deadline.remaining()
        try:
            with deadline.within(None if left is None else left / 2):
                result = await self._read(sql, args, reading, text=text)
        except DatabaseError:
            result = None
        if result is None:
            self.left_to_writer += 1
        else:
            self.answered += 1
        return result

    async def _read(
        self, sql: str, args: Args, reading: consistency.Reading, *, text: bool
    ) -> Result | None:
        async with self.pool.acquire(timeout=self._max_wait) as connection:
            if reading.after is not None and not await self._has(connection, reading.after):
                return None
            return await connection.run(sql, args, text=text)

    async def _has(self, connection: Connection, token: str) -> bool:
        """Whether this replica has the write that *token* names, after waiting for it a little."""
        with deadline.within(2 * self._max_wait):
            return await consistency.is_caught_up(connection, token, wait=self._max_wait)
