"""Generate students, chapters and attempts: the same ones at every run and in every database.

Ids under a million are ours; attempts that people record get larger ones and are left alone. The
summaries are counted from all attempts there are.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import LiteralString

from quart_app.mysql.session import Session
from quart_app.students.model import PERMYRIAD

VERSION = "1"
STUDENTS = 1000
CHAPTERS = 20
BATCH_SIZE = 1000
LOCK_TIMEOUT = 60
MAX_SCORE = 100
FIRST_DAY = datetime(2026, 1, 5, 8)  # noqa: DTZ001 # UTC, as DATETIME columns hold it
_FIRST_NAMES = (
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "John",
    "Katherine",
    "Leslie",
)
_LAST_NAMES = (
    "Adler",
    "Brandt",
    "Castro",
    "Dimitriou",
    "Eriksen",
    "Fontaine",
    "Garcia",
    "Haddad",
    "Ivanova",
    "Jansen",
)
_TITLES = (
    "Sets",
    "Numbers",
    "Functions",
    "Limits",
    "Series",
    "Vectors",
    "Matrices",
    "Graphs",
    "Groups",
    "Proofs",
)

Row = tuple[object, ...]
Report = Callable[[int], object]

_UPSERT_STUDENT = (
    "INSERT INTO student (student_id, name) VALUES (%s, %s)"
    " ON DUPLICATE KEY UPDATE name = VALUES(name)"
)
_UPSERT_CHAPTER = (
    "INSERT INTO chapter (chapter_id, title) VALUES (%s, %s)"
    " ON DUPLICATE KEY UPDATE title = VALUES(title)"
)
_UPSERT_ATTEMPT = (
    "INSERT INTO attempt"
    " (attempt_id, student_id, chapter_id, score, max_score, permyriad, taken_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE score = VALUES(score)"
)
RECOUNT = (
    "REPLACE INTO chapter_summary"
    " (student_id, chapter_id, attempts, best_permyriad, sum_permyriad, last_taken_at)"
    " SELECT student_id, chapter_id, COUNT(*), MAX(permyriad), SUM(permyriad), MAX(taken_at)"
    " FROM attempt GROUP BY student_id, chapter_id"
)


class Seeding:
    """What is to be loaded, as statements with their rows."""

    def __init__(self) -> None:
        self.tables: tuple[tuple[LiteralString, list[Row]], ...] = (
            (_UPSERT_STUDENT, list(_students())),
            (_UPSERT_CHAPTER, list(_chapters())),
            (_UPSERT_ATTEMPT, list(_attempts())),
        )
        self.total = sum(len(rows) for _, rows in self.tables)

    async def load(self, session: Session, *, report: Report, force: bool = False) -> int:
        """Store all rows that are not there yet; tell how many were written.

        Writes nothing if this version was loaded completely before, unless *force*. *report* is
        told the number of rows after each batch. Several processes at once take turns.
        """
        async with session.connection():
            await session.fetch_val("SELECT GET_LOCK('quart_app.seed', %s)", (LOCK_TIMEOUT,))
            if not force and await self._is_loaded(session):
                return 0
            for sql, rows in self.tables:
                for batch in _batches(rows):
                    await session.execute_many(sql, batch)
                    report(len(batch))
            await session.execute(RECOUNT, idempotent=True)
            await session.execute(
                "REPLACE INTO dataset (name, version) VALUES ('students', %s)",
                (VERSION,),
                idempotent=True,
            )
            return self.total

    async def _is_loaded(self, session: Session) -> bool:
        found = await session.fetch_val("SELECT version FROM dataset WHERE name = 'students'")
        return bool(found == VERSION)


def _students() -> Iterator[Row]:
    for number in range(1, STUDENTS + 1):
        first = _FIRST_NAMES[number % len(_FIRST_NAMES)]
        last = _LAST_NAMES[number // len(_FIRST_NAMES) % len(_LAST_NAMES)]
        yield number, f"{first} {last}"


def _chapters() -> Iterator[Row]:
    for number in range(1, CHAPTERS + 1):
        part = (number - 1) // len(_TITLES) + 1
        yield number, f"{_TITLES[(number - 1) % len(_TITLES)]} {part}"


def _attempts() -> Iterator[Row]:
    """Up to three attempts at about half of the chapters, better each time: arithmetic, no dice."""
    number = 0
    for student in range(1, STUDENTS + 1):
        for chapter in range(1, CHAPTERS + 1):
            mix = (student * 7919 + chapter * 104_729) % 1_000_003
            for turn in range(max(0, mix % 6 - 2)):
                number += 1
                score = min(MAX_SCORE, mix % 61 + 20 * turn + 10)
                taken_at = FIRST_DAY + timedelta(days=chapter * 7 + turn, seconds=mix % 36_000)
                points = score * PERMYRIAD // MAX_SCORE
                yield number, student, chapter, score, MAX_SCORE, points, taken_at


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), BATCH_SIZE):
        yield rows[start : start + BATCH_SIZE]
