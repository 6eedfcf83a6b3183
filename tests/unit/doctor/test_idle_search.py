"""Which idle times are tried, and what the tries tell together."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_app.doctor.facts import Ours
from quart_app.doctor.findings import Severity
from quart_app.doctor.idle_search import Answer, How, Try, conclude, ladder, refinement
from quart_app.doctor.rules.idle import idle


@given(st.floats(1, 100_000))
def test_ladder_goes_up_to_the_end_in_few_steps(up_to: float) -> None:
    steps = ladder(up_to)
    assert steps == sorted(steps)
    assert steps[-1] == pytest.approx(up_to)
    assert len(steps) <= 26
    gaps = [(b - a) / up_to for a, b in pairwise(steps) if b > up_to / 2 * 1.01]
    assert all(gap == pytest.approx(1 / 16) for gap in gaps)


def test_ladder_of_ten_minutes() -> None:
    assert ladder(600)[:4] == [600 / 512, 600 / 256, 600 / 128, 600 / 64]
    assert ladder(600)[-9:] == [300, 337.5, 375, 412.5, 450, 487.5, 525, 562.5, 600]


@given(st.floats(10, 1000), st.floats(0.05, 1))
def test_two_rounds_take_no_longer_than_asked(up_to: float, share: float) -> None:
    limit = up_to * share
    tries = [Try(idle=i, how=How.SILENCE if i >= limit else None) for i in ladder(up_to)]
    first = conclude(tries)
    assert first.dropped is not None
    finer = refinement(first, up_to=up_to)
    assert not finer or first.dropped + max(finer) <= up_to
    answer = conclude(tries + [Try(idle=i, how=How.SILENCE if i >= limit else None) for i in finer])
    assert answer.dropped is not None
    assert answer.held < limit <= answer.dropped
    assert answer.dropped - answer.held <= up_to / 16 + 1e-6


def test_all_that_hold_is_no_drop() -> None:
    assert conclude([Try(idle=1), Try(idle=2)]) == Answer(held=2)


def test_being_told_gives_the_moment() -> None:
    tries = [Try(idle=1), Try(idle=2), Try(idle=4, how=How.FIN, at=3.05)]
    assert conclude(tries) == Answer(held=3.0, dropped=3.05, how=How.FIN)


def test_a_longer_one_that_held_does_not_count() -> None:
    tries = [Try(idle=2, how=How.RST), Try(idle=4), Try(idle=1)]
    assert conclude(tries) == Answer(held=1, dropped=2, how=How.RST)


def test_what_is_told_at_once_needs_no_second_round() -> None:
    assert refinement(Answer(held=1, dropped=2, how=How.FIN), up_to=100) == []
    assert refinement(Answer(held=1), up_to=100) == []
    assert refinement(Answer(held=1, dropped=2, how=How.SILENCE), up_to=3) == []
    assert refinement(Answer(held=1, dropped=2, how=How.SILENCE), up_to=4)[3] == 1.5


MEANT = [
    (Answer(held=600), "idle-path", Severity.OK),
    (Answer(held=3, dropped=3.1, how=How.GOODBYE), "idle-server", Severity.OK),
    (Answer(held=10, dropped=12, how=How.SILENCE), "idle-path", Severity.ERROR),
    (Answer(held=10, dropped=12, how=How.RST), "idle-path", Severity.WARNING),
    (Answer(held=100, dropped=120, how=How.SILENCE), "idle-path", Severity.INFO),
    (Answer(held=1, dropped=2, how=How.FIN, certain=False), "idle-unclear", Severity.ERROR),
]


@pytest.mark.parametrize(("answer", "code", "severity"), MEANT)
def test_meaning(answer: Answer, code: str, severity: Severity) -> None:
    (finding,) = idle(answer, Ours(), wait_timeout=3, path_only=False)
    assert (finding.code, finding.severity) == (code, severity)


def test_path_alone_is_not_taken_for_the_server() -> None:
    answer = Answer(held=2.9, dropped=3.1, how=How.FIN)
    (finding,) = idle(answer, Ours(), wait_timeout=3, path_only=True)
    assert finding.code == "idle-path"
    assert "QUART_APP_POOL_RECYCLE=2" in finding.remedy
