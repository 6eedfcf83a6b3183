"""Metrics of the whole program: one page for all workers."""

import hashlib
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.program import Program

TOKEN = "made up"  # noqa: S105 # of the test's own server
SETTINGS = {"QUART_APP_TOKENS": f"ops:{hashlib.sha256(TOKEN.encode()).hexdigest()}"}
REQUESTS = 40


def read(url: str) -> dict[str, float]:
    """The samples by name, labels summed up."""
    page = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


@pytest.mark.parametrize("workers", [1, 2])
def test_page_tells_of_all_workers(seeded_url: str, tmp_path: Path, workers: int) -> None:
    settings = {**SETTINGS, "DATABASE_URL": seeded_url, "QUART_APP_WORKERS": str(workers)}
    folder = {"TMPDIR": str(tmp_path)}
    with Program(tmp_path, settings={**settings, **folder}) as program:
        program.wait_until("/health/ready", 200)  # of one worker: others may begin later
        while read(program.url).get("mysql_pool_ready") != workers:
            pass  # a worker hands its numbers over once a second
        for _ in range(REQUESTS):  # each on a connection of its own: any worker may take it
            httpx.get(f"{program.url}/", params={"city": "London"})
        while True:
            found = read(program.url)
            handed_over = found["http_request_duration_seconds_count"] > REQUESTS
            if handed_over and found["mysql_pool_acquire_seconds_count"] >= REQUESTS:
                break
        assert found["mysql_pool_connections_max"] == 10 * workers
        assert found["mysql_pool_ready"] == workers
        assert found["http_request_duration_seconds_count"] > REQUESTS
        program.terminate()
        assert program.wait() == 0
    assert list(tmp_path.glob("quart-app-metrics-*")) == []
