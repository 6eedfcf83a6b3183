"""What a run prints and writes: a line for each row, a summary, JSON. Pure."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from quart_app.torture.outcome import Outcome
from quart_app.torture.rows.row import Row
from quart_app.torture.run import Result
from quart_app.torture.timeline import STEP, buckets

HEAD = (
    f"{'row':<4} {'fault':<48} {'requests':>8} {'longest':>8} {'heals in':>9}"
    f" {'lost':>5} {'doubled':>8} {'leaked':>7}  {'promise':<7}  not ok"
)


def line(result: Result) -> str:
    """A row of the table."""
    healed = "-" if result.healed_after is None else f"{result.healed_after * 1e3:.0f} ms"
    return (
        f"{result.row.number:<4} {result.row.title:<48} {len(result.records):>8}"
        f" {result.longest:>6.2f} s {healed:>9}"
        f" {result.account.lost:>5} {result.account.doubled:>8} {result.leaked:>7}"
        f"  {'kept' if result.kept else 'BROKEN':<7}  {not_ok(result)}"
    )


def left_out(row: Row, why: str) -> str:
    """A row that cannot be played here."""
    return f"{row.number:<4} {row.title:<48} not played: {why}"


def not_ok(result: Result) -> str:
    """What clients saw that was not ok, as ``W 2 x 503 outcome-unknown``, and notes."""
    said = [
        f"{kind.name} {times} x {outcome.value}"
        for (kind, outcome), times in sorted(result.seen.items(), key=lambda item: item[0][0].name)
        if outcome is not Outcome.OK
    ]
    return ", ".join([*said, *result.notes]) or "-"


def summary(results: Sequence[Result]) -> str:
    """The last lines: what was broken, in words."""
    broken = [result for result in results if not result.kept]
    requests = sum(len(result.records) for result in results)
    lines = [
        (
            f"{len(results)} faults, {requests} requests, {len(broken)} promises broken,"
            f" {sum(r.account.lost for r in results)} writes lost,"
            f" {sum(r.account.doubled for r in results)} doubled,"
            f" {sum(r.leaked for r in results)} connections leaked"
        )
    ]
    lines += [f"  {r.row.number} {r.row.title}: {what}" for r in broken for what in r.broken]
    return "\n".join(lines)


def as_json(results: Sequence[Result], *, server: str, since: float) -> bytes:
    """Everything, for programs; times in seconds from the run's begin."""
    told = {"server": server, "rows": [_told(result, since=since) for result in results]}
    return msgspec.json.format(msgspec.json.encode(told), indent=1)


def _told(result: Result, *, since: float) -> dict[str, object]:
    seen: dict[str, Counter[str]] = {}
    for (kind, outcome), times in result.seen.items():
        seen.setdefault(kind.name, Counter())[outcome.value] += times
    timeline: dict[str, list[list[int]]] = {}
    for (step, outcome), times in sorted(
        buckets(result.records, since=since).items(), key=lambda item: item[0][0]
    ):
        timeline.setdefault(outcome.value, []).append([step, times])
    return {
        "row": result.row.number,
        "fault": result.row.title,
        "kept": result.kept,
        "broken": result.broken,
        "notes": result.notes,
        "requests": len(result.records),
        "seen": seen,
        "longest": round(result.longest, 3),
        "healed_after": result.healed_after,
        "lost": result.account.lost,
        "doubled": result.account.doubled,
        "denied_but_done": result.account.denied,
        "torn": result.account.torn,
        "leaked": result.leaked,
        "outages": [[o.began - since, o.ended - since] for o in result.outages],
        "timeline": {"step": STEP, "answers": timeline},
    }
