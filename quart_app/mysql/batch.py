"""Lookups that share a round trip: concurrent calls of one statement go out together.

No timer gathers them: a statement leaves when this turn of the event loop is over, so a lone call
goes at once, by itself. While as many statements as there are lanes are under way, calls queue, and
the first statement to come back takes all of them along. A call's statement starts after the call
was made, so it sees every write acknowledged before it. Calls with the very same arguments are one
question. Beyond that the server does the matching; nothing is compared here.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from typing import Any, Protocol

from quart_app.mysql import consistency, deadline, joining
from quart_app.mysql.driver import Result
from quart_app.mysql.errors import DatabaseError, QueryTimeout
from quart_app.mysql.reply import Kind
from quart_app.mysql.timers import Timers

MAX_BATCH = 64
# Two: while one is under way, the calls that arrive do not all wait for the slowest of it.
LANES = 2
# A call that waits longer than this for a slow statement to come back gets a lane of its own.
PATIENCE = 0.02

# A statement's own error, which says more, comes at the deadline; what has none by then ends here.
HEAD_START = 0.05

# Equal values of these are written as the same SQL. Not so 0.0 and -0.0, Decimal("1") and
# Decimal("1.0"), or one moment in two time zones.
_EXACT = frozenset((str, bytes, int, bool, type(None)))

Row = tuple[Any, ...]
Arguments = tuple[object, ...]


class Reader(Protocol):
    """The session, as seen from here."""

    def holds_connection(self) -> bool: ...
    async def read(self, sql: str, args: Sequence[object] | None) -> Result: ...
    def observe_batch(self, size: int) -> None: ...


class Call:
    """One caller's question, and the future of its answer."""

    __slots__ = ("args", "flight", "future", "reading", "until")

    def __init__(self, args: Arguments, future: "asyncio.Future[list[Row]]") -> None:
        self.args = args
        self.future = future
        self.flight: Flight | None = None
        self.until = deadline.current()
        self.reading = consistency.current()

    def answer(self, rows: list[Row]) -> None:
        """Give it a list of its own."""
        if not self.future.done():
            self.future.set_result(list(rows))

    def fail(self, error: BaseException) -> None:
        """Have it raise *error*."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """Have it wait no longer."""
        self.fail(QueryTimeout("the lookup did not end by its deadline"))


class Question(list[Call]):
    """Calls with the same arguments: asked once, answered each."""

    @property
    def args(self) -> Arguments:
        return self[0].args

    def is_settled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return all(call.future.done() for call in self)


class Flight:
    """Calls that left together; its task ends when all its callers have gone."""

    __slots__ = ("calls", "left", "questions", "task")

    def __init__(self, questions: list[Question]) -> None:
        self.questions = questions
        self.calls = [call for question in questions for call in question]
        self.left = len(self.calls)
        self.task: asyncio.Task[None] | None = None

    def lose(self) -> None:
        """One of its callers has gone."""
        self.left -= 1
        if not self.left and self.task is not None:
            self.task.cancel()

    def abandon(self, _: object = None) -> None:
        """A flight that ended without answering, because it was cancelled, leaves nobody waiting.

        It lets go of its calls, which know it: no work for the garbage collector.
        """
        for call in self.calls:
            if not call.future.done():
                call.future.cancel()
        self.calls, self.questions = [], []


class Lookup:
    """One SELECT, to be called with its parameters by many at the same time.

    Arguments:
        *reader*: the session it runs on.
        *sql*: the statement. What cannot be joined safely (joining.py) runs one by one.
        *max_batch*: different questions in one statement at most.
    """

    def __init__(self, reader: Reader, sql: str, *, max_batch: int = MAX_BATCH) -> None:
        self._reader = reader
        self._sql = sql
        self._parts = joining.split(sql)
        self._max_batch = max_batch
        self._kinds: tuple[Kind, ...] | None = None  # column types of a plain answer
        self._queue: deque[Call] = deque()
        self._flying = 0
        self._boarding = False
        self._impatience: asyncio.TimerHandle | None = None
        self._timers = Timers()
        self._flights: set[asyncio.Task[None]] = set()

    async def __call__(self, *args: object) -> list[Row]:
        """Read the rows for *args*; retried as every read is.

        Waits until the ambient deadline. Raises what the statement alone would raise: the fault of
        one call's parameter is that call's. Cancelled, it leaves the others' answers to them.
        """
        if self._parts is None or self._reader.holds_connection():
            return (await self._reader.read(self._sql, args or None)).rows
        return await self._together(args)

    async def first(self, *args: object) -> Row | None:
        """Read the first row for *args*; None if there is none."""
        rows = await self(*args)
        return rows[0] if rows else None

    async def _together(self, args: Arguments) -> list[Row]:
        loop = asyncio.get_running_loop()
        call = Call(args, loop.create_future())
        self._queue.append(call)
        if self._flying < LANES and not self._boarding:
            # Requests that came in the same packet, or were answered together, are handled in the
            # same turn of the loop: leaving after it takes them all, which halves the statements.
            self._boarding = True
            loop.call_soon(self._depart)
        if self._impatience is None:
            self._impatience = loop.call_later(PATIENCE, self._lose_patience)
        timer = None
        if call.until is not None:
            timer = self._timers.call_at(call.until + HEAD_START, call.expire)
        try:
            return await call.future
        except asyncio.CancelledError:
            if call.flight is not None and call.future.cancelled():
                call.flight.lose()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _depart(self) -> None:
        self._boarding = False
        self._take_off()

    def _lose_patience(self) -> None:
        self._impatience = None
        self._begin_flight()
        if self._queue:  # more than one statement takes, and the lanes may hang: no end is in sight
            loop = asyncio.get_running_loop()
            self._impatience = loop.call_later(PATIENCE, self._lose_patience)

    def _take_off(self) -> None:
        if self._queue and self._flying < LANES:
            self._begin_flight()

    def _begin_flight(self) -> None:
        questions = self._board()
        if not self._queue and self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
        if questions:
            self._flying += 1
            self._launch(Flight(questions))

    def _board(self) -> list[Question]:
        """Take from the queue what one statement answers."""
        questions: dict[object, Question] = {}
        while self._queue:
            call = self._queue[0]
            if not call.future.done():
                key = _key(call)
                if key not in questions and len(questions) == self._max_batch:
                    break
                questions.setdefault(key, Question()).append(call)
            self._queue.popleft()
        return list(questions.values())

    def _launch(self, flight: Flight) -> None:
        """Have it run by itself."""
        for call in flight.calls:
            call.flight = flight
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._fly(flight), name="lookup", context=Context())
        flight.task = task
        self._flights.add(task)
        task.add_done_callback(self._flights.discard)
        task.add_done_callback(flight.abandon)

    async def _fly(self, flight: Flight) -> None:
        calls = flight.calls
        try:
            with deadline.until(_latest(calls)), consistency.from_replicas(_common(calls)):
                left = deque(flight.questions)
                while left and self._kinds is None:  # the first use: the types are not known yet
                    await self._answer(left.popleft())
                parts = self._parts if len(left) > 1 else None  # given up while these were queued?
                if parts is None or not await self._answer_together(list(left), parts):
                    for question in left:
                        await self._answer(question)
        finally:
            self._flying -= 1
            self._take_off()

    async def _answer_together(self, questions: list[Question], parts: tuple[str, str]) -> bool:
        """Ask once for all. False: each must be asked for by itself."""
        sql = joining.join(parts, len(questions))
        try:
            result = await self._reader.read(sql, [arg for each in questions for arg in each.args])
        except QueryTimeout as exc:
            _fail(questions, exc)
            return True
        except DatabaseError as exc:
            if exc.retry_after is None:  # the statement's own fault: whose parameter was it?
                return False
            _fail(questions, exc)
            return True
        except Exception:  # noqa: BLE001 # a parameter that cannot be written as SQL: whose?
            return False
        if result.kinds[:-1] != self._kinds:
            # A UNION that gives other types than the statement alone: never again; unless that,
            # which is asked next, gives other types than before, too (_learn).
            self._parts = None
            return False
        self._reader.observe_batch(sum(map(len, questions)))
        _deal(questions, result.rows)
        return True

    def _learn(self, kinds: tuple[Kind, ...]) -> None:
        """Note the statement's own types; where they changed, so did its table."""
        if kinds != self._kinds:
            self._kinds, self._parts = kinds, joining.split(self._sql)

    async def _answer(self, question: Question) -> None:
        if question.is_settled():
            return
        try:
            result = await self._reader.read(self._sql, question.args or None)
        except Exception as exc:  # noqa: BLE001 # whatever it is, it is this question's
            _fail([question], exc)
        else:
            self._learn(result.kinds)
            self._reader.observe_batch(len(question))
            for call in question:
                call.answer(result.rows)


def _key(call: Call) -> object:
    """Equal for calls that ask the very same; of other types equal values may be written apart."""
    types = tuple(map(type, call.args))
    return (types, call.args) if _EXACT.issuperset(types) else call


def _common(calls: list[Call]) -> consistency.Reading | None:
    """What all of them may read from replicas; the writer is good enough for any."""
    return calls[0].reading if len({call.reading for call in calls}) == 1 else None


def _latest(calls: list[Call]) -> float | None:
    """The deadline of the most patient; None if one of them has none."""
    untils = [call.until for call in calls]
    return None if None in untils else max(until for until in untils if until is not None)


def _deal(questions: list[Question], numbered: list[Row]) -> None:
    """Give every question the rows that end with its number."""
    answers: list[list[Row]] = [[] for _ in questions]
    for row in numbered:
        answers[row[-1]].append(row[:-1])
    for question, rows in zip(questions, answers, strict=True):
        for call in question:
            call.answer(rows)


def _fail(questions: list[Question], error: Exception) -> None:
    for question in questions:
        for call in question:
            call.fail(error)
