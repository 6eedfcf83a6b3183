"""How one worker is, as one value. No host, no user, no statement: endpoints are numbered."""

from dataclasses import dataclass

from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.observer import PoolStats
from quart_app.mysql.pool import Pool
from quart_app.status.history import Event, History, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A database server, by its place in DATABASE_URL."""

    number: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process, and how it is in short."""

    process: int
    state: str
    active: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """How it is: of one worker, or of all together (``quart_app.status.siblings``)."""

    state: str
    workers: list[Worker]
    endpoints: list[Endpoint]
    slots: list[str]
    active: int
    idle: int
    waiting: int
    maxsize: int
    connects: int
    connect_failures: int
    retried: int
    failed: int
    events: list[Event]
    sample: Sample | None


def snapshot(pool: Pool, history: History, *, draining: bool, process: int) -> Now:
    """How this process is now, by what is in memory."""
    stats = pool.stats()
    stalled = history.is_stalled(stats)
    state = state_of(stats, draining=draining, ready=pool.ready, stalled=stalled)
    waiting = stats.waiting
    return Now(
        state=state,
        workers=[Worker(process=process, state=state, active=stats.active, waiting=waiting)],
        endpoints=endpoints_of(pool, connected=stats.total > stats.connecting),
        slots=[slot.value for slot in pool.slot_states()],
        active=stats.active,
        idle=stats.idle,
        waiting=waiting,
        maxsize=stats.maxsize,
        connects=stats.connects,
        connect_failures=stats.connect_failures,
        retried=history.retried_count,
        failed=history.failed_count,
        events=list(history.events),
        sample=history.samples[-1] if history.samples else None,
    )


def state_of(stats: PoolStats, *, draining: bool, ready: bool, stalled: bool) -> str:
    """One word for it."""
    if draining:
        return "stopping"
    if ready and stats.waiting and stats.last_failure:
        return "healing"
    if ready:
        return "stalled" if stalled else "serving"
    return "away" if stats.last_failure or not stats.connecting else "connecting"


def endpoints_of(pool: Pool, *, connected: bool) -> list[Endpoint]:
    """The servers in the order of DATABASE_URL: in use, ready as a spare, or failing."""
    driver = pool.driver
    if not isinstance(driver, MySQLDriver):
        return []
    topology, now = driver.topology, pool.time()
    found = []
    for number, endpoint in enumerate(topology.endpoints, start=1):
        if topology.is_down(endpoint, now):
            state = "failing"
        elif endpoint == topology.current:
            state = "in use" if connected else "not connected"
        else:
            state = "spare"
        found.append(Endpoint(number=number, state=state))
    return found
