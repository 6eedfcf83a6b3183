"""Students, chapters, their attempts with a summary beside them; and the keys of requests."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLE = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"

STUDENT = f"""
CREATE TABLE IF NOT EXISTS student (
    student_id INT UNSIGNED NOT NULL,
    name VARCHAR(100) NOT NULL,
    PRIMARY KEY (student_id)
) {TABLE}
"""

CHAPTER = f"""
CREATE TABLE IF NOT EXISTS chapter (
    chapter_id INT UNSIGNED NOT NULL,
    title VARCHAR(100) NOT NULL,
    PRIMARY KEY (chapter_id)
) {TABLE}
"""

# permyriad: score / max_score in ten-thousandths, rounded once, when the attempt is recorded, so
# that a summary of them can be compared with a recount to the last digit.
# Ids below a million are for generated data, which can so be loaded again beside real data.
ATTEMPT = f"""
CREATE TABLE IF NOT EXISTS attempt (
    attempt_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    student_id INT UNSIGNED NOT NULL,
    chapter_id INT UNSIGNED NOT NULL,
    score INT UNSIGNED NOT NULL,
    max_score INT UNSIGNED NOT NULL,
    permyriad SMALLINT UNSIGNED NOT NULL,
    taken_at DATETIME(6) NOT NULL,
    PRIMARY KEY (attempt_id),
    KEY attempt_of_student (student_id, chapter_id, attempt_id),
    CONSTRAINT attempt_student FOREIGN KEY (student_id) REFERENCES student (student_id),
    CONSTRAINT attempt_chapter FOREIGN KEY (chapter_id) REFERENCES chapter (chapter_id)
) {TABLE} AUTO_INCREMENT=1000000
"""

SUMMARY = f"""
CREATE TABLE IF NOT EXISTS chapter_summary (
    student_id INT UNSIGNED NOT NULL,
    chapter_id INT UNSIGNED NOT NULL,
    attempts INT UNSIGNED NOT NULL,
    best_permyriad SMALLINT UNSIGNED NOT NULL,
    sum_permyriad BIGINT UNSIGNED NOT NULL,
    last_taken_at DATETIME(6) NOT NULL,
    PRIMARY KEY (student_id, chapter_id),
    CONSTRAINT summary_student FOREIGN KEY (student_id) REFERENCES student (student_id),
    CONSTRAINT summary_chapter FOREIGN KEY (chapter_id) REFERENCES chapter (chapter_id)
) {TABLE}
"""

# Bytes, not text: two keys that a collation thinks equal are still two keys.
KEY = f"""
CREATE TABLE IF NOT EXISTS idempotency_key (
    idempotency_key VARBINARY(255) NOT NULL,
    owner BINARY(16) NOT NULL,
    fingerprint BINARY(32) NOT NULL,
    status SMALLINT UNSIGNED NULL,
    content_type VARCHAR(100) CHARACTER SET ascii NULL,
    body MEDIUMBLOB NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (idempotency_key),
    KEY idempotency_key_age (created_at)
) {TABLE}
"""


def upgrade() -> None:
    for statement in (STUDENT, CHAPTER, ATTEMPT, SUMMARY, KEY):
        op.execute(statement)
