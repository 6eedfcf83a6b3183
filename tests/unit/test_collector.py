"""The collector looks more seldom, and not at what was made at the start."""

import gc
from collections.abc import Iterator

import pytest

from quart_app import collector


@pytest.fixture(name="thresholds", autouse=True)
def _thresholds() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)
    gc.unfreeze()


def test_it_waits_for_more_objects_than_a_crowd_of_requests_has(
    thresholds: tuple[int, int, int],
) -> None:
    collector.relax()
    young, *older = gc.get_threshold()
    assert young == collector.YOUNG > 4 * thresholds[0]
    assert older == list(thresholds[1:])


def test_what_is_there_is_not_looked_at_again() -> None:
    kept: list[list[int]] = [[]]
    collector.relax()
    assert gc.get_freeze_count() > 1000
    assert not any(each is kept for each in gc.get_objects())
