"""What several workers look like together."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from quart_app.metrics_folder import FOLDER, forget_worker, shared_folder, status_file
from quart_app.status.history import SAMPLES, Event, Mood, Sample
from quart_app.status.siblings import FORGOTTEN, SILENT, Siblings, View, past, together
from quart_app.status.snapshot import Endpoint, Now, Worker
from tests.unit.status.test_history import Clock


def sample(at: float = 1000.0, requests: int = 10, median: float | None = 0.1) -> Sample:
    slowest = None if median is None else median * 2
    counts = {"active": 1, "waiting": 2, "connections": 3}
    return Sample(at=at, requests=requests, failed=1, median=median, slowest=slowest, **counts)


def now(process: int, state: str = "serving", **other: object) -> Now:
    given: dict[str, object] = {
        "state": state,
        "workers": [Worker(process=process, state=state, active=1, waiting=0)],
        "endpoints": [Endpoint(number=1, state="in use"), Endpoint(number=2, state="spare")],
        "slots": ["in use", "idle"],
        "events": [],
        "sample": sample(),
        **other,
    }
    numbers = ("active", "idle", "waiting", "maxsize", "connects", "connect_failures", "retried")
    return Now(**{**dict.fromkeys((*numbers, "failed"), 2), **given})  # type: ignore[arg-type] # by name


def view(process: int, at: float, *, samples: Sequence[Sample] = ()) -> View:
    return View(at=at, now=now(process), samples=list(samples))


def event(at: float, text: str) -> Event:
    return Event(at=at, text=text, mood=Mood.GOOD)


def test_one_worker_is_told_as_it_is() -> None:
    alone = now(1, events=[event(1.0, "healed")])
    assert together([alone]) == alone
    assert past([[sample(1.0), sample(2.0)]]) == [sample(1.0), sample(2.0)]


def test_counts_are_added_up() -> None:
    both = together([now(1), now(2)])
    assert [worker.process for worker in both.workers] == [1, 2]
    assert both.slots == ["in use", "idle"] * 2
    assert (both.active, both.maxsize, both.retried, both.failed) == (4, 4, 4, 4)
    assert both.sample is not None
    assert (both.sample.requests, both.sample.connections) == (20, 6)


@pytest.mark.parametrize("worse", ["healing", "stalled", "silent", "away", "stopping"])
def test_worst_state_is_told(worse: str) -> None:
    assert together([now(1), now(2, worse), now(3)]).state == worse


def test_worst_of_each_endpoint_is_told() -> None:
    moved = [Endpoint(number=1, state="failing"), Endpoint(number=2, state="in use")]
    told = together([now(1), now(2, endpoints=moved)]).endpoints
    assert [(one.number, one.state) for one in told] == [(1, "failing"), (2, "in use")]


def test_events_of_all_come_newest_first() -> None:
    one, two = now(1, events=[event(3.0, "c"), event(1.0, "a")]), now(2, events=[event(2.0, "b")])
    assert [one.text for one in together([one, two]).events] == ["c", "b", "a"]


def test_what_all_met_at_once_is_one_event() -> None:
    one = now(1, events=[event(30.0, "lost"), event(5.0, "lost")])
    told = together([one, now(2, events=[event(29.0, "lost"), event(29.5, "other")])]).events
    assert [(one.at, one.text, one.count) for one in told] == [
        (30.0, "lost", 2),
        (29.5, "other", 1),
        (5.0, "lost", 1),
    ]


def test_median_is_weighted_by_requests_and_the_slowest_is_the_slowest() -> None:
    busy, quiet = sample(requests=30, median=0.1), sample(requests=10, median=0.5)
    nothing = sample(requests=0, median=None)
    told = together([now(1, sample=busy), now(2, sample=quiet), now(3, sample=nothing)]).sample
    assert told is not None
    assert told.median == pytest.approx(0.2)
    assert told.slowest == 1.0


def test_without_requests_there_is_no_median() -> None:
    nothing = sample(requests=0, median=None)
    told = together([now(1, sample=nothing), now(2, sample=None)]).sample
    assert told is not None
    assert (told.median, told.slowest) == (None, None)
    assert together([now(1, sample=None), now(2, sample=None)]).sample is None


def test_past_is_added_second_by_second_but_for_the_newest() -> None:
    one = [sample(1000.1), sample(1001.1), sample(1002.1)]
    two = [sample(1001.9), sample(1002.9)]
    assert [(one.at, one.requests) for one in past([one, two])] == [(1000.1, 10), (1001.9, 20)]


def test_past_is_bounded() -> None:
    assert len(past([[sample(float(at)) for at in range(2 * SAMPLES)], []])) == SAMPLES


def test_each_tells_of_all(tmp_path: Path) -> None:
    clock = Clock()
    one, two = (Siblings(tmp_path, process=number, clock=clock) for number in (1, 2))
    one.tell(view(1, clock.now))
    assert [file.name for file in tmp_path.iterdir()] == ["status.1.json"]
    two.tell(view(2, clock.now))
    told = two.with_others(view(2, clock.now))
    assert [worker.process for worker in told.now.workers] == [1, 2]
    assert told == one.with_others(view(1, clock.now))


def test_worker_without_news_is_said_to_be_held_up(tmp_path: Path) -> None:
    clock = Clock()
    Siblings(tmp_path, process=1, clock=clock).tell(view(1, clock.now))
    clock.now += SILENT
    told = Siblings(tmp_path, process=2, clock=clock).with_others(view(2, clock.now)).now
    assert told.state == "silent"
    assert [worker.state for worker in told.workers] == ["silent", "serving"]
    assert told.sample == sample()  # its own alone
    clock.now += FORGOTTEN
    told = Siblings(tmp_path, process=2, clock=clock).with_others(view(2, clock.now)).now
    assert len(told.workers) == 1


def test_worker_that_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for number in (1, 2):
        Siblings(tmp_path, process=number).tell(view(number, 0.0))
    forget_worker(1)
    assert [file.name for file in tmp_path.iterdir()] == ["status.2.json"]
    with shared_folder():  # of another start
        assert not list(tmp_path.iterdir())


def test_worker_that_ends_just_now_is_left_out(tmp_path: Path) -> None:
    status_file(tmp_path, 1).symlink_to(tmp_path / "gone")
    told = Siblings(tmp_path, process=2).with_others(view(2, 0.0))
    assert len(told.now.workers) == 1


def test_alone_nothing_is_left_anywhere() -> None:
    alone = Siblings(None, process=1)
    alone.tell(view(1, 0.0))
    assert alone.with_others(view(1, 0.0)) == view(1, 0.0)
