"""A Flag is an asyncio.Event that is cheap while nobody waits."""

import asyncio

from quart_app.flag import Flag


async def test_it_is_set_until_it_is_cleared() -> None:
    flag = Flag()
    assert not flag.is_set()
    flag.set()
    assert flag.is_set()
    await flag.wait()
    flag.clear()
    assert not flag.is_set()


async def test_all_who_wait_go_on_and_the_next_wait_again() -> None:
    flag = Flag()
    waiting = [asyncio.create_task(flag.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    flag.set()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    flag.clear()
    again = asyncio.create_task(flag.wait())
    await asyncio.sleep(1)
    assert not again.done()
    flag.set()
    await again


async def test_who_stops_waiting_harms_nobody() -> None:
    flag = Flag()
    gone, stays = (asyncio.create_task(flag.wait()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    flag.set()
    await stays
    assert gone.cancelled() or gone.done()
