"""The rules of attempts."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_app.students.model import (
    CLOCK_SKEW,
    MAX_ID,
    MAX_SCORE,
    InvalidInput,
    NewAttempt,
    check_attempt,
    check_chapter_id,
    percent,
    permyriad,
    read_cursor,
    summarize,
    write_cursor,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def attempt(score: int = 7, max_score: int = 10, taken_at: datetime = NOW) -> NewAttempt:
    return NewAttempt(score=score, max_score=max_score, taken_at=taken_at)


def test_a_moment_is_kept_in_utc() -> None:
    there = datetime(2026, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert check_attempt(attempt(taken_at=there), now=NOW) == attempt()
    assert check_attempt(attempt(taken_at=there), now=NOW).taken_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "good",
    [
        attempt(score=0),
        attempt(score=10),
        attempt(score=MAX_SCORE, max_score=MAX_SCORE),
        attempt(taken_at=NOW + CLOCK_SKEW),
        attempt(taken_at=datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_limits_are_good(good: NewAttempt) -> None:
    assert check_attempt(good, now=NOW) == good


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (attempt(score=-1), "score"),
        (attempt(score=11), "score"),
        (attempt(max_score=0, score=0), "max_score"),
        (attempt(max_score=MAX_SCORE + 1), "max_score"),
        (attempt(taken_at=NOW + CLOCK_SKEW + timedelta(microseconds=1)), "taken_at"),
        (attempt(taken_at=datetime(1969, 12, 31, tzinfo=UTC)), "taken_at"),
        (attempt(taken_at=datetime(2026, 5, 1)), "taken_at"),  # noqa: DTZ001 # the point
    ],
)
def test_beyond_the_limits_is_refused_by_name(bad: NewAttempt, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        check_attempt(bad, now=NOW)


@pytest.mark.parametrize("chapter_id", [-1, MAX_ID + 1])
def test_a_chapter_that_no_column_can_hold_is_refused(chapter_id: int) -> None:
    with pytest.raises(InvalidInput):
        check_chapter_id(chapter_id)
    assert check_chapter_id(MAX_ID) == MAX_ID


@pytest.mark.parametrize(
    ("score", "max_score", "expected"),
    [(0, 7, 0), (7, 7, 10_000), (5, 7, 7143), (1, 3, 3333), (2, 3, 6667), (1, 20_000, 1)],
)
def test_scores_are_rounded_once(score: int, max_score: int, expected: int) -> None:
    assert permyriad(attempt(score, max_score)) == expected
    assert percent(expected) == expected / 100


@given(st.integers(1, MAX_SCORE).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))))
def test_a_score_is_within_its_bounds_and_near(pair: tuple[int, int]) -> None:
    score, max_score = pair
    points = permyriad(attempt(score, max_score))
    assert 0 <= points <= 10_000
    assert abs(points * max_score - score * 10_000) * 2 <= max_score


def test_a_summary_of_nothing() -> None:
    nothing = summarize(1, 2, None)
    assert (nothing.attempts, nothing.best_score, nothing.mean_score) == (0, None, None)
    assert nothing.last_attempt is None


def test_a_summary_is_in_percent() -> None:
    summary = summarize(1, 2, (3, 10_000, 20_000, NOW.replace(tzinfo=None)))
    assert (summary.best_score, summary.mean_score) == (100.0, 66.67)
    assert summary.last_attempt == NOW


@given(st.integers(1, 2**63 - 1))
def test_a_cursor_comes_back(attempt_id: int) -> None:
    assert read_cursor(write_cursor(attempt_id)) == attempt_id


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "!!!!", "YjEy", "YQ", "YTA", "YS0x", "w6Q", "A" * 100, "\u00e4", "YTEyMzQ1\n"],
)
def test_any_other_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        read_cursor(cursor)
