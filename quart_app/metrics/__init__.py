"""What Prometheus is told, counted so that a request hardly notices. Knows no Quart."""

from quart_app.metrics.metrics import Metrics
from quart_app.metrics.observers import Observers

__all__ = ["Metrics", "Observers"]
