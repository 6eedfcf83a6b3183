"""Histograms that cost a request next to nothing.

prometheus-client takes about 2 us for an observation, and there are several in each request. A
Tally counts in a plain list and hands the counts over in bulk, once a second.
"""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import Histogram

# Seconds: a lookup takes a tenth of a millisecond, a request may take ten seconds.
SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class BulkHistogram(Histogram):
    """A Histogram that many observations can be added to at once."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add *counts*, one for each bucket and the last for what is above, summing to *total*."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class Tally:
    """Counts by bucket, until they are taken over by *histogram*, a child with all its labels."""

    __slots__ = ("_bounds", "_counts", "_histogram", "_total")

    def __init__(self, histogram: BulkHistogram, bounds: Sequence[float] = SECONDS) -> None:
        self._histogram = histogram
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count *value* in the first bucket whose bound is not less."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def flush(self) -> list[int]:
        """Hand over what was counted since the last time, and return those counts."""
        counts = self._counts
        if any(counts):
            self._histogram.add(counts, self._total)
            self._counts = [0] * len(counts)
            self._total = 0.0
            return counts
        return [0] * len(counts)
