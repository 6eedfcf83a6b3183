"""Delays: growth, cap, jitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_app.mysql.backoff import equal_jitter, full_jitter, step


def _least(low: float, _high: float) -> float:
    return low


def _most(_low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    ("tries", "expected"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (10_000, 3.0)]
)
def test_a_step_doubles_up_to_the_cap(tries: int, expected: float) -> None:
    assert step(tries, initial=0.5, maximum=3.0) == expected


def test_full_jitter_spans_zero_to_the_step() -> None:
    assert full_jitter(3, initial=0.5, maximum=3.0, uniform=_least) == 0.0
    assert full_jitter(3, initial=0.5, maximum=3.0, uniform=_most) == 2.0


def test_equal_jitter_spans_half_to_the_step() -> None:
    assert equal_jitter(3, initial=0.5, maximum=3.0, uniform=_least) == 1.0
    assert equal_jitter(3, initial=0.5, maximum=3.0, uniform=_most) == 2.0


@given(st.integers(0, 10**6), st.floats(0, 10), st.floats(0, 100))
def test_no_wait_leaves_its_bounds(tries: int, initial: float, maximum: float) -> None:
    for jitter in (full_jitter, equal_jitter):
        assert 0.0 <= jitter(tries, initial=initial, maximum=maximum) <= maximum
