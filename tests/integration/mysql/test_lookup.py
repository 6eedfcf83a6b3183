"""Lookups on real servers give what the statement gives when it runs alone, whatever is asked for."""

import asyncio
import random
from typing import Any

import pytest

from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.observer import Observer
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from tests.integration.mysql.conftest import OpenPool

pytestmark = pytest.mark.mysql

TABLE = """
CREATE TABLE thing (
    id INT PRIMARY KEY, name VARCHAR(40), code VARCHAR(10) COLLATE utf8mb4_bin, amount DECIMAL(8,2),
    ratio DOUBLE, made DATETIME, kind ENUM('a', 'b'), flag BIT(4), raw VARBINARY(8), KEY (name)
) DEFAULT CHARSET utf8mb4
"""
NAMES = [
    "Zürich",
    "zurich",
    "ZURICH",
    "ß",
    "ss",
    "O'Neil",
    "100%",
    "a\\b",
    "",
    " x",
    "x ",
    "😀",
    None,
]
STATEMENTS = [
    "SELECT id FROM thing WHERE name = %s",
    "SELECT * FROM thing WHERE name = %s",
    "SELECT id, name FROM thing WHERE name <=> %s",
    "SELECT id FROM thing WHERE name = %s ORDER BY id DESC LIMIT 1",
    "SELECT DISTINCT name FROM thing WHERE code = %s",
    "SELECT kind, flag, raw FROM thing WHERE name = %s",
    "SELECT COUNT(*), MAX(amount) FROM thing WHERE name = %s",
    "SELECT a.id, b.id FROM thing a JOIN thing b ON a.kind = b.kind WHERE a.name = %s AND b.id < 5",
    "SELECT name, %s FROM thing WHERE id < 3",
    "SELECT made, ratio FROM thing WHERE id = %s",
    "SELECT id FROM thing WHERE made > %s",
]
# Among them: another type than the column's, what a date cannot be, and all that collations fold.
ODD = [0.5, -1, 3, 7, 39, "2020-01-05 00:00:00", "no date", b"\xff", "1e0", "0x1"]


def _mixes(seed: int) -> list[tuple[str, list[object]]]:
    """Statements, each with keys to be asked for at the same time; the same for the same seed."""
    rng = random.Random(seed)
    return [
        (sql, [rng.choice([*NAMES, *ODD]) for _ in range(rng.randint(2, 90))]) for sql in STATEMENTS
    ]


class Batches(Observer):
    """Counts what went out together."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def batched(self, *, size: int) -> None:
        self.sizes.append(size)


@pytest.fixture(name="session")
async def _session(config: ConnectConfig, open_pool: OpenPool) -> Session:
    session = Session(await open_pool(config, maxsize=3))
    await session.execute(TABLE)
    rows = [
        (
            i,
            NAMES[i % len(NAMES)],
            f"C{i % 4}",
            f"{i}.50",
            i / 3,
            f"2020-01-{i + 1:02}",
            "ab"[i % 2],
        )
        for i in range(26)
    ]
    columns = "(id, name, code, amount, ratio, made, kind, flag, raw)"
    await session.execute_many(
        f"INSERT INTO thing {columns} VALUES (%s, %s, %s, %s, %s, %s, %s, 5, UNHEX('00FF'))", rows
    )
    return session


async def _outcome(call: Any) -> object:
    try:
        return sorted(await call, key=repr)
    except DatabaseError as exc:
        return type(exc), exc.errno


@pytest.mark.parametrize("seed", range(6))
async def test_any_mix_of_keys_gets_what_it_would_get_alone(session: Session, seed: int) -> None:
    """Hypothesis cannot drive an event loop that runs; it is asked for examples instead."""
    mixes = _mixes(seed)
    for sql, keys in mixes:
        lookup = session.lookup(sql)
        together = await asyncio.gather(*(_outcome(lookup(key)) for key in keys))
        alone = [await _outcome(session.fetch_all(sql, (key,))) for key in keys]
        assert together == alone, (sql, keys)


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_every_call_gets_what_it_would_get_alone(session: Session, sql: str) -> None:
    lookup = session.lookup(sql)
    keys = [*NAMES, *NAMES, *range(-2, 20), 0.5, "2020-01-05 00:00:00", "no date", b"\xff"]
    alone = [await _outcome(session.fetch_all(sql, (key,))) for key in keys]
    for _ in range(2):
        together = await asyncio.gather(*(_outcome(lookup(key)) for key in keys))
        assert together == alone


@pytest.mark.usefixtures("session")
async def test_calls_do_go_out_together(config: ConnectConfig) -> None:
    batches = Batches()
    async with Pool(config, observer=batches) as pool:
        lookup = Session(pool).lookup("SELECT id FROM thing WHERE id = %s")
        await lookup(1)
        answers = await asyncio.gather(*(lookup(key % 30) for key in range(300)))
    assert answers == [[(key % 30,)] if key % 30 < 26 else [] for key in range(300)]
    assert max(batches.sizes) > 10


async def test_lookup_sees_every_write_acknowledged_before_it(session: Session) -> None:
    lookup = session.lookup("SELECT amount FROM thing WHERE id = %s")
    await lookup(1)

    async def write_and_look(key: int) -> None:
        for amount in range(20):
            await session.execute("UPDATE thing SET amount = %s WHERE id = %s", (amount, key))
            assert await lookup(key) == [(amount,)]

    await asyncio.gather(*(write_and_look(key) for key in range(8)))


async def test_lookup_in_a_transaction_sees_its_own_writes_and_nobody_else_does(
    session: Session,
) -> None:
    lookup = session.lookup("SELECT kind FROM thing WHERE id = %s")
    assert await lookup(1) == [("b",)]
    async with session.transaction():
        await session.execute("UPDATE thing SET kind = 'a' WHERE id = 1")
        assert await lookup(1) == [("a",)]
        assert await asyncio.create_task(lookup(1)) == [("b",)]
    assert await lookup(1) == [("a",)]


async def test_killed_connections_are_not_noticed(session: Session) -> None:
    lookup = session.lookup("SELECT id, SLEEP(0.02) FROM thing WHERE id = %s")
    await lookup(1)
    calls = [asyncio.create_task(lookup(key)) for key in range(60)]
    await asyncio.sleep(0.03)
    killer = await session.pool.acquire()
    ids = await killer.run("SELECT id FROM information_schema.processlist WHERE command = 'Query'")
    for (number,) in ids.rows:
        if number != killer.server.thread_id:
            await killer.run(f"KILL {number:d}")
    session.pool.release(killer)
    assert await asyncio.gather(*calls) == [[(key, 0)] if key < 26 else [] for key in range(60)]
