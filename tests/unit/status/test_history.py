"""What the page keeps of the past."""

from quart_app.metrics.requests import Interval
from quart_app.metrics.tally import SECONDS
from quart_app.mysql.errors import ConnectError, ConnectionLost
from quart_app.status.history import EVENTS, SAMPLES, History, Mood
from quart_app.status.snapshot import state_of
from tests.unit.metrics.test_metrics import stats

LOST = ConnectionLost("secret host", sent=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def interval(count: int, *, failed: bool = False) -> Interval:
    made = Interval()
    made.add([count] + [0] * len(SECONDS), failed=failed)
    return made


def test_same_thing_counts_up_and_comes_first() -> None:
    clock = Clock()
    history = History(clock=clock)
    history.connect_failed(error=ConnectError("x"), took=1.0)
    history.recovered(after=2.0)
    clock.now += 5
    history.connect_failed(error=ConnectError("y"), took=3.0)
    assert [(event.text, event.count) for event in history.events] == [
        ("could not connect: ConnectError", 2),
        ("the database is back", 1),
    ]
    assert history.events[0].at == 1005.0
    assert history.events[0].detail == "in 3.00 s"


def test_same_thing_later_is_another_event() -> None:
    clock = Clock()
    history = History(clock=clock)
    history.rejected()
    clock.now += 60
    history.rejected()
    assert [event.count for event in history.events] == [1, 1]


def test_errors_are_named_and_never_quoted() -> None:
    history = History()
    history.healed(after=0.1, error=LOST)
    history.retried(phase="statement", attempt=2, waited=0.0, error=LOST)
    history.connect_failed(error=LOST, took=0.1)
    history.leaked(held=60.0, trace="secret place")
    assert "secret" not in repr(history.events)
    assert history.retried_count == 1  # healing is told of by each try, too


def test_everyday_evictions_are_no_events() -> None:
    history = History()
    history.evicted(reason="pool_recycle")
    history.evicted(reason="lost")
    assert [event.text for event in history.events] == ["connection closed: lost"]


def test_every_kind_has_its_mood() -> None:
    history = History()
    history.killed(done=True)
    history.killed(done=False)
    history.timed_out(waited=5.0)
    history.sample(stats(), interval(3, failed=True))
    moods = [event.mood for event in history.events]
    assert moods == [Mood.BAD, Mood.BAD, Mood.BAD, Mood.GOOD]
    assert history.failed_count == 3


def test_past_is_bounded() -> None:
    history = History(clock=Clock())
    for number in range(SAMPLES + EVENTS):
        history.sample(stats(), interval(1))
        history.evicted(reason=f"reason {number}")
    assert len(history.samples) == SAMPLES
    assert len(history.events) == EVENTS


def test_stalled_is_work_without_answers() -> None:
    history = History()
    busy, free = stats(active=2), stats(active=0)
    assert not history.is_stalled(busy)
    history.sample(busy, interval(0))
    history.sample(busy, interval(0))
    assert history.is_stalled(busy)
    assert not history.is_stalled(free)
    history.sample(busy, interval(1))
    assert not history.is_stalled(busy)


def test_state_in_one_word() -> None:
    def word(*, draining: bool = False, ready: bool = True, stalled: bool = False) -> str:
        return state_of(stats(), draining=draining, ready=ready, stalled=stalled)

    assert word() == "serving"
    assert word(draining=True) == "stopping"
    assert word(stalled=True) == "stalled"
    assert word(ready=False) == "connecting"
    nothing = stats(total=0, active=0, connecting=0)
    assert state_of(nothing, draining=False, ready=False, stalled=False) == "away"
