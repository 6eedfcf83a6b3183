"""The slow-query log on a real server, whichever way a statement goes."""

from dataclasses import replace

import pytest

from quart_app.database_url import parse_database_url
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.slow_log import slow_log

pytestmark = pytest.mark.mysql


async def test_every_way_to_the_server_is_watched(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(parse_database_url(database_url), watch=slow_log(0.2))
    async with Pool(config) as pool:
        session = Session(pool)
        await session.fetch_val("SELECT SLEEP(%s)", (0.25,))
        await session.fetch_val("SELECT 'quick'")
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("SELECT SLEEP(0.25), %s", ("secret",))
    messages = [record.getMessage() for record in caplog.records if "slow" in record.name]
    assert [message.partition("] ")[2] for message in messages] == [
        "select sleep(?+)",
        "select sleep(?+), ?",
    ]
