"""How many connects may run at once, and when the next may begin: numbers in, numbers out.

While the server answers: as many as the pool has room for. From the first failure on: one prober at a
time, after a pause. From its success on: two, four, eight … until there is no limit again, so that a
server that comes back is not met by all of us at once (temporal#9747: 2.5 minutes of restart became
35 of outage).
"""

import math
import random

# While somebody waits, a refused connect is tried again this soon: at most 20 a second and worker.
PROBE_PAUSE = 0.05
# While nobody waits, the pause doubles from the first to the second: short enough that readiness,
# without which no balancer sends the request that would wait, is back within a second.
IDLE_PAUSE_FIRST = 0.1
IDLE_PAUSE_MAX = 1.0
# A server that says no (password, database, TLS) is asked again this seldom: it may lock the account.
REFUSED_PAUSE_FIRST = 1.0
REFUSED_PAUSE_MAX = 30.0
# Slow start ends here.
WIDE_OPEN = 64
JITTER = 0.2


class ConnectGate:
    """Decides about connects. Times are those of one clock, in seconds."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failed_at = -math.inf
        self._pause = 0.0
        self.limit = math.inf
        self.failures = 0
        self.refused = False

    def opens_at(self, *, wanted: bool) -> float:
        """When the next connect may begin; *wanted*: a caller waits for it."""
        pause = self._pause
        if wanted and not self.refused:
            pause = min(pause, PROBE_PAUSE)
        return self._failed_at + pause

    def may_start(self, now: float, *, running: int, wanted: bool) -> bool:
        """Tell whether one more connect may begin while *running* are under way."""
        return running < self.limit and now >= self.opens_at(wanted=wanted)

    def succeeded(self) -> None:
        """Widen: nothing to wait for, and twice as many at once."""
        self.failures, self.refused, self._pause = 0, False, 0.0
        self.limit = math.inf if self.limit >= WIDE_OPEN else self.limit * 2

    def failed(self, now: float, *, began: float, refused: bool) -> None:
        """Narrow to one at a time, after a pause that grows. *refused*: the server said no.

        What *began* before the last failure was known was no further try: it adds nothing.
        """
        if self.failures and refused == self.refused and began < self._failed_at:
            return
        first, most = (
            (REFUSED_PAUSE_FIRST, REFUSED_PAUSE_MAX)
            if refused
            else (IDLE_PAUSE_FIRST, IDLE_PAUSE_MAX)
        )
        self.failures = self.failures + 1 if refused == self.refused else 1
        self.refused = refused
        pause = min(most, first * 2.0 ** min(self.failures - 1, 16))
        self._pause = pause * self._rng.uniform(1 - JITTER, 1)
        self._failed_at = now
        self.limit = 1
