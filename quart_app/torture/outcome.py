"""What a client saw of one request. Pure."""

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

import msgspec

from quart_app.torture.client import Answer


class Kind(Enum):
    """What a request is, by the letters of the promises."""

    G = "safe read"
    K = "POST with Idempotency-Key"
    W = "plain autocommit write"
    T = "transaction as work"
    I = "transaction as work, idempotent"  # noqa: E741 - as in the table


class Outcome(Enum):
    """How it ended. Those of the second group are never promised."""

    OK = "ok"
    UNAVAILABLE = "503 unavailable"  # nothing was changed
    TIMEOUT = "503 timeout"  # nothing was changed
    UNKNOWN = "503 outcome-unknown"

    WRONG = "wrong answer"  # any other status
    DROPPED = "dropped"  # the connection ended before the answer
    HUNG = "no answer"  # the client gave up
    REFUSED = "refused"  # nobody listens: no request was made


DENIED = frozenset((Outcome.UNAVAILABLE, Outcome.TIMEOUT))
_PROBLEMS = {
    "/problems/unavailable": Outcome.UNAVAILABLE,
    "/problems/timeout": Outcome.TIMEOUT,
    "/problems/outcome-unknown": Outcome.UNKNOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request. Times are the loop's; *number* is what it wrote, if it writes."""

    kind: Kind
    number: int
    began: float
    ended: float
    outcome: Outcome
    detail: str = ""

    @property
    def waited(self) -> float:
        """How long the client waited."""
        return self.ended - self.began


class _Problem(msgspec.Struct):
    type: str = ""


def outcome_of(answer: Answer) -> tuple[Outcome, str]:
    """Tell the outcome, and in words what is unusual about it."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome.OK, ""
    problem = _problem_type(answer)
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        outcome = _PROBLEMS.get(problem, Outcome.WRONG)
        if outcome in DENIED and "retry-after" not in answer.headers:
            return Outcome.WRONG, "503 without Retry-After"
        return outcome, "" if outcome is not Outcome.WRONG else f"503 {problem}"
    return Outcome.WRONG, f"{answer.status} {problem}".strip()


def _problem_type(answer: Answer) -> str:
    if answer.headers.get("content-type") != "application/problem+json":
        return ""
    try:
        return msgspec.json.decode(answer.body, type=_Problem).type
    except msgspec.DecodeError:
        return "unreadable"
