"""Statements that took long, in the log: how long, how they ended, and a fingerprint without values."""

import hashlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from time import perf_counter
from types import TracebackType

from quart_app.mysql.driver.watched import Watch
from quart_app.mysql.fingerprint import fingerprint

log = logging.getLogger("quart_app.slow_query")


def slow_log(after: float, *, clock: Callable[[], float] = perf_counter) -> Watch:
    """Make a watch that logs statements which took *after* seconds or more."""
    return lambda statement: _Stopwatch(statement, after, clock)


def both(one: Watch, other: Watch) -> Watch:
    """Watch with both, *one* outside."""

    def watch(statement: bytes) -> AbstractContextManager[object]:
        stack = ExitStack()
        stack.enter_context(one(statement))
        stack.enter_context(other(statement))
        return stack

    return watch


class _Stopwatch:
    __slots__ = ("_after", "_began", "_clock", "_statement")

    def __init__(self, statement: bytes, after: float, clock: Callable[[], float]) -> None:
        self._statement = statement
        self._after = after
        self._clock = clock
        self._began = clock()

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        took = self._clock() - self._began
        if took >= self._after:
            ended = "" if kind is None else f", ended with {kind.__name__}"
            text = fingerprint(self._statement.decode("utf-8", "replace"))
            number = hashlib.blake2s(text.encode(), digest_size=4).hexdigest()
            log.warning("%.3f s%s: [%s] %s", took, ended, number, text)
