"""The ambient deadline: nesting, children, clock."""

import asyncio

from quart_app.mysql import deadline


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_there_is_no_deadline_until_one_is_set() -> None:
    assert deadline.current() is None
    assert deadline.remaining() is None
    assert deadline.remaining(3.0) == 3.0
    assert not deadline.passed()


async def test_a_deadline_is_absolute_and_ends_with_its_block() -> None:
    when = _now() + 100
    with deadline.until(when):
        assert deadline.current() == when
        assert 99 < (deadline.remaining() or 0) <= 100
    assert deadline.current() is None


async def test_within_counts_from_now() -> None:
    before = _now()
    with deadline.within(5):
        when = deadline.current()
    assert when is not None
    assert before + 5 <= when <= _now() + 5


async def test_the_nearer_of_nested_deadlines_wins() -> None:
    near, far = _now() + 10, _now() + 20
    with deadline.until(near), deadline.until(far):
        assert deadline.current() == near
    with deadline.until(far):
        with deadline.until(near):
            assert deadline.current() == near
        assert deadline.current() == far


async def test_none_changes_nothing() -> None:
    with deadline.within(None):
        assert deadline.current() is None
    with deadline.until(1.0), deadline.within(None):
        assert deadline.current() == 1.0


async def test_what_lies_behind_leaves_zero_seconds() -> None:
    with deadline.until(_now() - 1):
        assert deadline.remaining() == 0.0
        assert deadline.passed()


async def test_a_child_task_inherits_but_does_not_give_back() -> None:
    async def child() -> float | None:
        inherited = deadline.current()
        deadline.until(1.0).__enter__()
        return inherited

    with deadline.until(9e9):
        assert await asyncio.create_task(child()) == 9e9
        assert deadline.current() == 9e9
