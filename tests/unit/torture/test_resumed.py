"""When writes are said to have gone on."""

from quart_app.torture.rows.cluster import resumed


def test_longest_pause_after_the_fault_counts_to_its_end() -> None:
    assert resumed([8.0, 10.1, 13.1, 13.2, 14.0], since=10.0) == 13.1 - 10.0


def test_pause_may_begin_with_the_fault() -> None:
    assert resumed([9.9, 12.0, 12.1], since=10.0) == 2.0


def test_without_a_pause_they_never_stopped() -> None:
    assert resumed([10.1, 10.2, 10.3], since=10.0) == 0.0


def test_without_any_write_they_never_went_on() -> None:
    assert resumed([9.0], since=10.0) == float("inf")
