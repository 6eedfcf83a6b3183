"""The rules of attempts: what a score, a moment and a cursor may be. No I/O, no SQL, no HTTP."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MAX_SCORE = 1_000_000
MAX_LIMIT = 500
DEFAULT_LIMIT = 50
MAX_ID = 4_294_967_295
MAX_CURSOR_LENGTH = 40
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
# A client's clock may run ahead of ours by this much.
CLOCK_SKEW = timedelta(seconds=60)
PERMYRIAD = 10_000


class InvalidInput(ValueError):  # noqa: N818 - reads as the domain's word
    """What was asked breaks a rule; the text says which, without repeating what was asked."""


class NotFound(LookupError):  # noqa: N818 - reads as the domain's word
    """There is no such student, or no such chapter; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    """An attempt that was made: *score* of *max_score*, at *taken_at*."""

    score: int
    max_score: int
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt as it is recorded."""

    attempt_id: int
    score: int
    max_score: int
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a student's attempts at a chapter come to. Scores are in percent of the maximum."""

    student_id: int
    chapter_id: int
    attempts: int
    best_score: float | None
    mean_score: float | None
    last_attempt: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttempt:
    """An attempt, and the summary that it is now part of."""

    attempt: Attempt
    summary: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPage:
    """Some attempts, the newest first, and the cursor of those before: null on the last page."""

    attempts: list[Attempt]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapterResult:
    """One line of the answer to the original call."""

    student_id: int
    student: str
    chapter_id: int
    chapter: str
    attempts: int
    best_score: float | None
    mean_score: float | None
    last_attempt: datetime | None


def check_attempt(attempt: NewAttempt, *, now: datetime) -> NewAttempt:
    """Return *attempt* with its moment in UTC, if it can have been made. Raises InvalidInput."""
    if not 1 <= attempt.max_score <= MAX_SCORE:
        message = f"max_score should be from 1 to {MAX_SCORE}"
        raise InvalidInput(message)
    if not 0 <= attempt.score <= attempt.max_score:
        raise InvalidInput("score should be from 0 to max_score")
    if attempt.taken_at.tzinfo is None:
        raise InvalidInput("taken_at should have a time zone, as in 2026-05-01T12:00:00Z")
    if not EARLIEST <= attempt.taken_at <= now + CLOCK_SKEW:
        raise InvalidInput("taken_at should be in the past, and not before 1970")
    return NewAttempt(
        score=attempt.score,
        max_score=attempt.max_score,
        taken_at=attempt.taken_at.astimezone(UTC),
    )


def check_chapter_id(chapter_id: int) -> int:
    """Return *chapter_id* if it can be one. Raises InvalidInput."""
    if not 0 <= chapter_id <= MAX_ID:
        message = f"chapterId should be from 0 to {MAX_ID}"
        raise InvalidInput(message)
    return chapter_id


def permyriad(attempt: NewAttempt) -> int:
    """The score in ten-thousandths of the maximum, half of one rounded up: whole numbers only."""
    return (2 * attempt.score * PERMYRIAD + attempt.max_score) // (2 * attempt.max_score)


def percent(ten_thousandths: int) -> float:
    """Write ten-thousandths as percent."""
    return ten_thousandths / 100


def summarize(
    student_id: int, chapter_id: int, totals: tuple[int, int, int, datetime] | None
) -> Summary:
    """Make the summary of *totals*: attempts, best, sum (in ten-thousandths), last."""
    attempts, best, total, last = totals or (0, None, None, None)
    return Summary(
        student_id=student_id,
        chapter_id=chapter_id,
        attempts=attempts,
        best_score=None if best is None else percent(best),
        mean_score=None if total is None else round(total / attempts / 100, 2),
        last_attempt=None if last is None else last.replace(tzinfo=UTC),
    )


def write_cursor(attempt_id: int) -> str:
    """Write a place in a list as text for the client to hand back."""
    return base64.urlsafe_b64encode(f"a{attempt_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> int:
    """Read what write_cursor() wrote. Raises InvalidInput for anything else."""
    try:
        text = cursor[:MAX_CURSOR_LENGTH] + "=" * (-len(cursor) % 4)
        mark, digits = (raw := base64.b64decode(text, altchars=b"-_", validate=True))[:1], raw[1:]
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("cursor is not one that this server gave") from exc
    if (
        mark != b"a"
        or not digits.isdigit()
        or len(digits) > len(str(MAX_ID)) + 9
        or not int(digits)
    ):
        raise InvalidInput("cursor is not one that this server gave")
    return int(digits)
