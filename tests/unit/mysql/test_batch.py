"""Lookups on a reader that is scripted: who shares a statement with whom, and whose errors are whose."""

import asyncio
import gc
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_app.mysql import batch, deadline
from quart_app.mysql.batch import HEAD_START, LANES, MAX_BATCH, PATIENCE, Lookup
from quart_app.mysql.driver import Result
from quart_app.mysql.errors import ConnectionLost, QueryError, QueryTimeout
from quart_app.mysql.reply import Kind
from tests.support import virtual

SQL = "SELECT a FROM t WHERE b = %s"
INT: Kind = (3, 63, 0)
BAD = "bad"


class Table:
    """Answers every key with itself after a while; a bad key spoils its statement."""

    def __init__(self, *, delay: float = 0.001) -> None:
        self.delay = delay
        self.held = False
        self.statements: list[list[object]] = []
        self.batches: list[int] = []
        self.lost = 0
        self.unforeseen: Exception | None = None
        self.hanging = 0
        self.kind = self.union_kind = INT
        self.under_way = self.most_under_way = 0

    def holds_connection(self) -> bool:
        return self.held

    def observe_batch(self, size: int) -> None:
        self.batches.append(size)

    async def read(self, sql: str, args: Sequence[object] | None) -> Result:
        self.statements.append(list(args or ()))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            async with asyncio.timeout_at(deadline.current()):
                await asyncio.sleep(self._takes())
        except TimeoutError as exc:
            raise QueryTimeout("late") from exc
        finally:
            self.under_way -= 1
        if self.unforeseen is not None:
            raise self.unforeseen
        if self.lost:
            self.lost -= 1
            raise ConnectionLost("gone", sent=True)
        if BAD in (args or ()):
            raise QueryError("bad")
        return self._answer(sql, args or ())

    def _takes(self) -> float:
        """How long a statement takes; the first of them may never come back."""
        if not self.hanging:
            return self.delay
        self.hanging -= 1
        return 3600.0

    def _answer(self, sql: str, args: Sequence[object]) -> Result:
        joined = " UNION ALL " in sql
        if not joined:
            return Result([(args[0],)], ("a",), 1, 0, (self.kind,))
        numbers = [int(number) for number in re.findall(r"SELECT a, (\d+) FROM", sql)]
        rows = [(arg, number) for arg, number in zip(args, numbers, strict=True)]
        return Result(rows, ("a", "0"), len(rows), 0, (self.union_kind, INT))


async def _known(table: Table) -> Lookup:
    """A lookup that has been used once, so that its column types are known."""
    lookup = Lookup(table, SQL)
    assert await lookup(0) == [(0,)]
    table.statements.clear()
    table.batches.clear()
    return lookup


async def test_lone_call_runs_the_plain_statement_at_once() -> None:
    table = Table(delay=0)
    lookup = await _known(table)
    before = asyncio.get_running_loop().time()
    assert await lookup(7) == [(7,)]
    assert asyncio.get_running_loop().time() == before
    assert table.statements == [[7]]


async def test_concurrent_calls_share_statements_and_each_gets_its_own_rows() -> None:
    table = Table()
    lookup = await _known(table)
    answers = await asyncio.gather(*(lookup(key) for key in range(500)))
    assert answers == [[(key,)] for key in range(500)]
    assert sum(table.batches) == 500
    assert len(table.statements) < 50
    assert max(len(statement) for statement in table.statements) <= MAX_BATCH
    assert table.most_under_way <= LANES + 1


async def test_same_question_is_asked_once_and_each_gets_a_list_of_its_own() -> None:
    table = Table()
    lookup = await _known(table)
    answers = await asyncio.gather(*(lookup("x", "y") for _ in range(3 * MAX_BATCH)))
    assert answers == [[("x",)]] * len(answers)
    assert len({id(answer) for answer in answers}) == len(answers)
    assert table.statements == [["x", "y"]]
    assert table.batches == [3 * MAX_BATCH]


async def test_same_questions_among_others_are_asked_once() -> None:
    table = Table()
    lookup = await _known(table)
    answers = await asyncio.gather(*(lookup(key) for key in (1, 2, 1, 3, 2)))
    assert answers == [[(key,)] for key in (1, 2, 1, 3, 2)]
    assert len({id(answer) for answer in answers}) == len(answers)
    assert table.statements == [[1, 2, 3]]
    assert table.batches == [5]


@given(
    st.lists(
        st.one_of(
            st.sampled_from([1, True, 1.0, Decimal(1), Decimal("1.0"), 0.0, -0.0, "1", b"1", None]),
            st.builds(list),
            st.builds(bytearray),
        ),
        min_size=2,
        max_size=20,
    )
)
def test_only_what_is_written_alike_is_one_question(keys: list[object]) -> None:
    async def ask() -> tuple[list[list[object]], list[object]]:
        table = Table()
        lookup = await _known(table)
        answers = await asyncio.gather(*(lookup(key) for key in keys))
        return table.statements, [answer[0][0] for answer in answers]

    statements, answers = virtual.run(ask())
    asked = [arg for statement in statements for arg in statement]
    assert list(map(repr, answers)) == list(map(repr, keys))
    alike = {repr(key) for key in keys if isinstance(key, str | bytes | int | None)}
    assert sum(isinstance(arg, str | bytes | int | None) for arg in asked) == len(alike)
    assert sum(map(_is_another, asked)) == sum(map(_is_another, keys))


def _is_another(key: object) -> bool:
    return not isinstance(key, str | bytes | int | None)


async def test_caller_who_leaves_takes_nothing_from_those_with_the_same_question() -> None:
    table = Table(delay=1.0)
    lookup = await _known(table)
    left, stays = (asyncio.create_task(lookup("x")) for _ in range(2))
    await asyncio.sleep(0.5)
    left.cancel()
    assert await stays == [("x",)]
    assert left.cancelled()
    assert table.statements == [["x"]]


async def test_same_bad_question_fails_all_who_asked_it_and_nobody_else() -> None:
    lookup = await _known(Table())
    keys = (BAD, 1, BAD)
    answers = await asyncio.gather(*(lookup(key) for key in keys), return_exceptions=True)
    assert [type(answer) for answer in answers] == [QueryError, list, QueryError]


async def test_first_use_by_many_is_shared_too() -> None:
    table = Table()
    lookup = Lookup(table, SQL)
    answers = await asyncio.gather(*(lookup(key) for key in range(2000)))
    assert answers == [[(key,)] for key in range(2000)]
    assert table.most_under_way <= LANES + 1
    assert len(table.statements) < 100


async def test_first_use_with_a_bad_parameter_fails_only_its_own_caller() -> None:
    lookup = Lookup(Table(), SQL)
    answers = await asyncio.gather(*(lookup(key) for key in (BAD, 1, 2)), return_exceptions=True)
    assert isinstance(answers[0], QueryError)
    assert answers[1:] == [[(1,)], [(2,)]]


async def test_call_made_while_statements_are_under_way_is_in_a_later_one() -> None:
    table = Table(delay=0.01)
    lookup = await _known(table)
    first = [asyncio.create_task(lookup(key)) for key in range(3)]
    await asyncio.sleep(0.001)
    begun = [arg for statement in table.statements for arg in statement]
    late = asyncio.create_task(lookup(99))
    await asyncio.gather(*first, late)
    assert 99 not in begun
    assert late.result() == [(99,)]


async def test_bad_parameter_fails_only_its_own_caller() -> None:
    table = Table()
    lookup = await _known(table)
    keys = [*range(10), BAD, *range(10, 20)]
    answers = await asyncio.gather(*(lookup(key) for key in keys), return_exceptions=True)
    for key, answer in zip(keys, answers, strict=True):
        if key == BAD:
            assert isinstance(answer, QueryError)
        else:
            assert answer == [(key,)]


async def test_loss_that_the_session_could_not_heal_fails_those_in_that_statement() -> None:
    table = Table()
    lookup = await _known(table)
    table.lost = 1
    answers = await asyncio.gather(lookup(1), lookup(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionLost, ConnectionLost]
    assert await lookup(3) == [(3,)]


async def test_cancelled_caller_takes_nothing_from_the_others() -> None:
    table = Table()
    lookup = await _known(table)
    tasks = [asyncio.create_task(lookup(key)) for key in range(10)]
    await asyncio.sleep(0)
    tasks[4].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers.pop(4), asyncio.CancelledError)
    assert answers == [[(key,)] for key in range(10) if key != 4]


async def test_statement_nobody_waits_for_is_ended() -> None:
    table = Table(delay=100.0)
    lookup = await _known(Table(delay=0))
    lookup._reader = table
    tasks = [asyncio.create_task(lookup(key)) for key in range(5)]
    await asyncio.sleep(0.001)
    assert table.under_way
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not table.under_way


async def test_slow_statement_holds_nobody_up_for_long() -> None:
    table = Table(delay=60.0)
    lookup = await _known(Table(delay=0))
    lookup._reader = table
    slow = [asyncio.create_task(lookup(key)) for key in range(LANES)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    more = asyncio.create_task(lookup(50))
    await asyncio.sleep(0)
    table.delay = 0.001
    began = asyncio.get_running_loop().time()
    assert await more == [(50,)]
    assert asyncio.get_running_loop().time() - began <= PATIENCE + 0.002
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_caller_is_told_at_its_own_deadline() -> None:
    table = Table(delay=60.0)
    lookup = await _known(Table(delay=0))
    lookup._reader = table
    patient = asyncio.create_task(lookup(1))
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    with deadline.within(0.5), pytest.raises(QueryTimeout):
        await lookup(2)
    assert asyncio.get_running_loop().time() == began + 0.5 + HEAD_START
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)


async def test_union_with_other_types_than_the_statement_alone_is_not_used() -> None:
    table = Table()
    lookup = await _known(table)
    table.union_kind = (253, 45, 0)
    answers = await asyncio.gather(*(lookup(key) for key in range(5)))
    assert answers == [[(key,)] for key in range(5)]
    table.statements.clear()
    await asyncio.gather(*(lookup(key) for key in range(5)))
    assert sorted(table.statements) == [[0], [1], [2], [3], [4]]


async def test_table_that_was_changed_is_joined_again() -> None:
    table = Table()
    lookup = await _known(table)
    table.kind = table.union_kind = (253, 45, 0)
    for _ in range(2):
        table.statements.clear()
        answers = await asyncio.gather(*(lookup(key) for key in range(5)))
        assert answers == [[(key,)] for key in range(5)]
    assert table.statements == [[0, 1, 2, 3, 4]]


async def test_call_queued_while_joining_is_given_up_is_answered() -> None:
    table = Table(delay=0.01)
    lookup = await _known(table)
    table.union_kind = (253, 45, 0)
    calls = []
    for _ in range(3):
        calls += [asyncio.create_task(lookup(key)) for key in range(3)]
        await asyncio.sleep(0.004)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers == [[(key,)] for key in range(3)] * 3


async def test_unforeseen_error_of_a_joined_statement_cancels_nobody() -> None:
    table = Table()
    lookup = await _known(table)
    table.unforeseen = KeyError()
    answers = await asyncio.gather(*(lookup(key) for key in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [KeyError] * 3


async def test_more_calls_than_a_statement_takes_do_not_wait_for_lanes_that_hang() -> None:
    table = Table()
    lookup = await _known(table)
    table.hanging = LANES
    stuck = []
    for key in range(LANES):
        stuck.append(asyncio.create_task(lookup(key)))
        await asyncio.sleep(0.001)
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*(lookup(key) for key in range(3 * MAX_BATCH)))
    assert answers == [[(key,)] for key in range(3 * MAX_BATCH)]
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_in_a_block_that_holds_a_connection_it_runs_alone() -> None:
    table = Table()
    lookup = await _known(table)
    table.held = True
    await asyncio.gather(*(lookup(key) for key in range(3)))
    assert sorted(table.statements) == [[0], [1], [2]]


async def test_what_cannot_be_joined_runs_one_by_one() -> None:
    table = Table()
    lookup = Lookup(table, "SELECT a, %s FROM t")
    assert await lookup.first(1) == (1,)
    answers = await asyncio.gather(*(lookup(key) for key in range(3)))
    assert answers == [[(0,)], [(1,)], [(2,)]]
    assert sorted(table.statements) == [[0], [1], [1], [2]]


async def test_first_of_no_rows_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def empty(*_: Any) -> Result:
        return Result([], ("a",), 0, 0, (INT,))

    table = Table()
    monkeypatch.setattr(table, "read", empty)
    assert await Lookup(table, SQL).first(1) is None


def test_latest_deadline_is_none_if_one_caller_has_none() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        with deadline.until(5.0):
            one = batch.Call((), loop.create_future())
        with deadline.until(9.0):
            two = batch.Call((), loop.create_future())
        assert batch._latest([one, two]) == 9.0
        assert batch._latest([one, two, batch.Call((), loop.create_future())]) is None

    asyncio.run(check())


async def test_calls_that_were_taken_back_at_once_are_not_asked() -> None:
    table = Table()
    lookup = await _known(table)
    tasks = [asyncio.create_task(lookup(key)) for key in range(2)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(1)
    assert table.statements == []


async def test_joined_statement_that_was_too_slow_is_not_asked_again_one_by_one() -> None:
    table = Table()
    lookup = await _known(table)
    table.unforeseen = QueryTimeout("late")
    answers = await asyncio.gather(lookup(1), lookup(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [QueryTimeout, QueryTimeout]
    assert table.statements == [[1, 2]]


@pytest.mark.parametrize("lost", [0, 1])
async def test_caller_who_left_while_all_were_asked_for_is_not_answered(lost: int) -> None:
    table = Table(delay=1.0)
    lookup = await _known(table)
    table.lost = lost
    left, stays = (asyncio.create_task(lookup(key)) for key in (1, 2))
    await asyncio.sleep(0.5)
    left.cancel()
    answers = await asyncio.gather(left, stays, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert isinstance(answers[1], ConnectionLost) if lost else answers[1] == [(2,)]
    assert table.statements == [[1, 2]]


@pytest.mark.parametrize("key", [1, BAD])
async def test_caller_who_left_while_asked_for_alone_is_not_answered(key: object) -> None:
    lookup = Lookup(Table(delay=1.0), SQL)
    left, stays = asyncio.create_task(lookup(key)), asyncio.create_task(lookup(2))
    await asyncio.sleep(0.5)
    left.cancel()
    answers = await asyncio.gather(left, stays, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1] == [(2,)]


async def test_caller_who_left_before_his_turn_is_not_asked_for() -> None:
    table = Table(delay=1.0)
    lookup = Lookup(table, SQL)
    stays, left = (asyncio.create_task(lookup(key)) for key in (1, 2))
    await asyncio.sleep(0.5)
    left.cancel()
    assert await stays == [(1,)]
    await asyncio.sleep(5)
    assert left.cancelled()
    assert table.statements == [[1]]


async def test_flight_that_is_cancelled_leaves_nobody_waiting() -> None:
    lookup = await _known(Table(delay=1.0))
    calls = [asyncio.create_task(lookup(key)) for key in range(2)]
    await asyncio.sleep(0.5)
    for flight in lookup._flights:
        flight.cancel()
    await asyncio.wait(calls, timeout=0.1)
    assert all(call.cancelled() for call in calls)


async def test_answer_that_came_with_the_deadline_stands() -> None:
    call = batch.Call((), asyncio.get_running_loop().create_future())
    call.future.set_result([(1,)])
    call.expire()
    assert call.future.result() == [(1,)]


async def test_answered_calls_leave_nothing_for_the_garbage_collector() -> None:
    lookup = Lookup(Table(), SQL)
    await asyncio.gather(*(lookup(key) for key in range(50)))  # what is made once is made now
    gc.collect()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        await asyncio.gather(*(lookup(key) for key in range(50)))
        gc.collect()
        left = [each for each in gc.garbage if type(each).__module__.startswith("quart_app")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []
