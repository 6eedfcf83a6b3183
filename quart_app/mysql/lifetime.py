"""How long a connection may live, idle, and go without a ping; and whether that is over.

The limits are set once, when it is made. Nothing is closed here: stock.py does that.
"""

import math
import random

from quart_app.mysql.config import PoolConfig
from quart_app.mysql.slot import Slot, SlotState

# Of the server's wait_timeout, so that we close before it does; capped by what middleboxes allow.
RECYCLE_SHARE = 0.8
RECYCLE_MAX = 240.0
LIFETIME_JITTER = 0.2
KEEPALIVE_JITTER = 0.1


def arm(
    slot: Slot, config: PoolConfig, wait_timeout: float, now: float, rng: random.Random
) -> None:
    """Set a fresh connection's limits. Jitter keeps those made together from ending together."""
    share = rng.uniform(1 - LIFETIME_JITTER, 1)
    slot.expires_at = now + config.max_lifetime * share if config.max_lifetime else math.inf
    slot.recycle = recycle_after(config.pool_recycle, wait_timeout)
    slot.trust = min(config.probe_after_idle, slot.recycle)
    arm_ping(slot, config, now, rng)


def arm_ping(slot: Slot, config: PoolConfig, now: float, rng: random.Random) -> None:
    """Set when the housekeeper should next ask whether this connection is alive."""
    share = rng.uniform(1 - KEEPALIVE_JITTER, 1 + KEEPALIVE_JITTER)
    slot.ping_at = now + config.keepalive * share if config.keepalive else math.inf


def recycle_after(pool_recycle: float | None, wait_timeout: float) -> float:
    """Idle seconds allowed: as set, for ever if negative, or derived from *wait_timeout*."""
    if pool_recycle is None:
        return min(wait_timeout * RECYCLE_SHARE, RECYCLE_MAX)
    return pool_recycle if pool_recycle >= 0 else math.inf


def why_unfit(slot: Slot, generation: int, now: float) -> str | None:
    """Tell why a connection should not be lent again; None if it may. *generation* is today's."""
    connection = slot.held()
    if not connection.is_alive():
        return "cancelled" if connection.orphaned else "lost"
    if slot.generation != generation:
        return "drained"
    if now >= slot.expires_at:
        return "max_lifetime"
    if slot.state is SlotState.IDLE and now - slot.idle_since > slot.recycle:
        return "pool_recycle"
    return None
