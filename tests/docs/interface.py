"""The pages about what is called: the HTTP API, the engine's classes, their errors and verdicts."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, cast

from quart_app import mysql
from quart_app.app import create_app
from quart_app.extension import QuartMySQL
from quart_app.http import problems
from quart_app.mysql import classify, errors
from quart_app.mysql.batch import Lookup
from quart_app.mysql.classify import Fault, Intent, Phase, Retry
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.observer import Observer
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.settings import Settings
from tests.docs.tables import block, code, page, table

# One error of each kind of trouble, by its number.
EXAMPLES = {
    Fault.UNSENT: "ERR 4031, or nothing was written",
    Fault.LOST: "2006, 2013: the connection ended",
    Fault.STOPPING: "1053: the server shuts down",
    Fault.OUR_TIMEOUT: "the statement's deadline passed",
    Fault.UNREACHABLE: "2003: no connection",
    Fault.FULL: "1040, 1203, 1226: limits",
    Fault.REFUSED: "1045, 1049, 2026: the server says no",
    Fault.WRONG_SERVER: "1290, 1792, 1836, 1047: no writes here",
    Fault.CONFLICT: "1213, 1020, 3101: rolled back",
    Fault.LOCK_WAIT: "1205: lock wait",
    Fault.COMMIT_FAILED: "1180: error during COMMIT",
    Fault.SERVER_TIMEOUT: "1317, 3024, 1969: killed by the server",
    Fault.BROKEN: "1153, 1046: cannot work",
    Fault.STATEMENT: "1062, 1064 …: the statement or its data",
}
_ERRORS: dict[Fault, errors.DatabaseError] = {
    Fault.UNSENT: errors.ConnectionLost(sent=False, errno=4031),
    Fault.LOST: errors.ConnectionLost(sent=True, errno=2013),
    Fault.STOPPING: errors.ConnectionLost(sent=True, errno=1053),
    Fault.OUR_TIMEOUT: errors.QueryTimeout(sent=True),
    Fault.UNREACHABLE: errors.ConnectError(errno=2003),
    Fault.FULL: errors.TooManyConnections(errno=1040),
    Fault.REFUSED: errors.AccessDenied(errno=1045),
    Fault.WRONG_SERVER: errors.ReadOnlyServer(errno=1836),
    Fault.CONFLICT: errors.Deadlock(errno=1213),
    Fault.LOCK_WAIT: errors.LockWaitTimeout(errno=1205),
    Fault.COMMIT_FAILED: errors.TransientError(errno=1180),
    Fault.SERVER_TIMEOUT: errors.QueryTimeout(errno=1317),
    Fault.BROKEN: errors.QueryError(errno=1153),
    Fault.STATEMENT: errors.QueryError(errno=1064),
}


async def http_api() -> str:
    """Write the page of the routes, from the app's own OpenAPI description."""
    nowhere = cast("Any", ConnectConfig(user="x", database="x"))
    app = create_app(Settings(database=nowhere, access_log=False))
    described = await (await app.test_client().get("/openapi.json")).get_json()
    rows = [
        (
            code(f"{method.upper()} {path}"),
            operation.get("summary", ""),
            _scopes(operation),
            _answers(operation),
        )
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    kinds = [
        (code(kind.type), str(int(kind.status)), kind.title, kind.meaning)
        for kind in problems.KINDS
    ]
    return page(
        "HTTP API",
        "Parameters, bodies and answers in full: `/openapi.json` of a running server, or `/docs` there.",
        "## Routes",
        table(("route", "what it does", "token", "answers"), rows),
        "For machines and people that look after it, not in the description: `/metrics` and `/status`"
        " (token of scope `ops`), `/openapi.json`, `/docs`, and `/problems/…`, which the types below"
        " lead to.",
        "## Problem types",
        "Errors are `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`,"
        " `request_id`. The same text is served at each type's address.",
        table(("type", "status", "title", "meaning"), kinds),
        "The route `POST /students/{student_id}` keeps the answer it always had instead:"
        " `resultCode` 100 SUCCESS, 101 NOT FOUND, 102 BAD INPUT, 103 UNAVAILABLE, with the HTTP"
        " status 200, 404, 400, 503 beside it.",
    )


def _answers(operation: dict[str, Any]) -> str:
    return " ".join(sorted(operation["responses"]))


def _scopes(operation: dict[str, Any]) -> str:
    schemes = operation.get("security", [])
    return ", ".join(code(scope) for scheme in schemes for scope in scheme["bearer"])


def engine() -> str:
    """Write the page of the engine's classes."""
    classes = (QuartMySQL, Session, Lookup, Pool, Observer)
    parts = [part for cls in classes for part in _class(cls)]
    create = mysql.create_pool
    parts += ["## create_pool()", *_callable("create_pool", create)]
    return page(
        "Engine",
        "`from quart_app.mysql import …`; only `QuartMySQL` is in `quart_app.extension`."
        " Configuration: [its own page](engine_configuration.md); errors: [their page](errors.md).",
        *parts,
    )


def _class(cls: type) -> Iterator[str]:
    yield f"## {cls.__name__}"
    yield block(inspect.cleandoc(cls.__doc__ or ""))
    for name, value in inspect.getmembers(cls, callable):
        if not name.startswith("_") and inspect.isfunction(value) and value.__doc__:
            yield from _callable(name, value)


def _callable(name: str, value: Callable[..., object]) -> Iterator[str]:
    unwrapped = inspect.unwrap(value)
    arguments = []
    for parameter in inspect.signature(unwrapped).parameters.values():
        if parameter.name != "self":
            arguments.append(str(parameter.replace(annotation=inspect.Parameter.empty)))
            if parameter.kind is parameter.KEYWORD_ONLY and "*" not in arguments:
                arguments.insert(-1, "*")
    yield f"**`{name}({', '.join(arguments)})`**"
    yield block(inspect.cleandoc(value.__doc__ or ""))


def error_page() -> str:
    """Write the page of errors: the tree, and what each is to a client of the API."""
    rows = [
        (
            code(cls.__name__),
            ", ".join(map(str, _numbers(cls))),
            f"{cls.retry_after:g} s" if cls.retry_after is not None else "",
            _kind(cls, "GET"),
            _kind(cls, "POST"),
        )
        for cls in _all(errors.DatabaseError)
    ]
    head = ("error", "server's numbers, in work", "retry_after", "to a GET", "to a POST")
    return page(
        "Errors",
        block(inspect.cleandoc(errors.__doc__ or "")),
        "An error that reaches a client becomes a [problem](http_api.md). A plain write whose"
        " connection was lost is `outcome-unknown` only where it may have been executed.",
        table(head, rows),
    )


def _all(cls: type[errors.DatabaseError]) -> Iterator[type[errors.DatabaseError]]:
    yield cls
    for sub in cls.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield from _all(sub)


def _numbers(cls: type[errors.DatabaseError]) -> list[int]:
    connecting = issubclass(cls, errors.ConnectError)
    found = (3, *range(1000, 4100))
    if cls is errors.ConnectError or cls is errors.QueryError:
        return []  # whatever is left
    return [n for n in found if classify.error_class(n, connecting=connecting) is cls]


def _kind(cls: type[errors.DatabaseError], method: str) -> str:
    lost = issubclass(cls, errors.ConnectionLost)
    error = cls("", sent=True) if lost else cls("")  # type: ignore[call-arg] # its own signature
    kind = problems.kind_of(error, method=method)
    return f"{int(kind.status)} {kind.slug}"


def verdicts() -> str:
    """Write the page of verdicts: what ``judge()`` says in every phase."""
    columns: tuple[tuple[str, Phase, Intent, bool], ...] = (
        ("connect", Phase.CONNECT, Intent.WRITE, False),
        ("BEGIN", Phase.BEGIN, Intent.WRITE, False),
        ("read", Phase.STATEMENT, Intent.READ, False),
        ("write", Phase.STATEMENT, Intent.WRITE, False),
        ("idempotent write", Phase.STATEMENT, Intent.IDEMPOTENT, False),
        ("in a transaction", Phase.STATEMENT, Intent.WRITE, True),
        ("COMMIT", Phase.COMMIT, Intent.WRITE, False),
        ("COMMIT, idempotent", Phase.COMMIT, Intent.IDEMPOTENT, False),
    )
    rows = [
        (EXAMPLES[fault], *(_verdict(fault, *column[1:]) for column in columns)) for fault in Fault
    ]
    return page(
        "Verdicts",
        "What `quart_app.mysql.classify.judge()` answers, for each class of trouble and each phase of"
        " the work. *again*: the unit (a statement, or the whole transaction around it) is run again"
        " on another connection, until the deadline; *raised*: the caller gets the error; *?*: and"
        " nobody can tell whether it was done.",
        table(("trouble", *(column[0] for column in columns)), rows),
        "In `ROLLBACK` and on release nothing is retried: the connection is closed. `transaction()`"
        " itself is never run again, whatever stands here: it cannot run its block twice. `run()`,"
        " `fetch_*`, `execute` and the middleware are what runs again.",
    )


def _verdict(fault: Fault, phase: Phase, intent: Intent, in_transaction: bool) -> str:
    verdict = classify.judge(
        _ERRORS[fault], phase=phase, intent=intent, in_transaction=in_transaction
    )
    text = "raised" if verdict.retry is Retry.NEVER else "again"
    return text + (" ?" if verdict.unknown and verdict.retry is Retry.NEVER else "")
