"""Rows 4, 6 to 10: what breaks while requests are under way."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from quart_app.mysql.driver import Connection
from quart_app.torture.faults import Faults
from quart_app.torture.outcome import Kind
from quart_app.torture.rows.row import (
    ALL_OK,
    HELD,
    IN_TIME,
    OR_DENIED,
    OR_UNKNOWN,
    Play,
    Promise,
    Row,
)
from quart_app.torture.scene import AFTER, Scene

DOWN = 1.0
FROZEN = 3.0
FROZEN_LONG = 12.0
LOCKED = 1.4


def under_load(break_it: Callable[[Faults], Awaitable[object]], *, after: float = AFTER) -> Play:
    """Load; *break_it*, which returns when it is over, while the load goes on."""

    async def play(scene: Scene, row: Row) -> None:
        async with scene.program(row.settings) as program:
            async with scene.load(program):
                with scene.outage():
                    await break_it(scene.faults)
                await asyncio.sleep(after)
            scene.faults.proxy.end_silent()
            await scene.count_leaks(program)

    return play


async def _killed_and_started(faults: Faults) -> None:
    await faults.kill_server()
    await asyncio.sleep(DOWN)
    await faults.start()


async def _kill_all(faults: Faults) -> None:
    for _ in range(3):
        await faults.kill_all()
        await asyncio.sleep(0.2)


async def _frozen(faults: Faults) -> None:
    async with faults.frozen():
        await asyncio.sleep(FROZEN)


async def _frozen_past_the_deadline(faults: Faults) -> None:
    async with faults.frozen():
        await asyncio.sleep(FROZEN_LONG)


async def _answers_to_commit_lost(faults: Faults) -> None:
    with faults.lost_commits(share=0.2):
        await asyncio.sleep(2.0)


async def _lost_commits(scene: Scene, row: Row) -> None:
    before = scene.faults.proxy.struck
    await under_load(_answers_to_commit_lost)(scene, row)
    scene.expect(scene.faults.proxy.struck > before, "no answer to a COMMIT was lost")


async def _read_only(faults: Faults) -> None:
    async with faults.read_only():
        await asyncio.sleep(1.5)


async def _rows_locked(faults: Faults) -> None:
    """Hold what writes need for longer than they wait, over and over."""
    async with faults.admin() as locker:
        for _ in range(2):
            await _hold(locker)
            await asyncio.sleep(0.3)


async def _hold(locker: Connection) -> None:
    await locker.begin()
    await locker.run("SELECT * FROM torture_write FOR UPDATE")
    await locker.run("SELECT * FROM torture_account FOR UPDATE")
    await locker.run("SELECT * FROM chapter_summary FOR UPDATE")
    await asyncio.sleep(LOCKED)
    await locker.rollback()


async def _rows_changed(faults: Faults) -> None:
    """Change what transactions have read, while they wait to change it themselves; over and over."""
    async with faults.admin() as rival:
        for _ in range(6):
            await rival.begin()
            await rival.run("UPDATE torture_account SET balance = balance + 1")
            await asyncio.sleep(0.15)
            await rival.run("UPDATE torture_account SET balance = balance - 1")
            await rival.commit()
            await asyncio.sleep(0.15)


async def _snapshot_conflicts(scene: Scene, row: Row) -> None:
    await under_load(_rows_changed)(scene, row)
    log = scene.log_path.read_text(errors="replace")
    scene.expect(
        "Deadlock 1020" in log, "no transaction met a snapshot conflict, so none was healed"
    )


async def no_snapshot_isolation(faults: Faults) -> str:
    """Tell that the server does not know error 1020 in InnoDB."""
    async with faults.admin() as admin:
        known = (await admin.run("SHOW GLOBAL VARIABLES LIKE 'innodb_snapshot_isolation'")).rows
    return "" if known else "this server has no innodb_snapshot_isolation, as newer MariaDB has"


def snapshot_isolation(faults: Faults) -> AbstractAsyncContextManager[None]:
    """A transaction may not change what was changed since it first read (1020)."""
    return faults.variable("innodb_snapshot_isolation", 1)


def impatient_locks(faults: Faults) -> AbstractAsyncContextManager[None]:
    """Waits for locks end after one second (1205)."""
    return faults.variable("innodb_lock_wait_timeout", 1)


def durable(faults: Faults) -> AbstractAsyncContextManager[None]:
    """What is committed survives the server's process, whatever the server was started with."""
    return faults.variable("innodb_flush_log_at_trx_commit", 1)


def no_more(limit: Callable[[Faults], AbstractAsyncContextManager[None]]) -> Play:
    """One client warms one connection up; then there is a *limit*, and many clients come."""

    async def play(scene: Scene, row: Row) -> None:
        async with scene.program(row.settings) as program:
            async with scene.load(program, clients=1), limit(scene.faults):
                with scene.outage():
                    async with scene.load(program, clients=8):
                        await asyncio.sleep(AFTER)
            async with scene.load(program):
                pass
            await scene.count_leaks(program)

    return play


LOST_COMMIT: Promise = {**ALL_OK, Kind.T: OR_UNKNOWN}
LOCKS: Promise = {**ALL_OK, Kind.W: OR_DENIED}

ROWS = (
    Row(number="4a", title="server restarted", play=under_load(Faults.restart), promise=HELD),
    Row(
        number="4b",
        title="server killed with SIGKILL, started 1 s later",
        play=under_load(_killed_and_started),
        promise=HELD,
        server=durable,
    ),
    Row(
        number="4c",
        title="every connection killed, in use",
        play=under_load(_kill_all),
        promise=HELD,
    ),
    Row(
        number="6a",
        title="silent drop of connections in use",
        play=under_load(Faults.silence, after=6.5),
        promise=IN_TIME,
        through_proxy=True,
    ),
    Row(number="6b", title="server frozen for 3 s", play=under_load(_frozen), promise=HELD),
    Row(
        number="6c",
        title="server frozen for longer than the deadline",
        play=under_load(_frozen_past_the_deadline, after=2.0),
        promise=IN_TIME,
        quick=False,
    ),
    Row(
        number="7",
        title="COMMIT done, its answer lost",
        play=_lost_commits,
        promise=LOST_COMMIT,
        through_proxy=True,
    ),
    Row(
        number="8a",
        title="deadlocks, and lock waits that run out",
        play=under_load(_rows_locked),
        promise=LOCKS,
        server=impatient_locks,
    ),
    Row(
        number="8b",
        title="snapshot conflicts (1020)",
        play=_snapshot_conflicts,
        server=snapshot_isolation,
        missing=no_snapshot_isolation,
    ),
    Row(number="9a", title="too many connections (1040)", play=no_more(Faults.full_house)),
    Row(number="9b", title="the user's limit is reached (1226)", play=no_more(Faults.user_limit)),
    Row(number="10a", title="server read-only for 1.5 s", play=under_load(_read_only)),
)
