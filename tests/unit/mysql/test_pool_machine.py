"""Any order of acquire, release, cancel, death, resize, drain, close: the invariants hold throughout."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from quart_app.mysql.driver import Condition
from quart_app.mysql.errors import AccessDenied
from quart_app.mysql.pool import Pool
from tests.support.fake import FINE, HANG, FakeConnection, FakeDriver, Outcome, fail, refused, slow
from tests.support.invariants import assert_closed, assert_consistent, assert_healthy
from tests.support.pools import borrow, make_pool
from tests.support.virtual import VirtualLoop

OUTCOMES = st.sampled_from(
    [FINE, FINE, slow(0.3), refused(), HANG, fail(AccessDenied("no", errno=1045)), fail(OSError())]
)
PROBES = st.sampled_from([FINE, FINE, slow(0.3), refused(), HANG])


class PoolMachine(RuleBasedStateMachine):
    """Drives one pool on one virtual loop; each rule may let time pass or not."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.driver = FakeDriver()
        self.tasks: list[asyncio.Task[FakeConnection]] = []
        self.held: list[FakeConnection] = []
        self.pool: Pool

    def do(self, work: Any) -> Any:
        """Run *work*, a coroutine, on the loop."""
        return self.runner.run(work)

    @initialize(minsize=st.integers(0, 2), extra=st.integers(1, 3), waiting=st.integers(0, 4))
    def open(self, minsize: int, extra: int, waiting: int) -> None:
        self.pool = self.do(self._make(minsize, minsize + extra, waiting).open())

    def _make(self, minsize: int, maxsize: int, waiting: int) -> Pool:
        sizes: dict[str, Any] = {"minsize": minsize, "maxsize": maxsize, "max_waiting": waiting}
        return make_pool(self.driver, **sizes, keepalive=20, pool_recycle=50, max_lifetime=200)

    @rule(timeout=st.sampled_from([0.0, 0.05, 2.0, 30.0]))
    def acquire(self, timeout: float) -> None:
        async def start() -> None:
            self.tasks.append(asyncio.create_task(borrow(self.pool, timeout=timeout)))

        self.do(start())

    @rule(turns=st.integers(1, 4))
    def let_turns_pass(self, turns: int) -> None:
        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.do(turn())
        self._collect()

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.5, 10.0, 70.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))
        self._collect()

    def _collect(self) -> None:
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append(task.result())

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.tasks))

        async def strike() -> None:
            task.cancel()

        self.do(strike())

    @precondition(lambda self: self.held)
    @rule(data=st.data(), needs=st.sampled_from(Condition), reset=PROBES, cancel=st.booleans())
    def release(
        self, data: st.DataObject, needs: Condition, reset: Outcome, *, cancel: bool
    ) -> None:
        connection = data.draw(st.sampled_from(self.held))
        self.held.remove(connection)

        async def give() -> None:
            connection.needs = needs
            connection.resets.append(reset)
            self.pool.release(connection)
            if cancel and self.tasks:  # the one it was handed to, perhaps
                self.tasks[0].cancel()

        self.do(give())

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def interrupt_a_statement(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(self.held))

        async def interrupt() -> None:
            task = asyncio.create_task(connection.work(HANG))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})

        self.do(interrupt())

    @precondition(lambda self: self.driver.open)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(self.driver.open))

        async def end() -> None:
            connection.die()

        self.do(end())

    @rule(connects=st.lists(OUTCOMES, max_size=3), probe=PROBES)
    def change_the_weather(self, connects: list[Outcome], probe: Outcome) -> None:
        self.driver.connects.extend(connects)
        self.driver.probe = probe

    @rule(minsize=st.integers(0, 3), extra=st.integers(1, 3))
    def resize(self, minsize: int, extra: int) -> None:
        async def change() -> None:
            self.pool.resize(minsize=minsize, maxsize=minsize + extra)

        self.do(change())

    @rule()
    def drain(self) -> None:
        async def change() -> None:
            self.pool.drain()

        self.do(change())

    @rule(cancel=st.booleans())
    def check(self, *, cancel: bool) -> None:
        async def look() -> None:
            task = asyncio.create_task(self.pool.check())
            await asyncio.sleep(0)
            if cancel:
                task.cancel()
            await asyncio.wait({task})

        self.do(look())

    @invariant()
    def consistent(self) -> None:
        if hasattr(self, "pool"):
            assert_consistent(self.pool)

    def teardown(self) -> None:
        try:
            if hasattr(self, "pool"):
                self.do(self._end())
        finally:
            self.runner.close()

    async def _end(self) -> None:
        """Everybody leaves and the weather is fine: the pool recovers by itself, and then closes."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._collect()
        for connection in self.held:
            self.pool.release(connection)
        self.driver.connects.clear()
        self.driver.probe = FINE
        await asyncio.sleep(60)
        self.driver.most_open = 0
        assert_healthy(self.pool, self.driver)
        connections = [await borrow(self.pool) for _ in range(self.pool.maxsize or 0)]
        for connection in connections:
            self.pool.release(connection)
        await self.pool.close()
        assert_closed(self.pool, self.driver)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert not loop.unhandled


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
