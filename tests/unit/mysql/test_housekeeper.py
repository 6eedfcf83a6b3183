"""The clock: every idle connection is looked at, whatever happens meanwhile."""

import asyncio
import logging

import pytest

from quart_app.mysql.slot import Slot
from tests.support.fake import HANG, FakeDriver
from tests.support.pools import open_pool


async def test_keepalive_visits_every_idle_connection() -> None:
    driver = FakeDriver()
    async with open_pool(
        driver, minsize=6, maxsize=6, keepalive=60, pool_recycle=-1, max_lifetime=0
    ) as pool:
        await pool.wait()
        await asyncio.sleep(600)
        for connection in driver.opened:
            assert 9 <= len(connection.probed_at) <= 11
        assert len(driver.opened) == 6


async def test_keepalive_replaces_what_does_not_answer() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=3, maxsize=3, keepalive=20, pool_recycle=-1) as pool:
        await pool.wait()
        driver.probe = HANG
        await asyncio.sleep(30)
        assert all(connection.closed for connection in driver.opened[:3])
        assert pool.size == 3


async def test_keepalive_does_not_make_an_idle_connection_look_used() -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, keepalive=10, pool_recycle=35) as pool:
        await pool.wait()
        await asyncio.sleep(40)
        assert driver.opened[0].closed


async def test_upkeep_survives_its_own_faults(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = FakeDriver()
    async with open_pool(driver, minsize=1, pool_recycle=10, keepalive=0) as pool:
        await pool.wait()
        with monkeypatch.context() as patch:
            patch.setattr(pool, "idle_slots", lambda: [Slot(99)])
            await asyncio.sleep(3)
        await asyncio.sleep(10)
        assert driver.opened[0].closed, "it goes on"
    assert [r for r in caplog.records if r.levelno == logging.ERROR]


async def test_blocked_loop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with open_pool(FakeDriver()):
        await asyncio.sleep(0.5)
        loop = asyncio.get_running_loop()
        loop._now += 5  # type: ignore[attr-defined]  # as if a callback had taken 5 s
        await asyncio.sleep(1)
    assert "blocked" in caplog.text
