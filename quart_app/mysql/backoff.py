"""How long to wait before the next try. Pure: numbers in, a number out.

Doubling, because whoever is in trouble is helped by being asked less; capped, because a server that
is back should be noticed; jittered, because callers that failed together must not return together.
"""

import random
from collections.abc import Callable

# 2**32 times the first wait is past every sane cap; larger powers only risk an overflow.
_MAX_DOUBLINGS = 32

Uniform = Callable[[float, float], float]


def full_jitter(
    tries: int, *, initial: float, maximum: float, uniform: Uniform = random.uniform
) -> float:
    """Wait anything up to the step reached after *tries* failures.

    Spreads best; for work that collided with other work, where nobody waits for us meanwhile.
    """
    return uniform(0.0, step(tries, initial=initial, maximum=maximum))


def equal_jitter(
    tries: int, *, initial: float, maximum: float, uniform: Uniform = random.uniform
) -> float:
    """Wait at least half the step reached after *tries* failures.

    Never near zero; for asking a server again whether it is back, which costs it a handshake.
    """
    half = step(tries, initial=initial, maximum=maximum) / 2
    return half + uniform(0.0, half)


def step(tries: int, *, initial: float, maximum: float) -> float:
    """Tell the undisturbed wait after *tries* failures: *initial*, doubled each time, capped."""
    if tries < 1:
        return 0.0
    return min(maximum, initial * 2.0 ** min(tries - 1, _MAX_DOUBLINGS))
