"""The deadline everything in a task works under: one absolute time, set once, never re-armed.

It interrupts nothing by itself: acquires, statements and retries ask for it and stop there. Child
tasks inherit the deadline they were started under.
"""

import asyncio
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

_deadline: ContextVar[float | None] = ContextVar("quart_app_mysql_deadline", default=None)


def current() -> float | None:
    """Tell the deadline on the loop's clock; None when there is none."""
    return _deadline.get()


def remaining(default: float | None = None) -> float | None:
    """Tell the seconds left, never below zero; *default* when there is no deadline."""
    when = _deadline.get()
    if when is None:
        return default
    return max(0.0, when - asyncio.get_running_loop().time())


def passed() -> bool:
    """Tell whether there is a deadline and it lies behind."""
    return remaining() == 0.0


class until:  # noqa: N801 - reads as a word: "with until(time):"
    """Work until *when*, on the loop's clock, or until an enclosing deadline if that is nearer.

    A plain context manager, for one ``with`` each; *when* None changes nothing. Not for use around
    the ``yield`` of a generator: the caller would inherit the deadline.
    """

    __slots__ = ("_token", "_when")

    def __init__(self, when: float | None) -> None:
        self._when = when

    def __enter__(self) -> Self:
        self._token: Token[float | None] = _deadline.set(nearer(_deadline.get(), self._when))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _deadline.reset(self._token)


def within(seconds: float | None) -> until:
    """Work for *seconds* from now, or until an enclosing deadline if that is nearer."""
    if seconds is None:
        return until(None)
    return until(asyncio.get_running_loop().time() + seconds)


def nearer(one: float | None, other: float | None) -> float | None:
    """Pick the earlier of two deadlines, of which either may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
