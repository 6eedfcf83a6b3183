"""What the pool does with a connection on its server, each within a bounded time: ping, reset, kill.

None of these raises for a bad connection: it is retired, and its capacity is free again.
"""

import logging

from quart_app.mysql import deadline
from quart_app.mysql.driver import Condition, Connection
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.slot import Slot
from quart_app.mysql.stock import Stock

log = logging.getLogger("quart_app.mysql")


class Upkeep:
    """The round trips of the pool's own, and how many there were."""

    def __init__(self, pool: Stock) -> None:
        self._pool = pool
        self.pings = 0
        self.resets = 0
        self.kills = 0

    async def ping(self, slot: Slot, *, until: float | None = None) -> bool:
        """Ask a RESERVED slot's server for a sign of life. False: none came, and it is retired.

        Waits for ``probe_timeout``. Cancelled, it retires the connection: an answer may be on
        its way.
        """
        pool, connection = self._pool, slot.held()
        connection.returned = False
        self.pings += 1
        reason = "cancelled"
        try:
            with deadline.until(until), deadline.within(pool.config.probe_timeout):
                await connection.probe()
            reason = ""
        except Exception:  # noqa: BLE001 # any failure means: not this one
            reason = "ping failed"
        finally:
            connection.returned = True
            connection.orphaned = False  # a ping leaves nothing running
            if reason and slot.connection is connection:
                pool.retire(slot, reason)
                pool.grow()
        slot.proved_at = pool.time()
        return not reason and slot.connection is connection

    async def keep_alive(self, slot: Slot) -> None:
        """Ping a RESERVED slot and make it idle again; a silent one takes the stale ones along."""
        if await self.ping(slot):
            self._pool.put_back(slot)
        else:
            self._pool.retire_unproven()

    async def reset(self, slot: Slot, condition: Condition) -> None:
        """Clean a RESETTING slot's session, and give the slot back. Waits for ``probe_timeout``."""
        pool, connection = self._pool, slot.held()
        connection.returned = False
        self.resets += 1
        try:
            with deadline.within(pool.config.probe_timeout):
                if condition is Condition.SNAPSHOT:
                    await connection.rollback()
                else:
                    await connection.reset()
        except Exception:  # noqa: BLE001 # any failure means: not this one
            connection.evict("reset failed")
        except BaseException:
            connection.evict("cancelled")
            raise
        finally:
            connection.returned = True
            connection.orphaned = False  # a reset leaves nothing running
            if connection.condition() is not Condition.CLEAN:
                connection.evict(connection.evicted or "reset failed")
            if slot.connection is connection:  # terminate() may have been quicker
                pool.give_back(slot)

    async def go_home(self) -> None:
        """Use the preferred server again if it is back; connections move as they come back."""
        if await self._pool.driver.return_to_preferred():
            self._pool.invalidate("the preferred server is back")

    async def kill(self, connection: Connection) -> None:
        """End on the server what *connection* was doing when it was closed here."""
        pool = self._pool
        try:
            killed = await pool.driver.kill(connection)
        except DatabaseError as exc:
            log.warning("pool %s: could not end an abandoned statement: %s", pool.name, exc)
            pool.observer.killed(done=False)
            return
        if killed:
            self.kills += 1
            pool.observer.killed(done=True)
