"""What is counted, and what Prometheus reads of it."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from quart_app.metrics import Metrics
from quart_app.metrics.observers import Observers
from quart_app.metrics.pool import MAX_REASONS, PoolMetrics
from quart_app.metrics.requests import Interval, RequestMetrics
from quart_app.metrics.tally import SECONDS, BulkHistogram, Tally
from quart_app.mysql.errors import ConnectError, ConnectionLost
from quart_app.mysql.observer import Observer, PoolStats
from tests.support import virtual


def stats(*, active: int = 2, total: int = 4, connecting: int = 1) -> PoolStats:
    return PoolStats(
        name="mysql",
        minsize=1,
        maxsize=10,
        total=total,
        active=active,
        idle=1,
        waiting=3,
        connecting=connecting,
        generation=0,
        acquired=0,
        released=0,
        waited=0,
        wait_seconds=0.0,
        usage_seconds=0.0,
        timeouts=0,
        rejected=0,
        connects=0,
        connect_failures=0,
        connect_seconds=0.0,
        pings=0,
        resets=0,
        kills=0,
        leaks=0,
    )


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.lists(st.floats(0, 20) | st.sampled_from(SECONDS)))
def test_tally_counts_as_prometheus_does(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bulk = BulkHistogram("h", "text", ["x"], buckets=SECONDS, registry=ours)
    plain = Histogram("h", "text", ["x"], buckets=SECONDS, registry=theirs).labels("a")
    tally = Tally(bulk.labels("a"))
    for number, value in enumerate(values):
        tally.observe(value)
        plain.observe(value)
        if number % 7 == 0:
            tally.flush()
    tally.flush()
    mine, other = samples(ours), samples(theirs)
    assert mine.keys() >= {key for key in other if not key[0].endswith("_created")}
    for key, value in other.items():
        if not key[0].endswith("_created"):
            assert mine[key] == pytest.approx(value)


def test_flush_tells_what_is_new() -> None:
    histogram = BulkHistogram("h", "text", buckets=(1.0, 2.0), registry=CollectorRegistry())
    tally = Tally(histogram, (1.0, 2.0))
    tally.observe(1.0)
    tally.observe(3.0)
    assert tally.flush() == [1, 0, 1]
    assert tally.flush() == [0, 0, 0]


def test_pool_events_are_counted() -> None:
    registry = CollectorRegistry()
    observer = PoolMetrics(registry, name="mysql")
    observer.acquired(waited=0.002)
    observer.released(used=0.003)
    observer.connected(took=0.01)
    observer.connect_failed(error=ConnectError("no"), took=3.0)
    observer.evicted(reason="lost")
    observer.timed_out(waited=5.0)
    observer.rejected()
    observer.leaked(held=61.0, trace="where it was borrowed")
    observer.killed(done=True)
    observer.retried(phase="statement", attempt=2, waited=0.0, error=ConnectionLost(sent=True))
    observer.batched(size=7)
    observer.recovered(after=1.5)
    observer.healed(after=0.2, error=ConnectionLost(sent=True))
    observer.refresh(stats())
    found = samples(registry)
    counted = {
        ("mysql_pool_acquire_seconds_sum", "mysql"): 0.002,
        ("mysql_pool_usage_seconds_sum", "mysql"): 0.003,
        ("mysql_pool_creation_seconds_sum", "mysql"): 0.01,
        ("mysql_pool_creation_failures_total", "ConnectError", "mysql"): 1,
        ("mysql_pool_timeouts_total", "mysql"): 1,
        ("mysql_pool_rejected_total", "mysql"): 1,
        ("mysql_pool_leaks_total", "mysql"): 1,
        ("mysql_batch_size_sum", "mysql"): 7,
        ("mysql_pool_recovery_seconds_sum", "mysql"): 1.5,
        ("mysql_heal_seconds_sum", "mysql"): 0.2,
    }
    names = {key[0] for key in found}
    for key, value in counted.items():
        match = [v for k, v in found.items() if k[0] == key[0] and set(k) == set(key)]
        assert match == [pytest.approx(value)], key
    assert {"mysql_pool_evictions_total", "mysql_pool_kills_total", "mysql_retries_total"} <= names


def test_gauges_are_the_pools_own_numbers() -> None:
    registry = CollectorRegistry()
    observer = PoolMetrics(registry, name="mysql")
    observer.refresh(stats())
    found = samples(registry)
    assert found["mysql_pool_connections", "mysql"] == 3
    assert found["mysql_pool_connections_active", "mysql"] == 2
    assert found["mysql_pool_connections_idle", "mysql"] == 1
    assert found["mysql_pool_connections_pending", "mysql"] == 3
    assert found["mysql_pool_connections_max", "mysql"] == 10
    assert found["mysql_pool_ready", "mysql"] == 1
    observer.refresh(stats(total=1, connecting=1))
    assert samples(registry)["mysql_pool_ready", "mysql"] == 0


def test_reasons_do_not_grow_without_end() -> None:
    registry = CollectorRegistry()
    observer = PoolMetrics(registry, name="mysql")
    for number in range(MAX_REASONS * 2):
        observer.evicted(reason=f"error {number}")
    found = {k: v for k, v in samples(registry).items() if k[0] == "mysql_pool_evictions_total"}
    assert len(found) == MAX_REASONS + 1
    assert sum(found.values()) == MAX_REASONS * 2


def test_routes_and_methods_do_not_grow_without_end() -> None:
    registry = CollectorRegistry()
    requests = RequestMetrics(registry)
    for number in range(100):
        requests.answered(f"MADE-UP-{number}", None, 405, 0.001)
    requests.answered("GET", "/cities/{city_id}", 200, 0.002)
    requests.refresh()
    counts = {
        key[1:]: value
        for key, value in samples(registry).items()
        if key[0] == "http_request_duration_seconds_count"
    }
    assert counts == {("other", "none", "405"): 100, ("GET", "/cities/{city_id}", "200"): 1}


def test_interval_tells_rate_errors_and_quantiles() -> None:
    requests = RequestMetrics(CollectorRegistry())
    for _ in range(98):
        requests.answered("GET", "/", 200, 0.002)
    requests.answered("GET", "/", 503, 2.0)
    requests.answered("POST", "/x", 500, 2.0)
    requests.refresh()
    interval = requests.take_interval()
    assert (interval.count, interval.failed) == (100, 2)
    median, last = interval.quantile(0.5), interval.quantile(0.99)
    assert median is not None
    assert 0.001 < median <= 0.0025
    assert last is not None
    assert 1.0 < last <= 2.5
    assert requests.take_interval().count == 0
    assert Interval().quantile(0.5) is None


@given(st.lists(st.integers(0, 50), min_size=len(SECONDS) + 1, max_size=len(SECONDS) + 1))
def test_quantiles_rise(counts: list[int]) -> None:
    interval = Interval()
    interval.add(counts, failed=False)
    found = [interval.quantile(share) for share in (0.01, 0.5, 0.9, 0.99, 1.0)]
    numbers = [value for value in found if value is not None]
    assert len(numbers) in (0, 5)
    assert numbers == sorted(numbers)
    assert all(0 <= number <= SECONDS[-1] for number in numbers)
    assert not any(map(math.isnan, numbers))


class Listener(Observer):
    def __init__(self) -> None:
        self.heard: list[float] = []

    def recovered(self, *, after: float) -> None:
        self.heard.append(after)


def test_several_observers_hear_the_same() -> None:
    one, other = Listener(), Listener()
    both = Observers(one, other)
    both.recovered(after=1.0)
    both.rejected()
    assert one.heard == other.heard == [1.0]


def test_event_with_one_listener_costs_no_detour() -> None:
    one = Listener()
    assert Observers(one, Observer()).recovered == one.recovered


def test_metrics_are_refreshed_each_second_and_survive_a_fault() -> None:
    asked = 0

    def failing_once() -> PoolStats:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise OSError
        return stats(active=asked)

    async def work() -> bytes:
        metrics = Metrics(name="mysql")
        task = asyncio.create_task(metrics.keep_fresh(failing_once))
        await asyncio.sleep(3.5)
        task.cancel()
        return metrics.page()

    page = virtual.run(work()).decode()
    assert asked == 3
    assert 'mysql_pool_connections_active{pool="mysql"} 3.0' in page
