"""How many connects may run at a time, and when the next may begin."""

import math
import random

from quart_app.mysql.gate import (
    IDLE_PAUSE_MAX,
    PROBE_PAUSE,
    REFUSED_PAUSE_FIRST,
    REFUSED_PAUSE_MAX,
    ConnectGate,
)


def gate() -> ConnectGate:
    return ConnectGate(random.Random(0))  # jitter


def test_open_gate_lets_everybody_through() -> None:
    assert all(gate().may_start(0, running=count, wanted=False) for count in range(1000))


def test_one_failure_leaves_one_prober() -> None:
    one = gate()
    one.failed(100, began=100, refused=False)
    assert one.may_start(200, running=0, wanted=True)
    assert not one.may_start(200, running=1, wanted=True)


def test_pause_is_short_while_somebody_waits_and_grows_while_nobody_does() -> None:
    one = gate()
    pauses = []
    for _ in range(12):
        one.failed(100, began=100, refused=False)
        assert one.opens_at(wanted=True) - 100 <= PROBE_PAUSE
        pauses.append(one.opens_at(wanted=False) - 100)
    assert pauses[0] < 0.11
    assert IDLE_PAUSE_MAX * 0.8 <= pauses[-1] <= IDLE_PAUSE_MAX


def test_refusal_is_repeated_seldom_even_if_somebody_waits() -> None:
    one = gate()
    for _ in range(12):
        one.failed(100, began=100, refused=True)
    assert one.opens_at(wanted=True) - 100 >= REFUSED_PAUSE_MAX * 0.8


def test_another_kind_of_failure_begins_anew() -> None:
    one = gate()
    for _ in range(12):
        one.failed(100, began=100, refused=True)
    one.failed(100, began=100, refused=False)
    assert one.opens_at(wanted=False) - 100 < 0.11


def test_start_after_failures_is_slow_and_then_free() -> None:
    one = gate()
    one.failed(100, began=100, refused=False)
    limits = []
    for _ in range(9):
        one.succeeded()
        limits.append(one.limit)
    assert limits[:6] == [2, 4, 8, 16, 32, 64]
    assert limits[-1] == math.inf
    assert one.may_start(100, running=500, wanted=False)


def test_connects_that_fail_together_count_once() -> None:
    one = gate()
    for _ in range(10):
        one.failed(100, began=99, refused=True)
    assert one.failures == 1
    assert one.opens_at(wanted=True) - 100 <= REFUSED_PAUSE_FIRST
    one.failed(102, began=101, refused=True)
    assert one.failures == 2
