"""What an error means: may the work be tried again, and is the connection still good?

One pure table and the rules over it; nothing here does I/O. The number alone decides little: the
same 2013 is harmless after BEGIN, harmless for a SELECT, and an open question after COMMIT. So the
verdict also asks for the phase, for what was sent, for the transaction and for the declared intent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from quart_app.mysql.errors import (
    AccessDenied,
    CommitUnknown,
    ConnectError,
    ConnectionLost,
    DatabaseError,
    Deadlock,
    IntegrityError,
    LockWaitTimeout,
    PoolError,
    PoolTimeout,
    QueryError,
    QueryTimeout,
    ReadOnlyServer,
    StorageFailed,
    TLSRequired,
    TooManyConnections,
    TransientError,
    UnknownDatabase,
)


class Phase(Enum):
    """Where the work was when the error came."""

    ACQUIRE = "acquire"
    CONNECT = "connect"
    BEGIN = "begin"
    STATEMENT = "statement"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    RELEASE = "release"


class Intent(Enum):
    """What the caller declared. WRITE is what is left when nothing was declared."""

    READ = "read"
    WRITE = "write"
    IDEMPOTENT = "idempotent"  # running it twice leaves what running it once leaves


class Retry(Enum):
    """May the unit (a statement alone, or the whole transaction around it) be run again?"""

    NEVER = "never"
    NOW = "now"  # once at once; after that as BACKOFF
    BACKOFF = "backoff"


class Evict(Enum):
    """What must not be used again."""

    NOTHING = "nothing"
    CONNECTION = "connection"
    POOL = "pool"  # every connection to that server: all of them have the same trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """*unknown*: the server may or may not have done it, and we cannot tell."""

    retry: Retry
    evict: Evict
    unknown: bool = False


class Fault(Enum):
    """The classes of trouble that call for different answers."""

    UNSENT = auto()  # proven not executed, connection dead
    LOST = auto()  # connection dead, the statement may have been executed
    STOPPING = auto()  # as LOST, and so are its siblings
    OUR_TIMEOUT = auto()  # as LOST: we hung up on a statement past its deadline
    UNREACHABLE = auto()  # no connection; nothing sent
    FULL = auto()  # the server is out of connections, threads or memory; nothing executed
    REFUSED = auto()  # the server knows us and says no
    WRONG_SERVER = auto()  # refused before execution: demoted writer, node out of its cluster
    CONFLICT = auto()  # the server rolled the whole transaction back, or says that it must be
    LOCK_WAIT = auto()  # the server rolled the statement back and kept the transaction
    COMMIT_FAILED = auto()  # an error in the act of committing
    SERVER_TIMEOUT = auto()  # killed or timed out by the server, connection good
    BROKEN = auto()  # the statement can never work, and the session is not to be trusted
    STATEMENT = auto()  # the statement is wrong, or the data


def _each(fault: Fault, errnos: Iterable[int]) -> dict[int, Fault]:
    return dict.fromkeys(errnos, fault)


# Every code that is not a plain fault of the statement. Names: the servers' error references.
_FAULTS: dict[int, Fault] = {
    **_each(Fault.UNSENT, (4031,)),
    **_each(Fault.LOST, (2000, 2006, 2013, 2014, 2027, 2055, 1927, 3169)),
    **_each(Fault.LOST, (1152, 1184, *range(1156, 1162))),
    **_each(Fault.STOPPING, (1053, *range(1077, 1081), 3032)),
    **_each(Fault.UNREACHABLE, (2001, 2002, 2003, 2005, 2012, 3168)),
    **_each(Fault.FULL, (1040, 1203, 1226, 1135, 1037, 1041, 1223)),
    **_each(Fault.REFUSED, (1044, 1045, 1049, 1129, 1130, 1251, 1275, 1698, 1820, 1862)),
    **_each(Fault.REFUSED, (2026, 2049, 2059, 2061, 3118, 3159, 3955)),
    **_each(Fault.WRONG_SERVER, (1047, 1792, 1836)),
    **_each(Fault.CONFLICT, (1020, 1206, 1213, 1412, 1614, 1637, 1689, 3100, 3101, 3781, 3782)),
    **_each(Fault.LOCK_WAIT, (1205,)),
    **_each(Fault.COMMIT_FAILED, (1180,)),
    **_each(Fault.SERVER_TIMEOUT, (1028, 1317, 1969, 3024)),
    # 1046: no database is selected any more; a proxy swapped the session. 1153, 2020: too large.
    **_each(Fault.BROKEN, (1046, 1153, 2020)),
}

# After these the server has no transaction of ours any more, though its reply carries no status.
ROLLED_BACK = frozenset({1020, 1213, 1614, 3101})
OPTION_PREVENTS_STATEMENT = 1290
READ_ONLY_TRANSACTION = 1792

_FULL_HOUSE = (1040, 1203, 1226)
_CONNECT_CLASSES: dict[int | None, type[ConnectError]] = {
    **dict.fromkeys((1044, 1045, 1129, 1130, 1251, 1275, 1698, 1820, 1862), AccessDenied),
    **dict.fromkeys((2049, 2059, 2061, 3118, 3955), AccessDenied),
    **dict.fromkeys((2026, 3159), TLSRequired),
    **dict.fromkeys(_FULL_HOUSE, TooManyConnections),
    1049: UnknownDatabase,
}
_CLASSES: dict[int, type[DatabaseError]] = {
    **dict.fromkeys((1022, 1048, 1062, 1169, 1216, 1217, 1364, 1451, 1452), IntegrityError),
    **dict.fromkeys((1557, 1586, 1761, 1762, 1859), IntegrityError),
    **dict.fromkeys((3819, 4025), IntegrityError),  # CHECK: MySQL's, MariaDB's
    **dict.fromkeys(ROLLED_BACK, Deadlock),
    # A file cannot be written, disk full, its storage engine failed, table full. Tried again at once
    # they would fail again.
    **dict.fromkeys((3, 1021, 1026, 1030, 1114), StorageFailed),
    **dict.fromkeys(_FULL_HOUSE, TooManyConnections),
}
_CLASS_OF_FAULT: dict[Fault, type[DatabaseError]] = {
    Fault.UNSENT: ConnectionLost,
    Fault.LOST: ConnectionLost,
    Fault.STOPPING: ConnectionLost,
    Fault.UNREACHABLE: ConnectError,
    Fault.FULL: TransientError,
    Fault.WRONG_SERVER: ReadOnlyServer,
    Fault.CONFLICT: TransientError,
    Fault.LOCK_WAIT: LockWaitTimeout,
    Fault.COMMIT_FAILED: TransientError,
    Fault.SERVER_TIMEOUT: QueryTimeout,
}


def error_class(
    errno: int | None, *, connecting: bool, read_only: bool = False
) -> type[DatabaseError]:
    """Name the class of errors.py for a server's or client's *errno*; None: the driver gave none.

    *read_only*: for 1290 only, which has causes besides --read-only and tells them apart by its
    text alone (ER_OPTION_PREVENTS_STATEMENT names the option): who holds the text has looked.
    """
    if connecting:
        return _CONNECT_CLASSES.get(errno, ConnectError)
    if errno is None:
        return ConnectionLost
    if errno == OPTION_PREVENTS_STATEMENT and read_only:
        return ReadOnlyServer
    fault = _FAULTS.get(errno, Fault.STATEMENT)
    return _CLASSES.get(errno) or _CLASS_OF_FAULT.get(fault, QueryError)


def fault_of(error: DatabaseError) -> Fault:
    """Tell the class of trouble: by our own type where it says more than the number."""
    if isinstance(error, ConnectionLost | QueryTimeout) and not error.sent:
        return Fault.UNSENT
    if isinstance(error, ReadOnlyServer):
        return Fault.WRONG_SERVER
    number = _FAULTS.get(error.errno or 0, Fault.STATEMENT)
    if isinstance(error, QueryTimeout) and number is not Fault.SERVER_TIMEOUT:
        return Fault.OUR_TIMEOUT
    if isinstance(error, PoolError):
        return _pool_fault(error)
    return _fault_by_type(error) if error.errno is None else number


def _pool_fault(error: PoolError) -> Fault:
    """All busy is an answer; but if the pool waited in vain for a server, that may come back."""
    cause = error.__cause__
    if isinstance(error, PoolTimeout) and isinstance(cause, ConnectError):
        return fault_of(cause)
    return Fault.STATEMENT


def _fault_by_type(error: DatabaseError) -> Fault:
    if isinstance(error, AccessDenied | UnknownDatabase | TLSRequired):
        return Fault.REFUSED
    if isinstance(error, ConnectError):
        return Fault.UNREACHABLE
    if isinstance(error, ConnectionLost):
        return Fault.LOST
    if isinstance(error, CommitUnknown):
        return Fault.COMMIT_FAILED
    if isinstance(error, LockWaitTimeout):
        return Fault.LOCK_WAIT
    return Fault.CONFLICT if isinstance(error, TransientError) else Fault.STATEMENT


_EVICT: dict[Fault, Evict] = {
    Fault.UNSENT: Evict.CONNECTION,
    Fault.LOST: Evict.CONNECTION,
    Fault.OUR_TIMEOUT: Evict.CONNECTION,
    Fault.BROKEN: Evict.CONNECTION,
    Fault.COMMIT_FAILED: Evict.CONNECTION,
    Fault.REFUSED: Evict.CONNECTION,
    Fault.UNREACHABLE: Evict.CONNECTION,
    Fault.STOPPING: Evict.POOL,
    Fault.WRONG_SERVER: Evict.POOL,
}
_MAYBE_EXECUTED = frozenset({Fault.LOST, Fault.STOPPING, Fault.OUR_TIMEOUT, Fault.COMMIT_FAILED})
_NOT_EXECUTED = frozenset({Fault.UNSENT, Fault.UNREACHABLE, Fault.FULL, Fault.WRONG_SERVER})
_UNDONE = frozenset({Fault.CONFLICT, Fault.LOCK_WAIT})
# After COMMIT, an error not known to mean "no" means "perhaps".
_COMMIT_REFUSED = _UNDONE | {Fault.WRONG_SERVER}
_AT_ONCE = frozenset({Fault.UNSENT, Fault.LOST, Fault.OUR_TIMEOUT})


def judge(
    error: DatabaseError, *, phase: Phase, intent: Intent, in_transaction: bool = False
) -> Verdict:
    """Give the verdict on *error*.

    *in_transaction*: the statement is part of a transaction whose COMMIT was not sent; to retry
    then means to run all of it again.
    """
    fault = fault_of(error)
    if intent is Intent.READ and error.errno == READ_ONLY_TRANSACTION:
        # We opened it READ ONLY ourselves: no other server will say otherwise.
        return Verdict(retry=Retry.NEVER, evict=Evict.NOTHING)
    if phase in (Phase.ACQUIRE, Phase.CONNECT):
        return Verdict(retry=_retry_connect(fault), evict=Evict.NOTHING)
    if phase in (Phase.ROLLBACK, Phase.RELEASE):
        return Verdict(retry=Retry.NEVER, evict=_at_least_connection(fault))
    if phase is Phase.COMMIT:
        return _judge_commit(error, fault, intent)
    unknown = fault in _MAYBE_EXECUTED and not (in_transaction or phase is Phase.BEGIN)
    safe = phase is Phase.BEGIN or _is_safe(fault, intent, in_transaction=in_transaction)
    return Verdict(
        retry=_pace(fault) if safe and _may_pass(fault) else Retry.NEVER,
        evict=_EVICT.get(fault, Evict.NOTHING),
        unknown=unknown and intent is not Intent.READ,
    )


def _is_safe(fault: Fault, intent: Intent, *, in_transaction: bool) -> bool:
    """Tell whether running the unit again cannot do anything twice.

    A conflict undid a lone write too, so it would be safe; but a caller who declared nothing gets
    to see it (503, retryable): repeating contended writes on nobody's order feeds the contention.
    """
    return in_transaction or intent in (Intent.READ, Intent.IDEMPOTENT) or fault in _NOT_EXECUTED


def _may_pass(fault: Fault) -> bool:
    return fault in _MAYBE_EXECUTED or fault in _NOT_EXECUTED or fault in _UNDONE


def _pace(fault: Fault) -> Retry:
    return Retry.NOW if fault in _AT_ONCE else Retry.BACKOFF


def _retry_connect(fault: Fault) -> Retry:
    again = fault in _NOT_EXECUTED or fault in _MAYBE_EXECUTED
    return Retry.BACKOFF if again else Retry.NEVER


def _at_least_connection(fault: Fault) -> Evict:
    """A session that could not be tidied is not lent again."""
    return _EVICT[fault] if _EVICT.get(fault) is Evict.POOL else Evict.CONNECTION


def _judge_commit(error: DatabaseError, fault: Fault, intent: Intent) -> Verdict:
    """Of a COMMIT we know it failed when it was never sent, or when the server gave a known no."""
    if fault is Fault.UNSENT or fault in _COMMIT_REFUSED:
        return Verdict(retry=_pace(fault), evict=_EVICT.get(fault, Evict.NOTHING))
    if isinstance(error, IntegrityError):
        return Verdict(retry=Retry.NEVER, evict=Evict.CONNECTION)
    return Verdict(
        retry=Retry.NEVER if intent is Intent.WRITE else _pace(fault),
        evict=_at_least_connection(fault),
        unknown=intent is not Intent.READ,
    )


def did_nothing(errno: int, *, committing: bool) -> bool:
    """Tell whether the error *errno* proves that its statement, or COMMIT, left no trace.

    ER_OPTION_PREVENTS_STATEMENT: whichever option it was.
    """
    fault = _FAULTS.get(errno, Fault.STATEMENT)
    if errno == OPTION_PREVENTS_STATEMENT or fault is Fault.UNSENT:
        return True
    return fault in (_COMMIT_REFUSED if committing else _NOT_EXECUTED | _UNDONE)
