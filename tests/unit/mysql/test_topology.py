"""Which endpoint is tried first, and when the preferred one is looked for again."""

from quart_app.mysql.config import Endpoint
from quart_app.mysql.topology import PAUSE_FIRST, PAUSE_MAX, RETURN_EVERY, Topology

ONE, TWO, THREE = (Endpoint(host=name) for name in ("one", "two", "three"))


def test_order_is_as_configured_while_nothing_is_known() -> None:
    assert Topology((ONE, TWO, THREE)).order(0.0) == [ONE, TWO, THREE]


def test_endpoint_that_failed_is_tried_last_for_a_while() -> None:
    topology = Topology((ONE, TWO, THREE))
    topology.failed(ONE, 0.0)
    assert topology.order(0.5) == [TWO, THREE, ONE]
    assert topology.order(PAUSE_FIRST) == [ONE, TWO, THREE]


def test_pause_doubles_up_to_a_limit() -> None:
    topology = Topology((ONE, TWO))
    for _ in range(3):
        topology.failed(ONE, 0.0)
    assert topology.order(3.9) == [TWO, ONE]
    assert topology.order(4.0) == [ONE, TWO]
    for _ in range(100):
        topology.failed(ONE, 0.0)
    assert topology.order(PAUSE_MAX - 0.1) == [TWO, ONE]
    assert topology.order(PAUSE_MAX) == [ONE, TWO]


def test_of_endpoints_that_all_failed_the_first_to_be_due_comes_first() -> None:
    topology = Topology((ONE, TWO))
    topology.failed(TWO, 0.0)
    topology.failed(ONE, 0.5)
    assert topology.order(0.6) == [TWO, ONE]


def test_endpoint_in_use_stays_in_use() -> None:
    topology = Topology((ONE, TWO, THREE))
    topology.failed(ONE, 0.0)
    assert topology.succeeded(TWO, 0.1)
    assert topology.order(100.0) == [TWO, ONE, THREE]
    assert not topology.succeeded(TWO, 100.0)


def test_preferred_endpoint_is_looked_for_now_and_then() -> None:
    topology = Topology((ONE, TWO))
    assert not topology.preferred_due(1e9)
    topology.succeeded(TWO, 0.0)
    assert not topology.preferred_due(RETURN_EVERY - 1)
    assert topology.preferred_due(RETURN_EVERY)
    assert not topology.preferred_due(RETURN_EVERY + 1)
    assert topology.succeeded(ONE, RETURN_EVERY + 2)
    assert not topology.preferred_due(1e9)


def test_single_endpoint_is_taken_as_it_is() -> None:
    assert Topology((ONE,)).is_single
    assert not Topology((ONE, TWO)).is_single


def test_equals_are_used_in_turn_and_none_is_returned_to() -> None:
    topology = Topology((ONE, TWO), in_turn=True)
    assert [topology.order(0.0)[0] for _ in range(3)] == [ONE, TWO, ONE]
    topology.succeeded(TWO, 0.0)
    assert not topology.preferred_due(1e9)


def test_failed_endpoint_is_down_until_its_pause_is_over() -> None:
    topology = Topology((ONE, TWO))
    topology.failed(ONE, 0.0)
    assert [topology.is_down(ONE, at) for at in (0.0, PAUSE_FIRST)] == [True, False]
    assert not topology.is_down(TWO, 0.0)
