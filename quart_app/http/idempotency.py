"""Idempotency-Key: the same request sent twice is done once and answered twice.

After the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header).
A key belongs to its caller, whom the bearer token tells: nobody is given another's answer.

The key is inserted first, in the transaction of the work, and the answer is stored with it before
COMMIT. So a COMMIT whose answer was lost resolves itself: run again, the same INSERT waits for the
old transaction to end, and then either meets its key (it was committed: the stored answer is given)
or does not (it was not: the work is done). Two requests with one key at once wait likewise.

Neither costs a round trip: the key goes out with the work's first statement, the answer with COMMIT,
and behind a statement that fails the server begins none of those that were sent with it.
"""

import asyncio
import hashlib
import logging
import os
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from quart import Quart, Request, Response

from quart_app.extension import current_session
from quart_app.http.auth import token_digest
from quart_app.http.problems import INVALID, KEY_REUSED, ProblemError
from quart_app.http.reconnect import KEY_HEADER
from quart_app.mysql.driver import Connection, Deferred
from quart_app.mysql.errors import DatabaseError, TransientError
from quart_app.mysql.session import Session

log = logging.getLogger("quart_app.http")

REPLAYED_HEADER = "Idempotent-Replayed"
MAX_KEY_LENGTH = 255
DUPLICATE_KEY = 1062
# Of a request without a token: as many bytes as a digest.
NOBODY = bytes(32)
PURGE_EVERY = 600.0
PURGE_BATCH = 500

_INSERT = (
    "INSERT INTO idempotency_key (caller, idempotency_key, owner, fingerprint)"
    " VALUES (%s, %s, %s, %s)"
)
# Shared, as the lock that the refused INSERT has left: of several that wait for one key each has that
# lock, and FOR UPDATE of one would wait for the others': a deadlock. Any lock reads what is committed.
_FIND = (
    "SELECT owner, fingerprint, status, content_type, body"
    " FROM idempotency_key WHERE caller = %s AND idempotency_key = %s LOCK IN SHARE MODE"
)
_STORE = (
    "UPDATE idempotency_key SET status = %s, content_type = %s, body = %s"
    " WHERE caller = %s AND idempotency_key = %s"
)
_PURGE = (
    "DELETE FROM idempotency_key"
    " WHERE created_at < CURRENT_TIMESTAMP - INTERVAL %s SECOND ORDER BY created_at LIMIT %s"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent to the client, the first time and every time after it."""

    status: int
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """A request's claim to a key. *owner* tells its own earlier tries from another request's."""

    caller: bytes
    key: bytes
    owner: bytes
    fingerprint: bytes


class _Found(Exception):  # noqa: N818 # no error: a way out of the transaction by ROLLBACK
    """The answer is there: what was read to find it has nothing to commit, so nothing to doubt."""

    def __init__(self, answer: Answer, replayed: bool) -> None:
        super().__init__()
        self.answer = answer
        self.replayed = replayed


async def once(
    request: Request, *, content: bytes, work: Callable[[], Awaitable[Answer]]
) -> Response:
    """Do *work* for this request's key, or give the answer it got the first time.

    Arguments:
        *content*: what the request asks for, however it was written; the same key with another
            content is refused with 422.
        *work*: does its SQL through the current session, and nothing but SQL; what it raises is
            rolled back and the key with it. If the key is taken its first statement fails.

    Waits for another request with the same key. Raises ProblemError 400 without a good key, and
    what the database raises; CommitUnknown only if the outcome could not be found out in time.
    """
    claim = _Claim(
        caller=token_digest() or NOBODY,
        key=read_key(request),
        owner=os.urandom(16),
        fingerprint=_fingerprint(request, content),
    )

    async def claimed(connection: Connection) -> Answer:
        place = (claim.caller, claim.key)
        inserted = connection.defer(_INSERT, (*place, claim.owner, claim.fingerprint))
        try:
            answer = await work()
            await connection.flush()  # work that needed no statement
        except Exception:
            await _check(inserted, connection, claim)
            raise
        await _check(inserted, connection, claim)
        connection.defer(_STORE, (answer.status, answer.content_type, answer.body, *place))
        return answer

    try:
        return _respond(await current_session().run(claimed, idempotent=True))
    except _Found as found:
        return _respond(found.answer, replayed=found.replayed)


def read_key(request: Request) -> bytes:
    """Read the request's key, quoted as the draft has it, or bare. Raises ProblemError (400)."""
    keys = request.headers.getlist(KEY_HEADER)
    if not keys:
        raise ProblemError(INVALID, f"The header {KEY_HEADER} is missing.")
    key = keys[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(keys) > 1 or not 0 < len(key) <= MAX_KEY_LENGTH or not _is_printable_ascii(key):
        rule = f"should be one, of 1 to {MAX_KEY_LENGTH} printable ASCII characters"
        raise ProblemError(INVALID, f"The header {KEY_HEADER} {rule}.")
    return key.encode("ascii")


def install(app: Quart, *, keep: float) -> None:
    """Forget keys after *keep* seconds, in the background of *app*."""

    async def purging() -> AsyncGenerator[None, None]:
        task = asyncio.create_task(_purge_for_ever(keep), name="idempotency-purge")
        try:
            yield
        finally:
            task.cancel()

    app.while_serving(purging)


async def purge(session: Session, *, keep: float) -> int:
    """Forget keys older than *keep* seconds, a batch at a time; tell how many."""
    total = 0
    while True:
        result = await session.execute(_PURGE, (keep, PURGE_BATCH), idempotent=True)
        total += result.affected_rows
        if result.affected_rows < PURGE_BATCH:
            return total


async def _purge_for_ever(keep: float) -> None:
    """Purge now and then; workers that started together do not do it together."""
    while True:
        await asyncio.sleep(random.uniform(0.5, 1.5) * PURGE_EVERY)  # noqa: S311 # no secret
        try:
            await purge(current_session(), keep=keep)
        except DatabaseError as error:
            log.debug("keys are not purged now: %s", error)


async def _check(inserted: Deferred, connection: Connection, claim: _Claim) -> None:
    """Raise what came of the key if it could not be taken, whatever the work made of that."""
    if inserted.error is None:
        return
    if inserted.error.errno != DUPLICATE_KEY:
        raise inserted.error
    raise _Found(*await _stored(connection, claim))


async def _stored(connection: Connection, claim: _Claim) -> tuple[Answer, bool]:
    """Find the answer stored with the key. True: another request got it first."""
    rows = (await connection.run(_FIND, (claim.caller, claim.key))).rows
    if not rows:
        raise TransientError("the key was purged at this moment")
    owner, fingerprint, status, content_type, body = rows[0]
    if fingerprint != claim.fingerprint:
        raise ProblemError(KEY_REUSED, KEY_REUSED.meaning)
    return Answer(status=status, body=body, content_type=content_type), owner != claim.owner


def _respond(answer: Answer, *, replayed: bool = False) -> Response:
    response = Response(answer.body, answer.status, content_type=answer.content_type)
    if replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response


def _fingerprint(request: Request, content: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.path.encode("utf-8", "surrogateescape"), content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _is_printable_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()
