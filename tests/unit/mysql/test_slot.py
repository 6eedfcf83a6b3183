"""A slot makes the moves of its table, and no other."""

import pytest

from quart_app.mysql.slot import MOVES, Slot, SlotState


@pytest.mark.parametrize("before", SlotState)
@pytest.mark.parametrize("after", SlotState)
def test_slot_makes_the_moves_of_its_table_and_no_other(
    before: SlotState, after: SlotState
) -> None:
    slot = Slot(3)
    slot.state = before
    if after in MOVES[before]:
        slot.move(after)
        assert slot.state is after
    else:
        with pytest.raises(AssertionError, match=f"Slot 3 {before.value}"):
            slot.move(after)


def test_slot_without_a_connection_has_none_to_give() -> None:
    with pytest.raises(AssertionError):
        Slot(0).held()
