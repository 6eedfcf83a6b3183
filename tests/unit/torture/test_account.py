"""What counts as lost, doubled, denied, and what a client is said to have seen."""

from collections import Counter

import pytest

from quart_app.torture.client import Answer
from quart_app.torture.ledger import compare
from quart_app.torture.outcome import Kind, Outcome, Record, outcome_of


def _record(kind: Kind, number: int, outcome: Outcome) -> Record:
    return Record(kind=kind, number=number, began=1.0, ended=1.5, outcome=outcome)


def _problem(slug: str, status: int = 503, *, retry_after: str = "") -> Answer:
    return Answer(
        status=status,
        headers={"content-type": "application/problem+json"}
        | ({"retry-after": retry_after} if retry_after else {}),
        body=f'{{"type": "/problems/{slug}"}}'.encode(),
    )


def test_acknowledged_write_that_is_not_there_is_lost() -> None:
    account = compare(Counter(), [_record(Kind.W, 1, Outcome.OK), _record(Kind.G, 2, Outcome.OK)])
    assert (account.lost, account.doubled) == (1, 0)


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.UNKNOWN, Outcome.DROPPED])
def test_write_that_is_there_twice_is_doubled_whatever_was_said(outcome: Outcome) -> None:
    assert compare(Counter({(Kind.K, 7): 2}), [_record(Kind.K, 7, outcome)]).doubled == 1


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.TIMEOUT])
def test_write_that_was_denied_must_not_be_there(outcome: Outcome) -> None:
    account = compare(Counter({(Kind.T, 7): 1}), [_record(Kind.T, 7, outcome)])
    assert account.denied == 1
    assert account.faults == ["1 writes done that were answered with 'nothing was changed'"]


@pytest.mark.parametrize("times", [0, 1])
def test_unknown_outcome_may_be_either(times: int) -> None:
    found = Counter({(Kind.W, 7): times})
    assert compare(found, [_record(Kind.W, 7, Outcome.UNKNOWN)]).faults == []


def test_sums_that_do_not_add_up_are_told() -> None:
    assert compare(Counter(), [], torn=3).faults == ["3 sums that do not add up"]


@pytest.mark.parametrize(
    ("slug", "outcome"),
    [
        ("unavailable", Outcome.UNAVAILABLE),
        ("timeout", Outcome.TIMEOUT),
        ("outcome-unknown", Outcome.UNKNOWN),
        ("internal", Outcome.WRONG),
    ],
)
def test_outcome_is_told_by_the_problem(slug: str, outcome: Outcome) -> None:
    assert outcome_of(_problem(slug, retry_after="1"))[0] is outcome


def test_denial_that_does_not_say_when_to_come_again_is_wrong() -> None:
    assert outcome_of(_problem("unavailable")) == (Outcome.WRONG, "503 without Retry-After")


def test_other_statuses_are_wrong() -> None:
    assert outcome_of(_problem("internal", 500))[0] is Outcome.WRONG
    plain = Answer(status=502, headers={}, body=b"")
    assert outcome_of(plain) == (Outcome.WRONG, "502")
    assert outcome_of(Answer(status=201, headers={}, body=b""))[0] is Outcome.OK
