"""What every peer serves: its SQL, its answers, and where the database is. No framework in here.

The tables ``peer_attempt`` and ``peer_summary`` are the peers' own: ours keeps keys and answers in
tables of its own, which a peer knows nothing about.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

Row = Sequence[object]

FIND_CITY = "SELECT city_id FROM city WHERE city = %s"
# What our own list gives, in its order. By itself MariaDB reads and sorts all cities for the first
# hundred, and no peer should lose for that.
LIST_CITIES = (
    "SELECT city.city_id, city.city, country.country, country.iso2,"
    " city.population, city.latitude, city.longitude"
    " FROM city FORCE INDEX (city_name) STRAIGHT_JOIN country ON country.country_id = city.country_id"
    " ORDER BY city.city, city.population DESC, city.city_id LIMIT %s"
)
LIST_NAMES = (
    *("city_id", "city", "country", "country_code"),
    *("population", "latitude", "longitude"),
)
CREATE_ATTEMPT = """CREATE TABLE IF NOT EXISTS peer_attempt (
    attempt_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    student_id INT NOT NULL,
    chapter_id INT NOT NULL,
    score DOUBLE NOT NULL,
    max_score DOUBLE NOT NULL,
    taken_at DATETIME(6) NOT NULL,
    idempotency_key VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
    KEY (student_id, chapter_id)
)"""
CREATE_SUMMARY = """CREATE TABLE IF NOT EXISTS peer_summary (
    student_id INT NOT NULL,
    chapter_id INT NOT NULL,
    attempts INT NOT NULL,
    best DOUBLE NOT NULL,
    total DOUBLE NOT NULL,
    last_attempt DATETIME(6) NOT NULL,
    PRIMARY KEY (student_id, chapter_id)
)"""
INSERT_ATTEMPT = (
    "INSERT INTO peer_attempt"
    " (student_id, chapter_id, score, max_score, taken_at, idempotency_key)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
ADD_TO_SUMMARY = (
    "INSERT INTO peer_summary (student_id, chapter_id, attempts, best, total, last_attempt)"
    " VALUES (%s, %s, 1, %s, %s, %s)"
    " ON DUPLICATE KEY UPDATE attempts = attempts + 1, best = GREATEST(best, VALUES(best)),"
    " total = total + VALUES(total), last_attempt = VALUES(last_attempt)"
)
READ_SUMMARY = (
    "SELECT attempts, best, total FROM peer_summary WHERE student_id = %s AND chapter_id = %s"
)


class ConnectArguments(TypedDict):
    """The keywords that PyMySQL, aiomysql and asyncmy share."""

    host: str
    port: int
    user: str
    password: str


def connect_arguments() -> ConnectArguments:
    """Read where the database is; the database's name is spelled differently by each driver."""
    return {
        "host": os.environ.get("DB_HOST", "127.0.0.1"),
        "port": int(os.environ.get("DB_PORT", "3306")),
        "user": os.environ.get("DB_USER", "test"),
        "password": os.environ.get("DB_PASSWORD", "test"),
    }


def database_name() -> str:
    """Return the database's name."""
    return os.environ.get("DB_NAME", "test")


def city_text(city: str, row: Row | None) -> str:
    """Answer ``GET /?city=`` as the original did."""
    return f'City "{city}" is #{row[0]}' if row else f'City "{city}" not found'


def cities_json(rows: Sequence[Row]) -> dict[str, list[dict[str, object]]]:
    """Answer ``GET /cities``."""
    return {"cities": [dict(zip(LIST_NAMES, row, strict=True)) for row in rows]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One keyed attempt, as posted."""

    student_id: int
    chapter_id: int
    score: float
    max_score: float
    taken_at: str
    key: str

    @classmethod
    def posted(
        cls, student_id: int, chapter_id: int, body: Mapping[str, object], key: str
    ) -> "Attempt":
        """Take what was posted; a value of a wrong kind raises ValueError."""
        return cls(
            student_id=student_id,
            chapter_id=chapter_id,
            score=float(str(body["score"])),
            max_score=float(str(body["max_score"])),
            taken_at=str(body["taken_at"]).removesuffix("Z"),
            key=key,
        )

    @property
    def place(self) -> tuple[int, int]:
        """Whose summary it belongs to."""
        return self.student_id, self.chapter_id

    def statements(self) -> tuple[tuple[str, tuple[object, ...]], ...]:
        """Return the two writes that belong into one transaction."""
        values = (*self.place, self.score, self.max_score, self.taken_at, self.key)
        summary = (*self.place, self.score, self.score, self.taken_at)
        return (INSERT_ATTEMPT, values), (ADD_TO_SUMMARY, summary)


def summary_json(row: Row) -> dict[str, object]:
    """Answer the POST: the summary after it."""
    return {"attempts": row[0], "best": row[1], "total": row[2]}
