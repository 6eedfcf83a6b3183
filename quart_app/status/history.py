"""What the page shows of the past: a sample each second, and the last things that happened.

Of errors only the kind is kept: no text, no address, no statement.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import time

from quart_app.metrics.requests import Interval
from quart_app.mysql.observer import Observer, PoolStats

SAMPLES = 180
EVENTS = 40
# The same thing again within this many seconds counts up instead of filling the list.
TOGETHER = 10.0
STALLED_SAMPLES = 2
QUIET_EVICTIONS = frozenset(("pool_recycle", "max_lifetime", "closed", "drained", "cleared"))


class Mood(Enum):
    """GOOD: healed, or a promise kept. BAD: somebody got less than they wanted."""

    GOOD = "good"
    NEUTRAL = "neutral"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened *count* times, last at *at* (seconds since 1970)."""

    at: float
    text: str
    mood: Mood
    detail: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One second. Times in seconds, None where nothing was asked."""

    at: float
    requests: int
    failed: int
    median: float | None
    slowest: float | None
    active: int
    waiting: int
    connections: int


class History(Observer):
    """Listens to the engine; ``sample()`` is called once a second."""

    def __init__(self, *, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.retried_count = 0
        self.failed_count = 0

    def sample(self, stats: PoolStats, interval: Interval) -> None:
        """Note how this second was."""
        self.failed_count += interval.failed
        self.samples.append(
            Sample(
                at=self._clock(),
                requests=interval.count,
                failed=interval.failed,
                median=interval.quantile(0.5),
                slowest=interval.quantile(0.99),
                active=stats.active,
                waiting=stats.waiting,
                connections=stats.total - stats.connecting,
            )
        )
        if interval.failed:
            self._note("requests answered with a server error", Mood.BAD, count=interval.failed)

    def is_stalled(self, stats: PoolStats) -> bool:
        """Whether connections are out, and nothing was answered for a while."""
        last = list(self.samples)[-STALLED_SAMPLES:]
        return (
            stats.active > 0
            and len(last) == STALLED_SAMPLES
            and not any(sample.requests for sample in last)
        )

    def healed(self, *, after: float, error: Exception) -> None:
        self._note(
            f"request healed after {type(error).__name__}", Mood.GOOD, detail=f"in {after:.2f} s"
        )

    def recovered(self, *, after: float) -> None:
        self._note("the database is back", Mood.GOOD, detail=f"after {after:.2f} s")

    def connect_failed(self, *, error: Exception, took: float) -> None:
        self._note(
            f"could not connect: {type(error).__name__}", Mood.BAD, detail=f"in {took:.2f} s"
        )

    def evicted(self, *, reason: str) -> None:
        if reason not in QUIET_EVICTIONS:
            self._note(f"connection closed: {reason}", Mood.NEUTRAL)

    def timed_out(self, *, waited: float) -> None:
        self._note("a caller gave up waiting", Mood.BAD, detail=f"after {waited:.2f} s")

    def rejected(self) -> None:
        self._note("a caller was turned away: too many wait", Mood.BAD)

    def leaked(self, *, held: float, trace: str) -> None:
        del trace
        self._note("a handler keeps a connection", Mood.BAD, detail=f"for {held:.0f} s")

    def killed(self, *, done: bool) -> None:
        text = "ended on the server" if done else "could not be ended on the server"
        self._note(f"an abandoned statement {text}", Mood.GOOD if done else Mood.BAD)

    def retried(self, *, phase: str, attempt: int, waited: float, error: Exception) -> None:
        del attempt, waited
        self.retried_count += 1
        self._note(f"tried again after {type(error).__name__} ({phase})", Mood.NEUTRAL)

    def _note(self, text: str, mood: Mood, *, detail: str = "", count: int = 1) -> None:
        now = self._clock()
        for event in self.events:
            if event.text == text and now - event.at < TOGETHER:
                self.events.remove(event)
                count += event.count
                break
        self.events.appendleft(Event(at=now, text=text, mood=mood, detail=detail, count=count))
