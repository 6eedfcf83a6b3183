"""Row P: a program that ends leaves nothing behind: no connection, no warning, no traceback."""

import asyncio
import os
import sys

import pytest

from quart_app.testing.servers import Server

pytestmark = [pytest.mark.mysql, pytest.mark.row("P")]

PROGRAM = """
import asyncio, gc, os, sys
import uvloop
from dataclasses import replace
from quart_app.database_url import parse_database_url
from quart_app.mysql.config import PoolConfig, TLSMode
from quart_app.mysql.pool import Pool

loop, way, tls = sys.argv[1:]
config = replace(parse_database_url(os.environ["URL"]), tls_mode=TLSMode(tls))

async def work(pool):
    async with pool.acquire() as connection:
        await connection.run("SELECT SLEEP(0.05)")

async def main():
    pool = Pool(config, PoolConfig(minsize=2, maxsize=4, close_timeout=0.2))
    await pool.open()
    tasks = [asyncio.ensure_future(work(pool)) for _ in range(8)]
    await asyncio.sleep(0.1)
    if way == "cancel":
        for task in tasks:
            task.cancel()
    if way == "leak":
        leaked = await pool.acquire()
    if way == "terminate":
        pool.terminate()
    pool.close()
    await pool.wait_closed()
    await asyncio.gather(*tasks, return_exceptions=True)

if loop == "uvloop":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
asyncio.run(main())
gc.collect()
print("done")
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", ["disabled", "preferred"])
@pytest.mark.parametrize("way", ["orderly", "cancel", "leak", "terminate"])
def test_program_ends_without_a_word(database_url: str, loop: str, way: str, tls: str) -> None:
    arguments = ["-W", "error", "-W", "ignore::DeprecationWarning", "-c", PROGRAM]
    output, errors = asyncio.run(run(database_url, *arguments, loop, way, tls))
    words = [line for line in errors.splitlines() if "closed under its borrowers" not in line]
    assert not words, "\n".join(words)
    assert output == "done\n"


async def run(url: str, *arguments: str) -> tuple[str, str]:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=os.environ | {"URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, errors = await program.communicate()
    return output.decode(), errors.decode()


def test_server_sees_no_connection_after_it(mysql_server: Server, database_url: str) -> None:
    arguments = ["-c", PROGRAM]
    asyncio.run(run(database_url, *arguments, "asyncio", "terminate", "preferred"))
    name = database_url.rpartition("/")[2]
    sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s"
    assert mysql_server.execute(sql, name) == [(0,)]
