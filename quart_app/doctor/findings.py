"""What the doctor says: values, not text on a screen."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """From well to ill: OK and INFO ask for nothing, WARNING will hurt some day, ERROR hurts now."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Order them: the worse, the greater."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    *code* stays the same between versions, for scripts. *meaning* is for people who do not know the
    setting; *remedy* is what to set, exactly, or empty. *endpoint* is empty for what concerns all.
    """

    severity: Severity
    code: str
    title: str
    meaning: str = ""
    remedy: str = ""
    endpoint: str = ""


def ok(code: str, title: str, meaning: str = "") -> Finding:
    return Finding(severity=Severity.OK, code=code, title=title, meaning=meaning)


def info(code: str, title: str, meaning: str, remedy: str = "") -> Finding:
    return Finding(severity=Severity.INFO, code=code, title=title, meaning=meaning, remedy=remedy)


def warning(code: str, title: str, meaning: str, remedy: str) -> Finding:
    return Finding(
        severity=Severity.WARNING, code=code, title=title, meaning=meaning, remedy=remedy
    )


def error(code: str, title: str, meaning: str, remedy: str) -> Finding:
    return Finding(severity=Severity.ERROR, code=code, title=title, meaning=meaning, remedy=remedy)


def exit_code(findings: Iterable[Finding]) -> int:
    """0: nothing to do; 1: warnings; 2: errors."""
    worst = max((finding.severity.rank for finding in findings), default=0)
    return max(0, worst - Severity.INFO.rank)
