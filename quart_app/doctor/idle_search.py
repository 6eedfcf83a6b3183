"""Which idle times to try, and what the tries together tell. Pure: no sockets, no clock.

Idle times are halved from the longest down, so that they all can be waited for at the same time. In
the upper half, where no time would be left for a second round, they lie close from the start.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

UPPER_STEPS = 8
REFINED = 7
SHORTEST = 0.1


class How(Enum):
    """How a connection was found to have ended.

    FIN      closed in the open: we were told at once
    RST      reset: told at once, or when we next spoke
    GOODBYE  the server said that it closes for idleness (MySQL's packet 4031), then closed
    SILENCE  nobody told us anything: whatever we send is swallowed
    """

    FIN = "fin"
    RST = "rst"
    GOODBYE = "goodbye"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One connection, left alone for *idle* seconds; *how* it ended, None if it still worked.

    *at*: the idle second at which we were told, where we were told before we asked.
    """

    idle: float
    how: How | None = None
    at: float | None = None

    @property
    def ended_by(self) -> float:
        """It was gone after this many seconds."""
        return self.idle if self.at is None else self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Connections idle for *held* seconds still worked; idle for *dropped* seconds they did not.

    *dropped* is None if all held. *certain*: a busy connection lived on, so idleness was the cause.
    """

    held: float
    dropped: float | None = None
    how: How | None = None
    certain: bool = True


def ladder(up_to: float) -> list[float]:
    """The idle times of the first round, shortest first."""
    halvings = max(3, math.floor(math.log2(up_to))) if up_to > 1 else 3
    lower = [up_to / 2**power for power in range(halvings, 0, -1)]
    upper = [up_to / 2 * (1 + step / UPPER_STEPS) for step in range(1, UPPER_STEPS + 1)]
    return [idle for idle in lower if idle >= SHORTEST] + upper


def refinement(answer: Answer, *, up_to: float) -> list[float]:
    """The idle times of the second round: between what held and what did not, if time is left."""
    if answer.dropped is None or answer.dropped > up_to / 2 or answer.how is not How.SILENCE:
        return []
    step = (answer.dropped - answer.held) / (REFINED + 1)
    return [answer.held + step * number for number in range(1, REFINED + 1)]


def conclude(tries: Iterable[Try], *, certain: bool = True) -> Answer:
    """Put the tries together."""
    all_tries = list(tries)
    ended = sorted((t for t in all_tries if t.how is not None), key=lambda t: t.ended_by)
    first = ended[0] if ended else None
    limit = math.inf if first is None else first.ended_by
    held = max((t.idle for t in all_tries if t.how is None and t.idle < limit), default=0.0)
    if first is None:
        return Answer(held=held)
    if first.at is not None:  # all that were as old as this one were alive a moment before
        held = max(held, math.floor(first.at * 10) / 10)
    return Answer(held=held, dropped=limit, how=first.how, certain=certain)
