"""All metrics of one app, brought up to date once a second."""

import asyncio
import logging
import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from quart_app.metrics.pool import PoolMetrics
from quart_app.metrics.requests import RequestMetrics
from quart_app.metrics_folder import FOLDER
from quart_app.mysql.observer import PoolStats

INTERVAL = 1.0
log = logging.getLogger("quart_app.metrics")


class Metrics:
    """The metrics of an app and its pool *name*."""

    def __init__(self, *, name: str) -> None:
        self._registry = CollectorRegistry()
        self.pool = PoolMetrics(self._registry, name=name)
        self.requests = RequestMetrics(self._registry)
        # Told once a second, after everything was brought up to date.
        self.listeners: list[Callable[[PoolStats], None]] = []
        ProcessCollector(registry=self._registry)

    def refresh(self, stats: PoolStats) -> None:
        """Bring everything up to date."""
        self.pool.refresh(stats)
        self.requests.refresh()

    def page(self) -> bytes:
        """The text for Prometheus: of this process, or of all workers that share a folder."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call] # theirs is untyped
        return generate_latest(everybody)

    async def keep_fresh(self, stats: Callable[[], PoolStats]) -> None:
        """Refresh once a second, and see how late the loop is. Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.requests.lagged(max(0.0, loop.time() - due))
            try:
                self._tick(stats())
            except Exception:  # a full disk must not end it
                log.exception("metrics could not be refreshed")

    def _tick(self, stats: PoolStats) -> None:
        self.refresh(stats)
        for listener in self.listeners:
            listener(stats)
