"""Which of several servers to connect to: the writer, and the preferred one of equals.

Pure: it is told what happened and when, and answers with an order. One server is used at a time, so
that a Galera cluster sees no conflicts of our making; the others are for when it goes.
"""

import math
from dataclasses import dataclass

from quart_app.mysql.config import Endpoint

# An endpoint that failed is tried after all others for this long; the pause doubles.
PAUSE_FIRST = 1.0
PAUSE_MAX = 30.0
# How often to look whether the preferred endpoint is back, while another one serves.
RETURN_EVERY = 30.0


@dataclass(slots=True)
class _Standing:
    failures: int = 0
    down_until: float = -math.inf


class Topology:
    """Keeps the endpoints in the order to try them. Times are one clock's, in seconds."""

    def __init__(self, endpoints: tuple[Endpoint, ...], *, in_turn: bool = False) -> None:
        self.endpoints = endpoints
        self._in_turn = in_turn  # every connection to another one: for servers only read from
        self._turn = -1
        self.current = endpoints[0]
        self._standing = {endpoint: _Standing() for endpoint in endpoints}
        self._return_at = math.inf

    @property
    def is_single(self) -> bool:
        """Whether there is no choice: then a server is taken as it is, read-only or not."""
        return len(self.endpoints) == 1

    def is_down(self, endpoint: Endpoint, now: float) -> bool:
        """Whether it failed lately, and is tried after all others."""
        return self._standing[endpoint].down_until > now

    def order(self, now: float) -> list[Endpoint]:
        """The endpoints to try: the one in use, then as configured; those that failed lately last."""
        if self._in_turn:
            self._turn = (self._turn + 1) % len(self.endpoints)
            self.current = self.endpoints[self._turn]
        ranked = [self.current, *(each for each in self.endpoints if each != self.current)]
        return sorted(ranked, key=lambda each: max(self._standing[each].down_until, now))

    def failed(self, endpoint: Endpoint, now: float) -> None:
        """It could not be connected to, or takes no writes."""
        standing = self._standing[endpoint]
        standing.failures += 1
        pause = min(PAUSE_MAX, PAUSE_FIRST * 2.0 ** min(standing.failures - 1, 16))
        standing.down_until = now + pause

    def succeeded(self, endpoint: Endpoint, now: float) -> bool:
        """It serves. True if that is a change: connections to the one before should go."""
        self._standing[endpoint] = _Standing()
        changed, self.current = endpoint != self.current, endpoint
        self._return_at = math.inf if endpoint == self.endpoints[0] else now + RETURN_EVERY
        return changed

    def preferred_due(self, now: float) -> bool:
        """Whether it is time to look if the preferred endpoint is back."""
        if now < self._return_at or self._in_turn:
            return False
        self._return_at = now + RETURN_EVERY
        return True
