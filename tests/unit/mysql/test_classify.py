"""The table of verdicts: every code in every phase, written down apart from the code under test."""

import itertools
from dataclasses import dataclass

import pytest

from quart_app.mysql.classify import (
    Evict,
    Intent,
    Phase,
    Retry,
    Verdict,
    error_class,
    judge,
)
from quart_app.mysql.errors import (
    AccessDenied,
    CommitUnknown,
    ConnectError,
    ConnectionLost,
    DatabaseError,
    Deadlock,
    IntegrityError,
    LockWaitTimeout,
    PoolClosed,
    PoolTimeout,
    QueryError,
    QueryTimeout,
    ReadOnlyServer,
    StorageFailed,
    TLSRequired,
    TooManyConnections,
    TooManyRequests,
    TransientError,
    UnknownDatabase,
)

NEVER, NOW, BACKOFF = Retry.NEVER, Retry.NOW, Retry.BACKOFF
KEEP, CONNECTION, POOL = Evict.NOTHING, Evict.CONNECTION, Evict.POOL


@dataclass(frozen=True)
class Row:
    """What is expected of one class of codes. In the order: read, write, idempotent."""

    name: str
    errnos: tuple[int, ...]
    alone: tuple[Retry, Retry, Retry]
    in_transaction: Retry
    commit: tuple[Retry, Retry, Retry]
    evict: Evict
    unknown_alone: bool = False
    unknown_commit: bool = True
    connect: Retry = BACKOFF


ANY = (NEVER, NEVER, NEVER)
ROWS = [
    Row("4031", (4031,), (NOW,) * 3, NOW, (NOW,) * 3, CONNECTION, unknown_commit=False),
    Row(
        "lost",
        (2000, 2006, 2013, 2014, 2027, 2055, 1927, 3169, 1152, 1184, *range(1156, 1162)),
        (NOW, NEVER, NOW),
        NOW,
        (NOW, NEVER, NOW),
        CONNECTION,
        unknown_alone=True,
    ),
    Row(
        "stopping",
        (1053, 1077, 1078, 1079, 1080, 3032),
        (BACKOFF, NEVER, BACKOFF),
        BACKOFF,
        (BACKOFF, NEVER, BACKOFF),
        POOL,
        unknown_alone=True,
    ),
    Row(
        "wrong server",
        (1047, 1836),
        (BACKOFF,) * 3,
        BACKOFF,
        (BACKOFF,) * 3,
        POOL,
        unknown_commit=False,
    ),
    Row(
        "unreachable",
        (2001, 2002, 2003, 2005, 2012, 3168),
        (BACKOFF,) * 3,
        BACKOFF,
        (BACKOFF, NEVER, BACKOFF),
        CONNECTION,
    ),
    Row(
        "full",
        (1040, 1203, 1226, 1135, 1037, 1041, 1223),
        (BACKOFF,) * 3,
        BACKOFF,
        (BACKOFF, NEVER, BACKOFF),
        KEEP,
    ),
    Row(
        "conflict",
        (1020, 1206, 1213, 1412, 1614, 1637, 1689, 3100, 3101, 3781, 3782, 1205),
        (BACKOFF, NEVER, BACKOFF),
        BACKOFF,
        (BACKOFF,) * 3,
        KEEP,
        unknown_commit=False,
        connect=NEVER,
    ),
    Row(
        "commit failed",
        (1180,),
        (BACKOFF, NEVER, BACKOFF),
        BACKOFF,
        (BACKOFF, NEVER, BACKOFF),
        CONNECTION,
        unknown_alone=True,
    ),
    Row(
        "server's own limit",
        (1028, 1317, 1969, 3024),
        ANY,
        NEVER,
        (BACKOFF, NEVER, BACKOFF),
        KEEP,
        connect=NEVER,
    ),
    Row(
        "denied",
        (
            *(1044, 1045, 1049, 1129, 1130, 1251, 1275, 1698, 1820, 1862),
            *(2026, 2049, 2059, 2061, 3118, 3159, 3955),
        ),
        ANY,
        NEVER,
        (BACKOFF, NEVER, BACKOFF),
        CONNECTION,
        connect=NEVER,
    ),
    Row(
        "broken",
        (1046, 1153, 2020),
        ANY,
        NEVER,
        (BACKOFF, NEVER, BACKOFF),
        CONNECTION,
        connect=NEVER,
    ),
    Row(
        "the statement's own fault",
        (
            3,
            1021,
            1026,
            1030,
            1114,
            3058,
            3132,
            3572,
            1038,
            1064,
            1146,
            1054,
            1142,
            1143,
            1227,
            1406,
            1264,
            1290,
        ),
        ANY,
        NEVER,
        (BACKOFF, NEVER, BACKOFF),
        KEEP,
        connect=NEVER,
    ),
]
INTENTS = (Intent.READ, Intent.WRITE, Intent.IDEMPOTENT)
CASES = [(row, errno) for row in ROWS for errno in row.errnos]
each_code = pytest.mark.parametrize(
    ("row", "errno"), CASES, ids=[f"{errno}-{row.name}" for row, errno in CASES]
)


def _error(errno: int, *, connecting: bool = False) -> DatabaseError:
    kind = error_class(errno, connecting=connecting)
    if issubclass(kind, ConnectionLost):
        return kind("", sent=errno != 4031, errno=errno)
    return kind("", errno=errno)


@each_code
def test_a_lone_statement(row: Row, errno: int) -> None:
    for intent, retry in zip(INTENTS, row.alone, strict=True):
        verdict = judge(_error(errno), phase=Phase.STATEMENT, intent=intent)
        unknown = row.unknown_alone and intent is not Intent.READ
        assert verdict == Verdict(retry=retry, evict=row.evict, unknown=unknown), intent


@each_code
def test_a_statement_of_a_transaction(row: Row, errno: int) -> None:
    for intent in INTENTS:
        verdict = judge(_error(errno), phase=Phase.STATEMENT, intent=intent, in_transaction=True)
        assert verdict == Verdict(retry=row.in_transaction, evict=row.evict), intent


@each_code
def test_begin_is_always_safe_to_send_again(row: Row, errno: int) -> None:
    for intent in INTENTS:
        verdict = judge(_error(errno), phase=Phase.BEGIN, intent=intent)
        assert verdict == Verdict(retry=row.in_transaction, evict=row.evict), intent


@each_code
def test_commit(row: Row, errno: int) -> None:
    for intent, retry in zip(INTENTS, row.commit, strict=True):
        verdict = judge(_error(errno), phase=Phase.COMMIT, intent=intent)
        assert verdict.retry is retry, intent
        assert verdict.unknown is (row.unknown_commit and intent is not Intent.READ), intent
        assert verdict.evict is not KEEP or not verdict.unknown, intent


@each_code
def test_connecting_evicts_nothing_and_is_never_unknown(row: Row, errno: int) -> None:
    for phase, intent in itertools.product((Phase.ACQUIRE, Phase.CONNECT), INTENTS):
        for error in (_error(errno), _error(errno, connecting=True)):
            assert judge(error, phase=phase, intent=intent) == Verdict(
                retry=row.connect, evict=KEEP
            )


@each_code
def test_a_failed_rollback_or_release_costs_the_connection_and_no_more(
    row: Row, errno: int
) -> None:
    for phase, intent in itertools.product((Phase.ROLLBACK, Phase.RELEASE), INTENTS):
        verdict = judge(_error(errno), phase=phase, intent=intent)
        expected = POOL if row.evict is POOL else CONNECTION
        assert verdict == Verdict(retry=NEVER, evict=expected)


def test_reading_in_our_own_read_only_transaction_blames_no_server() -> None:
    error = _error(1792)
    for in_transaction in (True, False):
        assert judge(
            error, phase=Phase.STATEMENT, intent=Intent.READ, in_transaction=in_transaction
        ) == Verdict(retry=NEVER, evict=KEEP)
    assert judge(error, phase=Phase.STATEMENT, intent=Intent.WRITE).evict is POOL


def test_1290_means_a_read_only_server_only_where_its_text_says_so() -> None:
    assert error_class(1290, connecting=False) is QueryError
    assert error_class(1290, connecting=False, read_only=True) is ReadOnlyServer
    error = ReadOnlyServer("", errno=1290)
    for phase in (Phase.STATEMENT, Phase.COMMIT):
        verdict = judge(error, phase=phase, intent=Intent.WRITE)
        assert verdict == Verdict(retry=BACKOFF, evict=POOL)


LOST = ConnectionLost("", sent=True)
UNSENT = ConnectionLost("", sent=False)
OURS = QueryTimeout("", errno=2013)


@pytest.mark.parametrize(
    ("error", "phase", "intent", "expected"),
    [
        (LOST, Phase.STATEMENT, Intent.READ, Verdict(retry=NOW, evict=CONNECTION)),
        (
            LOST,
            Phase.STATEMENT,
            Intent.WRITE,
            Verdict(retry=NEVER, evict=CONNECTION, unknown=True),
        ),
        (UNSENT, Phase.STATEMENT, Intent.WRITE, Verdict(retry=NOW, evict=CONNECTION)),
        (UNSENT, Phase.COMMIT, Intent.WRITE, Verdict(retry=NOW, evict=CONNECTION)),
        (OURS, Phase.STATEMENT, Intent.READ, Verdict(retry=NOW, evict=CONNECTION)),
        (
            OURS,
            Phase.STATEMENT,
            Intent.WRITE,
            Verdict(retry=NEVER, evict=CONNECTION, unknown=True),
        ),
        (OURS, Phase.COMMIT, Intent.WRITE, Verdict(retry=NEVER, evict=CONNECTION, unknown=True)),
        (
            CommitUnknown(""),
            Phase.COMMIT,
            Intent.IDEMPOTENT,
            Verdict(retry=BACKOFF, evict=CONNECTION, unknown=True),
        ),
        (
            LockWaitTimeout(""),
            Phase.STATEMENT,
            Intent.READ,
            Verdict(retry=BACKOFF, evict=KEEP),
        ),
        (Deadlock(""), Phase.STATEMENT, Intent.READ, Verdict(retry=BACKOFF, evict=KEEP)),
        (DatabaseError(""), Phase.STATEMENT, Intent.READ, Verdict(retry=NEVER, evict=KEEP)),
        (
            IntegrityError("", errno=1062),
            Phase.COMMIT,
            Intent.IDEMPOTENT,
            Verdict(retry=NEVER, evict=CONNECTION),
        ),
    ],
)
def test_our_own_types_without_a_number(
    error: DatabaseError, phase: Phase, intent: Intent, expected: Verdict
) -> None:
    assert judge(error, phase=phase, intent=intent) == expected


@pytest.mark.parametrize(
    ("cause", "retry"),
    [
        (None, NEVER),
        (ConnectError("", errno=2003), BACKOFF),
        (ConnectError(""), BACKOFF),
        (TooManyConnections("", errno=1040), BACKOFF),
        (AccessDenied("", errno=1045), NEVER),
        (AccessDenied(""), NEVER),
    ],
)
def test_waiting_for_a_connection_is_resumed_only_while_the_server_is_away(
    cause: ConnectError | None, retry: Retry
) -> None:
    error = PoolTimeout("")
    error.__cause__ = cause
    expected = Verdict(retry=retry, evict=KEEP)
    assert judge(error, phase=Phase.ACQUIRE, intent=Intent.WRITE) == expected


@pytest.mark.parametrize("error", [PoolClosed(""), TooManyRequests("")])
def test_a_pool_that_says_no_is_not_asked_again(error: DatabaseError) -> None:
    expected = Verdict(retry=NEVER, evict=KEEP)
    assert judge(error, phase=Phase.ACQUIRE, intent=Intent.READ) == expected


@pytest.mark.parametrize(
    ("errno", "expected"),
    [
        (None, ConnectionLost),
        (4031, ConnectionLost),
        (2013, ConnectionLost),
        (1053, ConnectionLost),
        (2003, ConnectError),
        (1040, TooManyConnections),
        (1135, TransientError),
        (1047, ReadOnlyServer),
        (1213, Deadlock),
        (1020, Deadlock),
        (3101, Deadlock),
        (3100, TransientError),
        (1205, LockWaitTimeout),
        (1180, TransientError),
        (1412, TransientError),
        (1021, StorageFailed),
        (1114, StorageFailed),
        (1317, QueryTimeout),
        (1062, IntegrityError),
        (1452, IntegrityError),
        (4025, IntegrityError),
        (3819, IntegrityError),
        (1153, QueryError),
        (1064, QueryError),
    ],
)
def test_names_in_the_middle_of_work(errno: int | None, expected: type[DatabaseError]) -> None:
    assert error_class(errno, connecting=False) is expected


@pytest.mark.parametrize(
    ("errno", "expected"),
    [
        (None, ConnectError),
        (2003, ConnectError),
        (2013, ConnectError),
        (1047, ConnectError),
        (1045, AccessDenied),
        (1129, AccessDenied),
        (3118, AccessDenied),
        (1049, UnknownDatabase),
        (2026, TLSRequired),
        (3159, TLSRequired),
        (1040, TooManyConnections),
        (1226, TooManyConnections),
    ],
)
def test_names_while_connecting(errno: int | None, expected: type[ConnectError]) -> None:
    assert error_class(errno, connecting=True) is expected
