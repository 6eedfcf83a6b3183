"""The reconnect middleware: a request that lost its connection is handled again, where that is safe.

It protects any handler, also one with a raw cursor. "Gone away" is noticed where it happens, in the
statement, not before: asking first would cost every request and prove nothing. Handled again is a
request that is safe or idempotent by its method, one whose view is ``keyed`` and that carries an
Idempotency-Key, and one that is proven to have changed nothing. Never one that began to answer.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from enum import Enum
from typing import ParamSpec, TypeVar

from quart import Quart, Request
from quart.ctx import RequestContext
from quart.globals import request_ctx
from quart.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from quart_app.extension import session_of
from quart_app.http.lean import LeanBody
from quart_app.http.problems import (
    OUTCOME_UNKNOWN,
    SAFE_METHODS,
    TIMEOUT,
    UNAVAILABLE,
    ProblemError,
)
from quart_app.mysql.classify import Intent, Phase
from quart_app.mysql.config import RetryPolicy
from quart_app.mysql.driver import as_database_error
from quart_app.mysql.errors import (
    CommitUnknown,
    ConnectError,
    DatabaseError,
    IntegrityError,
    PoolError,
    QueryError,
    QueryTimeout,
    StorageFailed,
)
from quart_app.mysql.journal import Journal
from quart_app.mysql.retry import Attempts, name

log = logging.getLogger("quart_app.http")

KEY_HEADER = "Idempotency-Key"
IDEMPOTENT_METHODS = frozenset(("PUT", "DELETE"))
# Requests that may be held while the database is away; each has its body and a task. One more is
# answered at once: a client that retries is cheaper than memory.
MAX_HELD = 200
# Of a body that a handler reads piece by piece, this much is kept to be read again.
KEPT_BODY_BYTES = 64 * 1024

P = ParamSpec("P")
R = TypeVar("R")


class Replay(Enum):
    """What a view declares about being run again."""

    NEVER = "never"
    KEYED = "keyed"


def no_replay(view: Callable[P, R]) -> Callable[P, R]:
    """Declare that *view* does what must not happen twice, such as sending a mail."""
    view.__dict__["quart_app_replay"] = Replay.NEVER
    return view


def keyed(view: Callable[P, R]) -> Callable[P, R]:
    """Declare that *view* does its work through ``idempotency.once()``, so a key makes it safe."""
    view.__dict__["quart_app_replay"] = Replay.KEYED
    return view


class ReplayableBody(LeanBody):
    """A body that can be read again from the start, unless too much of it was read in pieces."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(expected_content_length, max_content_length)
        self._taken = bytearray()
        self._whole = True

    async def __anext__(self) -> bytes:
        data = await super().__anext__()
        self._keep(data)
        return data

    def clear(self) -> None:
        self._keep(bytes(self._data))
        super().clear()

    def _keep(self, data: bytes) -> None:
        self._whole = self._whole and len(self._taken) + len(data) <= KEPT_BODY_BYTES
        if self._whole:
            self._taken += data
        else:
            self._taken.clear()

    def rewind(self) -> bool:
        """Go back to the start; False if that part is not there any more."""
        if self._whole:
            self._data[:0] = self._taken
            self._taken.clear()
        return self._whole


def install(app: Quart, *, max_held: int = MAX_HELD) -> None:
    """Protect every handler of *app*. Install it before ``deadline``, which limits it."""
    kept = {"body_class": ReplayableBody}
    app.request_class = type("ReplayableRequest", (app.request_class,), kept)  # type: ignore[assignment] # it is one
    middleware = Reconnect(app, max_held=max_held)
    app.dispatch_request = middleware.dispatch  # type: ignore[assignment,method-assign] # no hook


class Reconnect:
    """Runs handlers, and runs them again."""

    def __init__(self, app: Quart, *, max_held: int = MAX_HELD) -> None:
        self._app = app
        self._dispatch = app.dispatch_request
        self._max_held = max_held
        self._policy = RetryPolicy()
        self.held = 0

    async def dispatch(self, context: RequestContext | None = None) -> ResponseReturnValue:
        """Handle a request; after a fault of the database that may pass, handle it again."""
        case = _Case(self._app, (context or request_ctx).request)
        try:
            with case.journal():
                return await self._dispatch(context)
        except Exception as exc:
            error = _passing_fault(exc)
            if error is None:
                raise
            return await self._heal(context, case, error)

    async def _heal(
        self, context: RequestContext | None, case: "_Case", error: DatabaseError
    ) -> ResponseReturnValue:
        """Hold the request, and handle it again until it succeeds, or the deadline."""
        clock, first = asyncio.get_running_loop().time, error
        began, attempts = clock(), case.attempts(self._policy)
        self.held += 1
        try:
            while True:
                await self._wait(attempts, case, error)
                try:
                    with case.journal():
                        answer = await self._dispatch(context)
                except Exception as exc:
                    again = _passing_fault(exc)
                    if again is None:
                        raise
                    error = again
                else:
                    after = clock() - began
                    log.warning("healed after %.3f s: %s", after, name(first))
                    session_of(self._app).pool.observer.healed(after=after, error=first)
                    return answer
        finally:
            self.held -= 1

    async def _wait(self, attempts: Attempts, case: "_Case", error: DatabaseError) -> None:
        """Wait until the next try may begin. Raises ProblemError if there must be none."""
        attempts.failed(error, _phase(error), in_transaction=not case.changed_now)
        if self.held > self._max_held or not case.may_run_again():
            raise _problem(error, changed=case.changed) from error
        try:
            await attempts.again()
        except DatabaseError as final:
            raise _problem(final, changed=case.changed) from final


class _Case:
    """What is known about one request."""

    __slots__ = (
        "_declared",
        "_generation",
        "_journal",
        "_pool",
        "_request",
        "changed_before",
        "intent",
    )

    def __init__(self, app: Quart, request: Request) -> None:
        self._request = request
        self._pool = session_of(app).pool
        self._generation = self._pool.generation
        self._journal: Journal | None = None
        self.changed_before = False
        view = app.view_functions.get(request.endpoint or "")
        self._declared: Replay | None = getattr(view, "quart_app_replay", None)
        self.intent = _intent(request, self._declared)

    def journal(self) -> Journal | nullcontext[None]:
        """Keep a new record of what is sent; a request that only reads needs none."""
        if self.intent is Intent.READ:
            return nullcontext()
        self.changed_before = self.changed
        self._journal = Journal()
        return self._journal

    @property
    def changed_now(self) -> bool:
        """Whether the last try may have changed something."""
        return self._journal is not None and self._journal.changed

    @property
    def changed(self) -> bool:
        """Whether any try may have changed something."""
        return self.changed_before or self.changed_now

    def may_run_again(self) -> bool:
        """Tell whether running it again can do no harm, and is possible."""
        if self._declared is Replay.NEVER or (self.intent is Intent.WRITE and self.changed):
            return False
        body = self._request.body
        if isinstance(body, ReplayableBody) and not body.rewind():
            return False
        _forget_form(self._request)
        return True

    def attempts(self, policy: RetryPolicy) -> Attempts:
        attempts = Attempts(self._pool, policy, intent=self.intent)
        attempts.generation = self._generation
        return attempts


def _forget_form(request: Request) -> None:
    """Have the form parsed from the body again: its files were read to their end."""
    for file in (request._files or MultiDict()).values():  # noqa: SLF001 # Quart has no way to forget
        file.close()
    request._form = request._files = None  # noqa: SLF001 # as above


def _passing_fault(exc: Exception) -> DatabaseError | None:
    """The database's fault that *exc* is, if it may pass; of a TaskGroup's errors the first."""
    if isinstance(exc, ExceptionGroup):
        faults = [_passing_fault(each) for each in exc.exceptions]
        return None if None in faults else faults[0]
    error = as_database_error(exc)
    return None if isinstance(error, IntegrityError | QueryError) else error


def _intent(request: Request, declared: Replay | None) -> Intent:
    if request.method in SAFE_METHODS:
        return Intent.READ
    if request.method in IDEMPOTENT_METHODS:
        return Intent.IDEMPOTENT
    carries_key = declared is Replay.KEYED and KEY_HEADER in request.headers
    return Intent.IDEMPOTENT if carries_key else Intent.WRITE


def _phase(error: DatabaseError) -> Phase:
    return Phase.ACQUIRE if isinstance(error, PoolError | ConnectError) else Phase.STATEMENT


def _problem(error: DatabaseError, *, changed: bool) -> ProblemError:
    """The honest answer: nothing happened, or nobody knows."""
    if changed or isinstance(error, CommitUnknown):
        kind = OUTCOME_UNKNOWN
    else:
        kind = TIMEOUT if isinstance(error, QueryTimeout) else UNAVAILABLE
    if kind is not UNAVAILABLE or isinstance(error, StorageFailed):
        log.warning("%s: %s", kind.slug, name(error))
    retry_after = max(1, round(error.retry_after or 1))
    return ProblemError(kind, kind.meaning, headers={"Retry-After": str(retry_after)})
