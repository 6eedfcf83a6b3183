"""Play rows, one after the other, and judge them. Prints nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from quart_app.torture.ledger import Account
from quart_app.torture.outcome import Kind, Outcome, Record
from quart_app.torture.program import StartFailed
from quart_app.torture.rows.row import Row
from quart_app.torture.scene import Bench, Outage, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a row. Times are the loop's."""

    row: Row
    records: list[Record]
    outages: list[Outage]
    healed_after: float | None
    account: Account
    leaked: int
    broken: list[str]
    log_path: Path
    notes: list[str] = field(default_factory=list)
    seen: Counter[tuple[Kind, Outcome]] = field(default_factory=Counter)

    @property
    def kept(self) -> bool:
        """Whether everything that is promised was so."""
        return not self.broken

    @property
    def longest(self) -> float:
        """The longest that a client waited."""
        return max((record.waited for record in self.records), default=0.0)


async def play(row: Row, bench: Bench, *, heard: Callable[[Record], None] | None = None) -> Result:
    """Play *row* and judge it. Raises nothing that goes wrong in it: a row that fails is broken."""
    scene = Scene(bench, url=row.url(bench), name=row.number, heard=heard)
    try:
        async with asyncio.timeout(row.timeout), row.server(bench.faults):
            await row.play(scene, row)
            await scene.settle_account()
    except (StartFailed, TimeoutError) as error:
        scene.expect(None, f"{type(error).__name__}: {error}")
    finally:
        bench.faults.proxy.mend()
        bench.faults.proxy.end_silent()
    return Result(
        row=row,
        records=scene.records,
        outages=scene.outages,
        healed_after=scene.healed_after,
        account=scene.account,
        leaked=scene.leaked,
        log_path=scene.log_path,
        notes=scene.notes,
        broken=[*scene.broken, *_broken(row, scene)],
        seen=Counter((record.kind, record.outcome) for record in scene.records),
    )


def _broken(row: Row, scene: Scene) -> Iterable[str]:
    """Say which of the row's promises the records and the account do not bear out."""
    seen = Counter(
        (record.kind, record.outcome, record.detail)
        for record in scene.records
        if record.outcome not in row.promise[record.kind]
    )
    for (kind, outcome, detail), times in seen.items():
        yield f"{times} x {kind.name}: {outcome.value} {detail}".rstrip()
    longest = max((record.waited for record in scene.records), default=0.0)
    if longest > row.longest:
        yield f"a client waited {longest:.1f} s, promised {row.longest:g} s"
    yield from scene.account.faults
    if scene.leaked:
        yield f"{scene.leaked} connections leaked"
    if scene.outages and scene.healed_after is None and scene.records:
        yield "it never healed"
