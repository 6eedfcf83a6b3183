"""What a connection tells about itself and about an answer: plain values."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.reply import Kind


class Condition(Enum):
    """What a connection needs before somebody else may have it.

    CLEAN     nothing
    SNAPSHOT  a ROLLBACK: reads under autocommit=0 left a view open
    DIRTY     COM_RESET_CONNECTION: variables, locks, temporary tables or the database were changed
    UNUSABLE  to be closed: lost, evicted, a transaction left open, or results left unread
    """

    CLEAN = "clean"
    SNAPSHOT = "snapshot"
    DIRTY = "dirty"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What the server said of itself when the connection was made.

    *identity* tells two servers behind one address apart; *wait_timeout* is in seconds; *is_alone*:
    known to be in no cluster, where other servers' writes can end a transaction of ours.
    """

    identity: str = ""
    version: str = ""
    is_mariadb: bool = False
    thread_id: int = 0
    wait_timeout: float = 28800.0
    max_allowed_packet: int = 1 << 24
    read_only: bool = False
    is_alone: bool = False


class Result:
    """What one statement answered. *rows* are tuples; *insert_id* is 0 where there is none.

    *kinds* are the columns' types: the protocol's numbers of type, character set and decimals.
    """

    __slots__ = ("affected_rows", "columns", "insert_id", "kinds", "rows")

    def __init__(
        self,
        rows: list[tuple[Any, ...]],
        columns: tuple[str, ...],
        affected_rows: int,
        insert_id: int,
        kinds: tuple[Kind, ...] = (),
    ) -> None:
        self.kinds = kinds
        self.rows = rows
        self.columns = columns
        self.affected_rows = affected_rows
        self.insert_id = insert_id


class Deferred:
    """A statement that goes out with the next one, ahead of it.

    *result* is there once the server has carried it out, *error* if the statement failed. Neither:
    it was not sent, or one ahead of it failed.
    """

    __slots__ = ("data", "error", "result", "sql")

    def __init__(self, sql: str, data: bytes) -> None:
        self.sql = sql
        self.data = data
        self.result: Result | None = None
        self.error: DatabaseError | None = None
