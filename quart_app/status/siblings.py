"""All workers of one start as one: whichever is asked tells of all of them.

Once a second each leaves how it is in the folder that they share; whoever is asked adds it up. Of
quantiles there is no sum: the median shown is the mean of the workers' medians, weighted by their
requests, and "99 % under" is the highest of theirs.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from pathlib import Path
from time import time

import msgspec

from quart_app.metrics_folder import FOLDER, status_file
from quart_app.status.history import EVENTS, SAMPLES, TOGETHER, Event, Sample
from quart_app.status.snapshot import Endpoint, Now

# The best first. Of all together the worst is told.
STATES = ("serving", "connecting", "healing", "stalled", "silent", "away", "stopping")
ENDPOINT_STATES = ("spare", "in use", "not connected", "failing")
# A worker that has left no news for this many seconds is held up.
SILENT = 4.0
# One without news for this long has ended, and nobody said so: of another start in the same folder.
FORGOTTEN = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a worker, or all of them, is and was. *at*: seconds since 1970."""

    at: float
    now: Now
    samples: list[Sample]


class Siblings:
    """The workers beside this one, known by what each left in *folder*; none without a folder."""

    def __init__(
        self, folder: Path | None, *, process: int, clock: Callable[[], float] = time
    ) -> None:
        self._folder = folder
        self._process = process
        self._clock = clock

    def tell(self, own: View) -> None:
        """Leave *own* for the others, whole at any time."""
        if self._folder is not None:
            made = self._folder / f"status.{self._process}.new"
            made.write_bytes(msgspec.json.encode(own))
            made.replace(status_file(self._folder, self._process))

    def with_others(self, own: View) -> View:
        """Add all others to *own*."""
        views = sorted((own, *self._others()), key=lambda view: view.now.workers[0].process)
        return View(
            at=own.at,
            now=together([view.now for view in views]),
            samples=past([view.samples for view in views]),
        )

    def _others(self) -> Iterator[View]:
        if self._folder is None:
            return
        own = status_file(self._folder, self._process)
        for file in set(self._folder.glob(status_file(Path(), "*").name)) - {own}:
            try:
                view = msgspec.json.decode(file.read_bytes(), type=View)
            except FileNotFoundError:  # it has just ended
                continue
            age = self._clock() - view.at
            if age < FORGOTTEN:
                yield view if age < SILENT else _silent(view)


def siblings_of_this_start() -> Siblings:
    """Those that the environment names."""
    folder = os.environ.get(FOLDER)
    return Siblings(Path(folder) if folder else None, process=os.getpid())


def together(views: Sequence[Now]) -> Now:
    """How all are, by how each is."""
    last = [view.sample for view in views if view.sample is not None]
    return Now(
        state=max((view.state for view in views), key=STATES.index),
        workers=[worker for view in views for worker in view.workers],
        endpoints=[_worst(each) for each in zip(*(view.endpoints for view in views), strict=True)],
        slots=[slot for view in views for slot in view.slots],
        active=sum(view.active for view in views),
        idle=sum(view.idle for view in views),
        waiting=sum(view.waiting for view in views),
        maxsize=sum(view.maxsize for view in views),
        connects=sum(view.connects for view in views),
        connect_failures=sum(view.connect_failures for view in views),
        retried=sum(view.retried for view in views),
        failed=sum(view.failed for view in views),
        events=_told_once(event for view in views for event in view.events)[:EVENTS],
        sample=_sum(last) if last else None,
    )


def past(histories: Sequence[Sequence[Sample]]) -> list[Sample]:
    """Add the samples of each second, the oldest first, but for the newest: not all have told of it."""
    if len(histories) == 1:
        return list(histories[0])
    by_second: dict[int, list[Sample]] = {}
    for sample in chain.from_iterable(histories):
        by_second.setdefault(int(sample.at), []).append(sample)
    return [_sum(by_second[second]) for second in sorted(by_second)[:-1]][-SAMPLES:]


def _told_once(events: Iterable[Event]) -> list[Event]:
    """The newest first; what several workers met at about the same time is one."""
    told: list[Event] = []
    for event in sorted(events, key=attrgetter("at"), reverse=True):
        for place, newer in enumerate(told):
            if newer.text == event.text and newer.at - event.at < TOGETHER:
                told[place] = replace(newer, count=newer.count + event.count)
                break
        else:
            told.append(event)
    return told


def _sum(samples: Sequence[Sample]) -> Sample:
    asked = [(sample.median, sample.requests) for sample in samples if sample.median is not None]
    requests = sum(sample.requests for sample in samples)
    return Sample(
        at=max(sample.at for sample in samples),
        requests=requests,
        failed=sum(sample.failed for sample in samples),
        median=sum(median * count for median, count in asked) / requests if asked else None,
        slowest=max(
            (sample.slowest for sample in samples if sample.slowest is not None), default=None
        ),
        active=sum(sample.active for sample in samples),
        waiting=sum(sample.waiting for sample in samples),
        connections=sum(sample.connections for sample in samples),
    )


def _worst(endpoints: Sequence[Endpoint]) -> Endpoint:
    return max(endpoints, key=lambda endpoint: ENDPOINT_STATES.index(endpoint.state))


def _silent(view: View) -> View:
    """What is left to say of a worker without news: of this second, nothing."""
    workers = [replace(worker, state="silent") for worker in view.now.workers]
    return replace(view, now=replace(view.now, state="silent", workers=workers, sample=None))
