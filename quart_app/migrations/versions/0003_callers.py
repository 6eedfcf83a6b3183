"""An Idempotency-Key belongs to its caller: two callers may use the same one."""

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

# One statement, which is done whole or not at all. Keys from before get no caller: what is sent
# again with one of them is a new request.
CALLER = """
ALTER TABLE idempotency_key
    ADD COLUMN caller BINARY(32) NOT NULL DEFAULT '' FIRST,
    DROP PRIMARY KEY,
    ADD PRIMARY KEY (caller, idempotency_key)
"""
# ADD COLUMN IF NOT EXISTS is MariaDB's alone.
IS_THERE = """
SELECT COUNT(*) FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = 'idempotency_key' AND column_name = 'caller'
"""


def upgrade() -> None:
    if not op.get_bind().scalar(text(IS_THERE)):
        op.execute(CALLER)
