"""What must hold of a pool at any moment, and what more when it is at rest or closed."""

from collections import Counter

from quart_app.mysql.pool import Pool
from quart_app.mysql.slot import Slot, SlotState
from quart_app.mysql.stock import PoolState
from tests.support.fake import FakeDriver


def assert_consistent(pool: Pool) -> None:
    """Every slot is in exactly one place, and the counts agree. Holds between any two awaits."""
    slots, lent = pool._slots, set(pool._lent.values())
    surplus = [slot for slot in slots if pool.maxsize and slot.number >= pool.maxsize]
    if pool.maxsize:
        assert len(slots) - len(surplus) == pool.maxsize, f"{pool!r} has {len(slots)} slots"
    assert len(set(slots)) == len(slots)
    places = Counter([*pool._empty, *pool._idle, *pool._filler.connecting, *lent])
    assert not [slot for slot, times in places.items() if times != 1], f"twice: {places}"
    assert set(places) <= set(slots)
    for slot in slots:
        _assert_in_its_place(pool, slot, lent)
    _assert_counts(pool)


def _assert_in_its_place(pool: Pool, slot: Slot, lent: set[Slot]) -> None:
    state = slot.state
    assert (slot in pool._empty) == (state is SlotState.EMPTY), slot
    assert (slot in pool._filler.connecting) == (state is SlotState.CONNECTING), slot
    assert (slot in pool._idle) == (state is SlotState.IDLE), slot
    if slot in lent:
        assert state is SlotState.IN_USE, slot
    assert (slot.connection is None) == (state in {SlotState.EMPTY, SlotState.CONNECTING}), slot
    assert state is not SlotState.CLOSING, "closing takes no time"


def _assert_counts(pool: Pool) -> None:
    stats = pool.stats()
    assert stats.acquired - stats.released - len(pool._terminated) <= stats.active
    assert stats.active <= stats.acquired - stats.released
    if stats.waiting and pool._state is PoolState.OPEN:
        assert not stats.idle, f"{pool!r}: somebody waits beside an idle connection"
        assert not pool._empty or stats.connecting or pool._filler.timer is not None, (
            f"{pool!r}: somebody waits, there is room, and nobody connects"
        )


def assert_healthy(pool: Pool, driver: FakeDriver) -> None:
    """As above, and nothing is under way: at the end of a test, all borrowers gone."""
    assert_consistent(pool)
    stats = pool.stats()
    assert stats.waiting == 0
    assert stats.active == 0
    assert stats.acquired == stats.released
    handed = [slot for slot in pool._slots if slot.state is SlotState.IN_USE]
    assert not handed, f"{pool!r} lost {handed}"
    held = {slot.connection for slot in pool._slots if slot.connection is not None}
    assert set(driver.open) == held, "a connection is open that the pool does not know"
    assert pool.maxsize is None or driver.most_open <= pool.maxsize


def assert_closed(pool: Pool, driver: FakeDriver) -> None:
    """After close(): nothing is left, no connection, no task, no waiter."""
    assert pool.closed
    assert_consistent(pool)
    assert not driver.open, "connections were left open"
    assert not pool._tasks, pool._tasks
    assert not pool._lent
    assert len(pool._waiters) == 0
    assert all(slot.state is SlotState.EMPTY for slot in pool._slots), pool._slots
