"""What a run prints, draws and writes; which rows it plays."""

from collections import Counter
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import msgspec
import pytest

from quart_app.torture import plan, report, timeline
from quart_app.torture.ledger import Account
from quart_app.torture.outcome import Kind, Outcome, Record
from quart_app.torture.rows import TABLE
from quart_app.torture.run import Result
from quart_app.torture.scene import Outage


def _result(*broken: str, outcome: Outcome = Outcome.OK) -> Result:
    record = Record(kind=Kind.W, number=1, began=10.0, ended=10.25, outcome=outcome)
    return Result(
        row=TABLE[0],
        records=[record],
        outages=[Outage(began=10.1, ended=10.2)],
        healed_after=0.05,
        account=Account(lost=len(broken)),
        leaked=0,
        broken=list(broken),
        log_path=Path("row.log"),
        seen=Counter({(Kind.W, outcome): 1}),
    )


def test_every_row_of_the_table_of_promises_is_played() -> None:
    assert {int(row.number.rstrip("abcdefg")) for row in TABLE} == set(range(1, 19))
    assert len({row.number for row in TABLE}) == len(TABLE)


def test_line_says_what_was_seen_and_whether_the_promise_was_kept() -> None:
    line = report.line(_result("1 lost", outcome=Outcome.UNKNOWN))
    assert "W 1 x 503 outcome-unknown" in line
    assert "50 ms" in line
    assert "BROKEN" in line
    assert " kept" in report.line(_result())


def test_summary_tells_what_was_broken() -> None:
    said = report.summary([_result(), _result("something")])
    assert said.startswith("2 faults, 2 requests, 1 promises broken, 1 writes lost")
    assert said.endswith("something")


def test_json_holds_rows_and_timeline() -> None:
    told = msgspec.json.decode(report.as_json([_result("x")], server="s", since=10.0))
    row = told["rows"][0]
    assert (row["row"], row["kept"], row["broken"], row["lost"]) == ("1", False, ["x"], 1)
    assert row["timeline"]["answers"] == {"ok": [[2, 1]]}


def test_timeline_is_a_drawing_with_every_fault_marked() -> None:
    drawn = timeline.svg([_result("x")], title="a <b>", since=10.0, until=11.0)
    elements = list(ET.fromstring(drawn).iter())  # noqa: S314 - our own
    assert "a <b>" in {element.text for element in elements}
    assert any("broken" in (element.tail or "") for element in elements)


def test_rows_are_chosen_by_number_with_or_without_their_letter() -> None:
    assert [row.number for row in plan.chosen("4,6b", quick=False, given=False)] == [
        *("4a", "4b", "4c", "6b"),
    ]
    with pytest.raises(click.BadParameter, match="99"):
        plan.chosen("4,99", quick=False, given=False)


def test_server_that_is_not_ours_is_not_broken() -> None:
    numbers = {row.number for row in plan.chosen(None, quick=False, given=True)}
    assert "5" in numbers
    assert not numbers & {"3", "4a", "4b", "9a"}


def test_seed_gives_the_same_order_again_and_seconds_go_round() -> None:
    rows = plan.chosen(None, quick=False, given=False)
    orders = [[row.number for row in plan.Plan(rows, seed=5, seconds=None)] for _ in range(2)]
    assert orders[0] == orders[1] != [row.number for row in rows]
    assert sorted(orders[0]) == sorted(row.number for row in rows)
    round_and_round = plan.Plan(rows, seed=None, seconds=60.0)
    assert len(list(islice(round_and_round, 2 * len(rows)))) == 2 * len(rows)
    assert list(plan.Plan(rows, seed=None, seconds=0.0)) == []
