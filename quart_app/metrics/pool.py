"""The engine's metrics: what happens by its observer, how it stands by its stats.

By HikariCP's names, as far as it has them, under ``mysql_pool``.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from quart_app.metrics.tally import SECONDS, SIZES, BulkHistogram, Tally
from quart_app.mysql.errors import (
    AccessDenied,
    ConnectError,
    TLSRequired,
    TooManyConnections,
    UnknownDatabase,
)
from quart_app.mysql.observer import Observer, PoolStats

# An eviction's reason may carry an error's number. This many different ones have a series each.
MAX_REASONS = 40
OTHER = "other"
CONNECT_ERRORS = (ConnectError, AccessDenied, UnknownDatabase, TLSRequired, TooManyConnections)

GAUGES: dict[str, tuple[str, Callable[[PoolStats], float]]] = {
    "mysql_pool_connections": ("Connections there are.", lambda s: s.total - s.connecting),
    "mysql_pool_connections_active": ("Connections on loan.", lambda s: s.active),
    "mysql_pool_connections_idle": ("Connections free.", lambda s: s.idle),
    "mysql_pool_connections_connecting": ("Connections being made.", lambda s: s.connecting),
    "mysql_pool_connections_pending": ("Callers that wait for one.", lambda s: s.waiting),
    "mysql_pool_connections_max": ("The most there may be.", lambda s: s.maxsize),
    "mysql_pool_connections_min": ("Kept open while idle.", lambda s: s.minsize),
    "mysql_pool_ready": (
        "Workers whose pool has a connection.",
        lambda s: float(s.total > s.connecting),
    ),
}
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "mysql_pool_acquire_seconds": ("How long callers waited for a connection.", SECONDS),
    "mysql_pool_usage_seconds": ("How long connections were on loan.", SECONDS),
    "mysql_pool_creation_seconds": ("How long connecting took.", SECONDS),
    "mysql_pool_recovery_seconds": ("From the first failed connect to a good one.", SECONDS),
    "mysql_heal_seconds": ("How long requests took that met a fault and were healed.", SECONDS),
    "mysql_batch_size": ("Lookups that went out in one statement.", SIZES),
}
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mysql_pool_creation_failures": ("Connects that failed, by kind.", ("error",)),
    "mysql_pool_timeouts": ("Callers that gave up waiting.", ()),
    "mysql_pool_rejected": ("Callers turned away: too many waiting.", ()),
    "mysql_pool_evictions": ("Connections closed by the pool, by reason.", ("reason",)),
    "mysql_pool_leaks": ("Connections out for longer than leak_threshold.", ()),
    "mysql_pool_kills": ("Statements nobody waited for, ended on the server.", ("done",)),
    "mysql_retries": ("Work tried again, by phase and error.", ("phase", "error")),
}


class PoolMetrics(Observer):
    """An observer that counts. One for each pool *name* in *registry*."""

    def __init__(self, registry: CollectorRegistry, *, name: str) -> None:
        self._name = name
        self._reasons = {"lost", "ping failed"}
        self._gauges = [
            (_gauge(registry, key, text).labels(name), read) for key, (text, read) in GAUGES.items()
        ]
        tallies = {
            key: _tally(registry, key, text, bounds, name)
            for key, (text, bounds) in HISTOGRAMS.items()
        }
        self._tallies = list(tallies.values())
        self._counters = {
            key: Counter(key, text, ["pool", *labels], registry=registry)
            for key, (text, labels) in COUNTERS.items()
        }
        self._declare()
        self._acquire = tallies["mysql_pool_acquire_seconds"].observe
        self._usage = tallies["mysql_pool_usage_seconds"].observe
        self._creation = tallies["mysql_pool_creation_seconds"].observe
        self._recovery = tallies["mysql_pool_recovery_seconds"].observe
        self._heal = tallies["mysql_heal_seconds"].observe
        self._batch = tallies["mysql_batch_size"].observe

    def refresh(self, stats: PoolStats) -> None:
        """Bring the gauges up to date with *stats*, and the histograms with what was counted."""
        for gauge, read in self._gauges:
            gauge.set(read(stats))
        for tally in self._tallies:
            tally.flush()

    def _declare(self) -> None:
        """Have series at zero: of one that begins at one Prometheus sees no increase."""
        known = {
            "mysql_pool_creation_failures": [kind.__name__ for kind in CONNECT_ERRORS],
            "mysql_pool_evictions": sorted(self._reasons),
            "mysql_pool_kills": ["true", "false"],
        }
        for key, (_, labels) in COUNTERS.items():
            for value in known.get(key, []):
                self._counters[key].labels(self._name, value)
            if not labels:
                self._counters[key].labels(self._name)

    def _count(self, key: str, *labels: str) -> None:
        self._counters[key].labels(self._name, *labels).inc()

    # -- on the path of every request ---------------------------------------------------------

    def acquired(self, *, waited: float) -> None:
        self._acquire(waited)

    def released(self, *, used: float) -> None:
        self._usage(used)

    def batched(self, *, size: int) -> None:
        self._batch(size)

    # -- rare ---------------------------------------------------------------------------------

    def connected(self, *, took: float) -> None:
        self._creation(took)

    def recovered(self, *, after: float) -> None:
        self._recovery(after)

    def healed(self, *, after: float, error: Exception) -> None:
        del error  # by kind they are in mysql_retries
        self._heal(after)

    def connect_failed(self, *, error: Exception, took: float) -> None:
        del took  # of failures only their number says something
        self._count("mysql_pool_creation_failures", type(error).__name__)

    def evicted(self, *, reason: str) -> None:
        if reason not in self._reasons and len(self._reasons) >= MAX_REASONS:
            reason = OTHER
        self._reasons.add(reason)
        self._count("mysql_pool_evictions", reason)

    def timed_out(self, *, waited: float) -> None:
        del waited
        self._count("mysql_pool_timeouts")

    def rejected(self) -> None:
        self._count("mysql_pool_rejected")

    def leaked(self, *, held: float, trace: str) -> None:
        del held, trace
        self._count("mysql_pool_leaks")

    def killed(self, *, done: bool) -> None:
        self._count("mysql_pool_kills", str(done).lower())

    def retried(self, *, phase: str, attempt: int, waited: float, error: Exception) -> None:
        del attempt, waited
        self._count("mysql_retries", phase, type(error).__name__)


def _gauge(registry: CollectorRegistry, key: str, text: str) -> Gauge:
    # The sum over the workers that live: each has a pool of its own.
    return Gauge(key, text, ["pool"], registry=registry, multiprocess_mode="livesum")


def _tally(
    registry: CollectorRegistry, key: str, text: str, bounds: tuple[float, ...], name: str
) -> Tally:
    histogram = BulkHistogram(key, text, ["pool"], buckets=bounds, registry=registry)
    return Tally(histogram.labels(name), bounds)
