"""The tries of one piece of work: until its deadline, and only where trying again is proven safe.

The verdict comes from classify.py, the waits from backoff.py; here they meet the clock. Connecting
is not retried here, that is the pool's business; waiting for the pool to have connected is.
"""

import asyncio
import logging
import random
from typing import NoReturn

from quart_app.mysql import deadline
from quart_app.mysql.backoff import Uniform, full_jitter
from quart_app.mysql.classify import Evict, Intent, Phase, Retry, Verdict, judge
from quart_app.mysql.config import RetryPolicy
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import CommitUnknown, DatabaseError, PoolTimeout, QueryTimeout
from quart_app.mysql.pool import Pool

log = logging.getLogger("quart_app.mysql")


class Attempts:
    """Counts tries, remembers whether one of them may have worked, and says when to stop.

    Arguments:
        *timeout*: from now; an ambient deadline that is nearer wins. None: the ambient deadline, or
            the policy's where there is none.

    Use: work under ``limit()``; on a DatabaseError call ``failed()``, then await ``again()``; on
    success call ``succeeded()``.
    """

    __slots__ = (
        "_error",
        "_failed_at",
        "_first",
        "_phase",
        "_policy",
        "_pool",
        "_telling",
        "_tries",
        "_uniform",
        "_until",
        "_verdict",
        "generation",  # of the pool, when the try began
        "intent",
        "unknown",
    )

    def __init__(
        self,
        pool: Pool,
        policy: RetryPolicy,
        *,
        intent: Intent,
        timeout: float | None = None,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._pool = pool
        self.generation = pool.generation
        self._policy = policy
        self._uniform = uniform
        self._tries = 0
        self._until = _deadline(timeout, policy.timeout)
        self.intent = intent
        self.unknown = False

    def limit(self) -> deadline.until:
        """Work under the deadline of all tries together."""
        return deadline.until(self._until)

    def failed(
        self,
        error: DatabaseError,
        phase: Phase,
        *,
        connection: Connection | None = None,
        in_transaction: bool = False,
    ) -> Verdict:
        """Note *error*, and take out of use what it says must not be used again."""
        verdict = judge(error, phase=phase, intent=self.intent, in_transaction=in_transaction)
        if connection is not None or self.generation == self._pool.generation:
            evict(self._pool, connection, verdict.evict, error)
        self.generation = self._pool.generation
        if not self._tries:
            self._first, self._failed_at = error, asyncio.get_running_loop().time()
        if not self._tries or not _is_lack_of_time(error):
            self._telling = error
        self._tries += 1
        self._error, self._phase, self._verdict = error, phase, verdict
        return verdict

    def succeeded(self) -> None:
        """Tell, once, what was healed and how long that took."""
        if self._tries:
            after = asyncio.get_running_loop().time() - self._failed_at
            log.info("healed after %.3f s, %d tries: %s", after, self._tries + 1, name(self._first))
            self._pool.observer.healed(after=after, error=self._first)

    async def again(self) -> None:
        """Wait until the next try may begin. Raises the error noted last if there is to be none.

        If that one only says that the time was over, the one before it, with a note. Raises
        CommitUnknown instead where an earlier try may have worked and this one cannot tell.
        """
        error, wait = self._error, self._wait()
        now = asyncio.get_running_loop().time()
        if self._verdict.retry is Retry.NEVER or now + wait >= self._until:
            self._give_up()
        self.unknown = self.unknown or self._verdict.unknown
        self._pool.observer.retried(
            phase=self._phase.value, attempt=self._tries + 1, waited=wait, error=error
        )
        if wait:
            await asyncio.sleep(wait)

    def _wait(self) -> float:
        if self._verdict.retry is Retry.NOW and self._tries == 1:
            return 0.0
        policy = self._policy
        return full_jitter(
            self._tries, initial=policy.wait_initial, maximum=policy.wait_max, uniform=self._uniform
        )

    def _give_up(self) -> NoReturn:
        error = self._telling
        if error is not self._error:
            error.add_note(f"tried again, until: {self._error}")
        if not self.unknown or isinstance(error, CommitUnknown):
            raise error
        raise CommitUnknown(
            "an earlier try may have been committed, and the later ones could not find out",
            errno=error.errno,
            retry_after=error.retry_after,
        ) from error


def evict(pool: Pool, connection: Connection | None, what: Evict, error: DatabaseError) -> None:
    """Carry out the second half of a verdict."""
    if what is Evict.NOTHING:
        return
    if what is Evict.POOL:
        pool.invalidate(name(error), connection=connection)
    if connection is not None:
        connection.evict(name(error))


def name(error: DatabaseError) -> str:
    """Name *error* for a log line or a reason: its class and number, never its text."""
    return f"{type(error).__name__} {error.errno or ''}".rstrip()


def _is_lack_of_time(error: DatabaseError) -> bool:
    """Tell whether *error* says no more than that a try got no connection, or no time, for itself."""
    if isinstance(error, QueryTimeout):
        return not error.sent
    return isinstance(error, PoolTimeout) and error.__cause__ is None


def _deadline(timeout: float | None, default: float) -> float:
    ambient = deadline.current()
    if ambient is not None and timeout is None:
        return ambient
    own = asyncio.get_running_loop().time() + (default if timeout is None else timeout)
    return own if ambient is None else min(own, ambient)
