"""Loans that last too long: who borrowed, told cheaply at the loan and readably when it matters."""

import sys
import traceback
from types import CodeType

DEPTH = 6

# Code and position; turning them into line numbers is left for the report.
Trace = tuple[tuple[CodeType, int], ...]


def borrowed_from(skip: int) -> Trace:
    """Where the caller stands, *skip* frames up.

    The standard library's way costs twenty times as much, and every loan pays for this.
    """
    frame = sys._getframe(skip)  # noqa: SLF001 # the documented, if CPython-only, way
    found = []
    for _ in range(DEPTH):
        found.append((frame.f_code, frame.f_lasti))
        if frame.f_back is None:
            break
        frame = frame.f_back
    return tuple(found)


def readable(trace: Trace) -> str:
    """Print a borrower's stack the way Python does, innermost call last."""
    lines = []
    for code, last in reversed(trace):
        line = next((n for start, end, n in code.co_lines() if n and start <= last < end), 0)
        lines.append(traceback.FrameSummary(code.co_filename, line, code.co_name))
    return "".join(traceback.StackSummary.from_list(lines).format())
