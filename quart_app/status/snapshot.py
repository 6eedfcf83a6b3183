"""The whole page as one value. No host, no user, no statement: endpoints are numbered."""

from dataclasses import asdict

from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.observer import PoolStats
from quart_app.mysql.pool import Pool
from quart_app.status.history import History


def snapshot(pool: Pool, history: History, *, draining: bool, number: int) -> dict[str, object]:
    """How it is now; *number* tells this process from its siblings."""
    stats = pool.stats()
    last = history.samples[-1] if history.samples else None
    return {
        "state": state_of(
            stats, draining=draining, ready=pool.ready, stalled=history.is_stalled(stats)
        ),
        "process": number,
        "endpoints": endpoints_of(pool, connected=stats.total > stats.connecting),
        "slots": [state.value for state in pool.slot_states()],
        "active": stats.active,
        "idle": stats.idle,
        "waiting": stats.waiting,
        "maxsize": stats.maxsize,
        "connects": stats.connects,
        "connect_failures": stats.connect_failures,
        "retried": history.retried_count,
        "failed": history.failed_count,
        "events": [event.shown() for event in history.events],
        "sample": None if last is None else asdict(last),
    }


def samples(history: History) -> list[dict[str, object]]:
    """The past, the oldest first."""
    return [asdict(sample) for sample in history.samples]


def state_of(stats: PoolStats, *, draining: bool, ready: bool, stalled: bool) -> str:
    """One word for it."""
    if draining:
        return "stopping"
    if ready and stats.waiting and stats.last_failure:
        return "healing"
    if ready:
        return "stalled" if stalled else "serving"
    return "away" if stats.last_failure or not stats.connecting else "connecting"


def endpoints_of(pool: Pool, *, connected: bool) -> list[dict[str, object]]:
    """The servers in the order of DATABASE_URL: in use, ready as a spare, or failing."""
    driver = pool.driver
    if not isinstance(driver, MySQLDriver):
        return []
    topology, now = driver.topology, pool.time()
    found: list[dict[str, object]] = []
    for number, endpoint in enumerate(topology.endpoints, start=1):
        if topology.is_down(endpoint, now):
            state = "failing"
        elif endpoint == topology.current:
            state = "in use" if connected else "not connected"
        else:
            state = "spare"
        found.append({"number": number, "state": state})
    return found
