"""Loans that last too long: who borrowed, told cheaply at the loan and readably when it matters."""

import sys
import traceback
from types import CodeType

# Code and position; turning them into line numbers is left for the report.
Trace = tuple[tuple[CodeType, int], ...]


def borrowed_from(skip: int) -> Trace:
    """Where the caller stands, *skip* frames up, and the callers of that.

    Every loan pays for this, so no loop and no line numbers; the standard library's way costs
    twenty times as much.
    """
    one = sys._getframe(skip)  # noqa: SLF001 # the documented, if CPython-only, way
    two = one.f_back
    if two is None:
        return ((one.f_code, one.f_lasti),)
    three = two.f_back
    if three is None:
        return ((one.f_code, one.f_lasti), (two.f_code, two.f_lasti))
    return (
        (one.f_code, one.f_lasti),
        (two.f_code, two.f_lasti),
        (three.f_code, three.f_lasti),
    )


def readable(trace: Trace) -> str:
    """Print a borrower's stack the way Python does, innermost call last."""
    lines = []
    for code, last in reversed(trace):
        line = next((n for start, end, n in code.co_lines() if n and start <= last < end), 0)
        lines.append(traceback.FrameSummary(code.co_filename, line, code.co_name))
    return "".join(traceback.StackSummary.from_list(lines).format())
