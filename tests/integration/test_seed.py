"""Loading the data: once, again, after an interruption, by several at once."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from quart_app.cities.seed import BATCH_SIZE, Seeding
from quart_app.database_url import parse_database_url
from quart_app.migrations import migrate
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session

CHECKSUM = (
    "SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', city_id, city, country_id, population, latitude,"
    " longitude))) FROM city"
)


class Interrupted(Exception):  # noqa: N818 - a made-up Ctrl-C
    """Somebody pressed Ctrl-C."""


@pytest.fixture(name="session")
async def _session(database_url: str) -> AsyncIterator[Session]:
    connect = parse_database_url(database_url)
    await migrate(connect)
    async with Pool(connect) as pool:
        yield Session(pool)


async def checksum(session: Session) -> tuple[Any, ...]:
    return await session.fetch_sole(CHECKSUM)


async def test_data_are_loaded_once_and_reported(session: Session) -> None:
    seeding, reported = Seeding(), list[int]()
    assert await seeding.load(session, report=reported.append) == seeding.total
    assert sum(reported) == seeding.total
    assert await session.fetch_val("SELECT COUNT(*) FROM country") == 250
    assert await seeding.load(session, report=reported.append) == 0


async def test_interrupted_load_is_finished_by_the_next(session: Session) -> None:
    seeding = Seeding()

    def interrupt(_: int) -> None:
        if next(batches) == 3:
            raise Interrupted

    batches = count(1)
    with pytest.raises(Interrupted):
        await seeding.load(session, report=interrupt)
    assert 0 < (await checksum(session))[0] < len(seeding.tables[1].rows)
    assert await seeding.load(session, report=lambda _: None) == seeding.total
    assert (await checksum(session))[0] == len(seeding.tables[1].rows)


async def test_loading_again_changes_nothing_and_mends_what_was_changed(session: Session) -> None:
    seeding = Seeding()
    await seeding.load(session, report=lambda _: None)
    whole = await checksum(session)
    await session.execute("UPDATE city SET city = 'Elsewhere', population = 1 LIMIT 500")
    await session.execute("DELETE FROM city LIMIT 500")
    assert await checksum(session) != whole
    assert await seeding.load(session, report=lambda _: None, force=True) == seeding.total
    assert await checksum(session) == whole


async def test_several_at_once_take_turns(session: Session) -> None:
    seeding = Seeding()
    written = await asyncio.gather(
        *(seeding.load(session, report=lambda _: None) for _ in range(3))
    )
    assert sorted(written) == [0, 0, seeding.total]


def test_batches_fit_into_the_smallest_usual_packet() -> None:
    for table in Seeding().tables:
        largest = max(sum(len(str(value)) + 4 for value in row) for row in table.rows)
        assert largest * BATCH_SIZE < 1024 * 1024
