"""Metrics of HTTP: requests by route template, method and status, and problems by type."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from quart_app.metrics.tally import SECONDS, BulkHistogram, Tally

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER = "other"
NO_ROUTE = "none"
FIRST_SERVER_ERROR = 500


class Interval:
    """The requests of some stretch of time, of all routes together."""

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self.failed = 0

    def add(self, counts: Sequence[int], *, failed: bool) -> None:
        """Add counts by bucket."""
        self._counts = [one + other for one, other in zip(self._counts, counts, strict=True)]
        self.failed += sum(counts) if failed else 0

    @property
    def count(self) -> int:
        """How many requests."""
        return sum(self._counts)

    def quantile(self, share: float) -> float | None:
        """Tell what *share* of them took at most, as near as buckets tell; None of none."""
        rank, below = share * self.count, 0
        if not self.count:
            return None
        for count, low, high in zip(
            self._counts, (0.0, *SECONDS), (*SECONDS, SECONDS[-1]), strict=True
        ):
            if count and below + count >= rank:
                return low + (high - low) * (rank - below) / count
            below += count
        raise AssertionError("unreachable")


class RequestMetrics:
    """Counts requests; the template of a route is a label, never the path that was asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = BulkHistogram(
            "http_request_duration_seconds",
            "How long requests took, until their answer began.",
            ["method", "route", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self._problems = Counter(
            "http_problems", "Answers that are problems, by type.", ["type"], registry=registry
        )
        self._replayed = Counter(
            "http_idempotent_replays",
            "Requests answered with the stored answer to their Idempotency-Key.",
            registry=registry,
        )
        self._in_progress = Gauge(
            "http_requests_in_progress",
            "Requests being handled.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._lag = BulkHistogram(
            "event_loop_lag_seconds",
            "How late the event loop was, looked at once a second.",
            buckets=SECONDS,
            registry=registry,
        )
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._late = Tally(self._lag)
        self._interval = Interval()
        self.active = 0

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request. *route* is its template, None if no route fitted."""
        key = (method, route or NO_ROUTE, status)
        tally = self._tallies.get(key) or self._tally(key)
        tally.observe(seconds)

    def declare_problems(self, kinds: Iterable[str]) -> None:
        """Have series at zero: of one that begins at one Prometheus sees no increase."""
        for kind in kinds:
            self._problems.labels(kind)

    def problem(self, kind: str) -> None:
        """Count a problem that was answered."""
        self._problems.labels(kind).inc()

    def replayed(self) -> None:
        """Count an answer that was given before."""
        self._replayed.inc()

    def lagged(self, seconds: float) -> None:
        """Count how late the loop was."""
        self._late.observe(seconds)

    def refresh(self) -> None:
        """Hand over what was counted."""
        self._in_progress.set(self.active)
        self._late.flush()
        for (_, _, status), tally in self._tallies.items():
            self._interval.add(tally.flush(), failed=status >= FIRST_SERVER_ERROR)

    def take_interval(self) -> "Interval":
        """Tell what was handed over since this was last asked."""
        taken, self._interval = self._interval, Interval()
        return taken

    def _tally(self, key: tuple[str, str, int]) -> Tally:
        method, route, status = key
        if method not in METHODS:  # a client may make up as many as it likes
            key = (OTHER, route, status)
        if key not in self._tallies:
            self._tallies[key] = Tally(self._duration.labels(key[0], route, str(status)))
        return self._tallies[key]
