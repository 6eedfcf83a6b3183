"""Row 10 on a MySQL replication group: the primary goes, and writes go on at the next one.

Only one member takes writes: the others say that they are read-only until the group has chosen.
"""

import asyncio

from quart_app.torture.faults import Faults
from quart_app.torture.group import Member
from quart_app.torture.rows.cluster import in_cluster, kill
from quart_app.torture.rows.row import HELD, IN_TIME, Row

# Members are connected to in turn until one is the primary: so long after it has become that.
BEHIND = 2.0
# The group takes seconds to give a member up, and to choose; then some to agree that it is back.
CHOOSING = 12.0
FROZEN = 25.0


async def _hand_over(_used: Faults, others: list[Faults]) -> None:
    """An operator makes another member the primary."""
    member = others[0].server
    assert isinstance(member, Member)
    await asyncio.to_thread(member.lead)


async def _freeze(used: Faults, _others: list[Faults]) -> None:
    async with used.frozen():
        await asyncio.sleep(FROZEN)


ROWS = (
    Row(
        number="10j",
        title="group: primary killed with SIGKILL",
        play=in_cluster(kill, within=BEHIND, watched=CHOOSING),
        promise=HELD,
    ),
    Row(
        number="10k",
        title="group: another member made the primary",
        # The group ends what is under way at its leisure: that may take longer than a statement may.
        play=in_cluster(_hand_over, within=BEHIND),
        promise=IN_TIME,
    ),
    Row(
        number="10l",
        title="group: primary frozen for 25 s",
        # The group takes longer to choose than a statement may take, and its members are asked in turn.
        play=in_cluster(_freeze, within=None),
        promise=IN_TIME,
        quick=False,
        timeout=180.0,
    ),
)
