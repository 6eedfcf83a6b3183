"""A connection's one timer, on virtual time."""

import asyncio

from quart_app.idle import IdleTimer

PATIENCE = 75.0


class Expired(asyncio.Event):
    """Knows when, too."""

    at: float | None = None

    def note(self) -> None:
        assert self.at is None
        self.at = asyncio.get_running_loop().time()
        self.set()


def _timer(expired: Expired) -> IdleTimer:
    return IdleTimer(lambda: PATIENCE, expired.note)


async def test_idle_connection_expires_on_time() -> None:
    expired, began = Expired(), asyncio.get_running_loop().time()
    await _timer(expired).restart()
    await expired.wait()
    assert expired.at == began + PATIENCE


async def test_patience_begins_anew_after_each_request() -> None:
    expired, began = Expired(), asyncio.get_running_loop().time()
    timer = _timer(expired)
    await timer.restart()
    await asyncio.sleep(50)
    await timer.stop()
    await asyncio.sleep(10)
    await timer.restart()
    await expired.wait()
    assert expired.at == began + 60 + PATIENCE


async def test_request_under_way_never_expires() -> None:
    expired = Expired()
    timer = _timer(expired)
    await timer.restart()
    await timer.stop()
    timer.hurry(0.1)
    await asyncio.sleep(10 * PATIENCE)
    assert expired.at is None


async def test_hurried_it_expires_soon_and_never_later_than_it_would_have() -> None:
    expired, began = Expired(), asyncio.get_running_loop().time()
    timer = _timer(expired)
    await timer.restart()
    await asyncio.sleep(10)
    timer.hurry(0.1)
    timer.hurry(5)
    await expired.wait()
    assert expired.at == began + 10.1


async def test_closed_it_leaves_no_timer() -> None:
    expired = Expired()
    timer = _timer(expired)
    timer.close()
    await timer.restart()
    timer.close()
    await asyncio.sleep(10 * PATIENCE)
    assert expired.at is None
