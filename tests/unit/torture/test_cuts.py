"""Where a relay cuts."""

import pytest

from quart_app.torture.cuts import Cut, Plan, Tracker, apply, asks


def _packet(payload: bytes, number: int = 0) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


@pytest.mark.parametrize("chunk", [1, 3, 5, 100])
def test_boundary_is_found_however_the_bytes_come(chunk: int) -> None:
    stream = _packet(b"one") + _packet(b"two!", 1)
    tracker, plan, passed = Tracker(), Plan(1, 0, Cut.FIN), 0
    for start in range(0, len(stream), chunk):
        allowed, how = apply(plan, tracker, stream[start : start + chunk])
        passed += allowed
        if how is not None:
            break
    assert passed == len(_packet(b"one"))


def test_bytes_are_counted_after_packets() -> None:
    stream = _packet(b"one") + _packet(b"two!", 1)
    assert apply(Plan(1, 2, Cut.RST), Tracker(), stream) == (len(_packet(b"one")) + 2, Cut.RST)


def test_without_a_plan_everything_passes_and_boundaries_are_kept() -> None:
    tracker = Tracker()
    assert apply(None, tracker, _packet(b"one")[:5]) == (5, None)
    assert tracker.missing == 2


def test_plan_of_another_connection_is_its_own() -> None:
    plan = Plan(1, 0, Cut.FIN)
    copied = plan.copy()
    apply(plan, Tracker(), _packet(b"one"))
    assert (plan.packets, copied.packets) == (0, 1)


def test_statement_is_recognised_alone() -> None:
    assert asks(b"COMMIT", _packet(b"\x03commit"))
    assert not asks(b"COMMIT", _packet(b"\x03SELECT 'COMMIT'"))
    assert not asks(b"COMMIT", _packet(b"\x0eCOMMIT"))


def test_statement_is_recognised_among_those_sent_with_it() -> None:
    assert asks(b"COMMIT", _packet(b"\x03UPDATE t SET a = 1;\nCOMMIT"))
    assert asks(b"BEGIN", _packet(b"\x03BEGIN;\nUPDATE t SET a = 1"))
    assert not asks(b"COMMIT", _packet(b"\x03UPDATE t SET a = ';COMMIT'"))
