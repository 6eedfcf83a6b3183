"""What can be done with attempts: record one, list them, sum them up."""

from datetime import UTC, datetime

from quart_app.mysql.session import Session
from quart_app.students import repository
from quart_app.students.model import (
    MAX_ID,
    Attempt,
    AttemptPage,
    ChapterResult,
    NewAttempt,
    NotFound,
    RecordedAttempt,
    Summary,
    check_attempt,
    check_chapter_id,
    summarize,
    write_cursor,
)

BEYOND_ALL_IDS = 2**63 - 1


def check(attempt: NewAttempt) -> NewAttempt:
    """Return *attempt* if it can have been made by now. Raises InvalidInput."""
    return check_attempt(attempt, now=datetime.now(UTC))


async def record_attempt(
    session: Session, student_id: int, chapter_id: int, attempt: NewAttempt
) -> RecordedAttempt:
    """Record *attempt* and count it into the summary. Call it in a transaction.

    Raises NotFound.
    """
    found = None
    if max(student_id, chapter_id) <= MAX_ID:  # else no column could hold it
        found = await repository.insert_attempt(session, student_id, chapter_id, attempt)
    if found is None:
        await assume_exist(session, student_id, chapter_id)
        raise NotFound("The student or the chapter was removed at this moment")
    attempt_id, totals = found
    recorded = Attempt(
        attempt_id=attempt_id,
        score=attempt.score,
        max_score=attempt.max_score,
        taken_at=attempt.taken_at,
    )
    return RecordedAttempt(attempt=recorded, summary=summarize(student_id, chapter_id, totals))


async def fetch_summary(session: Session, student_id: int, chapter_id: int) -> Summary:
    """Sum up a student's attempts at a chapter. Raises NotFound."""
    totals = await repository.fetch_totals(session, student_id, chapter_id)
    if totals is None:
        await assume_exist(session, student_id, chapter_id)
    return summarize(student_id, chapter_id, totals)


async def list_attempts(
    session: Session, student_id: int, chapter_id: int, *, before: int | None, limit: int
) -> AttemptPage:
    """List one page of attempts, the newest first. Raises NotFound."""
    # One more than asked for tells whether there is a next page.
    found = await repository.list_attempts(
        session, student_id, chapter_id, before=before or BEYOND_ALL_IDS, limit=limit + 1
    )
    if not found:
        await assume_exist(session, student_id, chapter_id)
    page = found[:limit]
    more = len(found) > limit
    return AttemptPage(
        attempts=page, next_cursor=write_cursor(page[-1].attempt_id) if more else None
    )


async def fetch_chapter_results(
    session: Session, student_id: int, chapter_id: int
) -> list[ChapterResult]:
    """Answer the original call: what the student did in the chapter. Raises NotFound."""
    found = await repository.fetch_chapter(session, student_id, check_chapter_id(chapter_id))
    if found is None:
        raise NotFound("There is no such student or chapter")
    student, chapter, totals = found
    summary = summarize(student_id, chapter_id, totals)
    return [
        ChapterResult(
            student_id=student_id,
            student=student,
            chapter_id=chapter_id,
            chapter=chapter,
            attempts=summary.attempts,
            best_score=summary.best_score,
            mean_score=summary.mean_score,
            last_attempt=summary.last_attempt,
        )
    ]


async def assume_exist(session: Session, student_id: int, chapter_id: int) -> None:
    """Raise NotFound unless both the student and the chapter exist."""
    student, chapter = await repository.exist(session, student_id, chapter_id)
    if not student:
        raise NotFound("There is no student with this id")
    if not chapter:
        raise NotFound("There is no chapter with this id")
