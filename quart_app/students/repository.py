"""The SQL of students. Functions that take a session; rows in, values out, no rules.

In a transaction of the running task the session uses that, so these do too.
"""

from datetime import UTC, datetime

from quart_app.mysql.errors import IntegrityError
from quart_app.mysql.session import Row, Session
from quart_app.students.model import Attempt, NewAttempt, permyriad

NO_REFERENCED_ROW = 1452  # ER_NO_REFERENCED_ROW_2

_EXISTS = (
    "SELECT (SELECT COUNT(*) FROM student WHERE student_id = %s),"
    " (SELECT COUNT(*) FROM chapter WHERE chapter_id = %s)"
)
_INSERT = (
    "INSERT INTO attempt (student_id, chapter_id, score, max_score, permyriad, taken_at)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
# VALUES() in it, since MariaDB does not know MySQL's newer AS and both still know this.
_ADD_TO_SUMMARY = (
    "INSERT INTO chapter_summary"
    " (student_id, chapter_id, attempts, best_permyriad, sum_permyriad, last_taken_at)"
    " VALUES (%s, %s, 1, %s, %s, %s) ON DUPLICATE KEY UPDATE"
    " attempts = attempts + 1,"
    " best_permyriad = GREATEST(best_permyriad, VALUES(best_permyriad)),"
    " sum_permyriad = sum_permyriad + VALUES(sum_permyriad),"
    " last_taken_at = GREATEST(last_taken_at, VALUES(last_taken_at))"
)
_TOTALS = (
    "SELECT attempts, best_permyriad, sum_permyriad, last_taken_at FROM chapter_summary"
    " WHERE student_id = %s AND chapter_id = %s"
)
_TOTALS_WITH_ID = (
    "SELECT LAST_INSERT_ID(), attempts, best_permyriad, sum_permyriad, last_taken_at"
    " FROM chapter_summary WHERE student_id = %s AND chapter_id = %s"
)
_LIST = (
    "SELECT attempt_id, score, max_score, taken_at FROM attempt"
    " WHERE student_id = %s AND chapter_id = %s AND attempt_id < %s"
    " ORDER BY attempt_id DESC LIMIT %s"
)
_CHAPTER = (
    "SELECT student.name, chapter.title, summary.attempts, summary.best_permyriad,"
    " summary.sum_permyriad, summary.last_taken_at"
    " FROM student JOIN chapter ON chapter.chapter_id = %s"
    " LEFT JOIN chapter_summary AS summary"
    " ON summary.student_id = student.student_id AND summary.chapter_id = chapter.chapter_id"
    " WHERE student.student_id = %s"
)

Totals = tuple[int, int, int, datetime]


async def exist(session: Session, student_id: int, chapter_id: int) -> tuple[bool, bool]:
    """Tell whether the student, and whether the chapter exists."""
    student, chapter = await session.fetch_sole(_EXISTS, (student_id, chapter_id))
    return bool(student), bool(chapter)


async def insert_attempt(
    session: Session, student_id: int, chapter_id: int, attempt: NewAttempt
) -> tuple[int, Totals] | None:
    """Store an attempt and count it in, in the open transaction and one round trip.

    Gives its id and the totals with it; None if the student or the chapter is not there.
    """
    place = (student_id, chapter_id)
    points, taken_at = permyriad(attempt), attempt.taken_at.replace(tzinfo=None)
    session.defer(_INSERT, (*place, attempt.score, attempt.max_score, points, taken_at))
    session.defer(_ADD_TO_SUMMARY, (*place, points, points, taken_at))
    try:
        attempt_id, *totals = await session.fetch_sole(_TOTALS_WITH_ID, place)
    except IntegrityError as error:
        if error.errno != NO_REFERENCED_ROW:
            raise
        return None
    return attempt_id, _totals(tuple(totals))


async def fetch_totals(session: Session, student_id: int, chapter_id: int) -> Totals | None:
    """Fetch attempts, best, sum and last; None if there was no attempt yet."""
    row = await session.fetch_first(_TOTALS, (student_id, chapter_id))
    return None if row is None else _totals(row)


async def list_attempts(
    session: Session, student_id: int, chapter_id: int, *, before: int, limit: int
) -> list[Attempt]:
    """List at most *limit* attempts with ids under *before*, the newest first."""
    rows = await session.fetch_all(_LIST, (student_id, chapter_id, before, limit))
    return [
        Attempt(
            attempt_id=attempt_id,
            score=score,
            max_score=max_score,
            taken_at=taken_at.replace(tzinfo=UTC),
        )
        for attempt_id, score, max_score, taken_at in rows
    ]


async def fetch_chapter(
    session: Session, student_id: int, chapter_id: int
) -> tuple[str, str, Totals | None] | None:
    """Fetch the student's name, the chapter's title, and the totals; None if one is not there."""
    row = await session.fetch_first(_CHAPTER, (chapter_id, student_id))
    if row is None:
        return None
    student, chapter, *totals = row
    return student, chapter, None if totals[0] is None else _totals(tuple(totals))


def _totals(row: Row) -> Totals:
    attempts, best, total, last = row
    return int(attempts), int(best), int(total), last
