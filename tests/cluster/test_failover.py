"""The program on a Galera cluster that loses the node in use. Needs MariaDB's server with Galera."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from quart_app.database_url import parse_database_url
from quart_app.migrations import migrate
from quart_app.torture import hosts, ledger
from quart_app.torture.faults import Faults
from quart_app.torture.galera import why_none
from quart_app.torture.hosts import Stand, Wanted
from quart_app.torture.outcome import Kind
from quart_app.torture.proxy import FaultProxy
from quart_app.torture.rows import CLUSTER
from quart_app.torture.rows.row import Row
from quart_app.torture.run import play
from quart_app.torture.scene import Bench

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.mysql,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(why_none()), reason=f"no Galera cluster: {why_none()}"),
]


@pytest.fixture(name="stand", scope="module")
def _stand() -> Iterator[Stand]:
    """Three nodes, in step."""
    with (
        tempfile.TemporaryDirectory(prefix="qa-", ignore_cleanup_errors=True) as folder,
        hosts.stand(Wanted(cluster=True), Path(folder)) as stand,
    ):
        asyncio.run(_prepare(stand))
        yield stand


async def _prepare(stand: Stand) -> None:
    first = stand.servers[0]
    await migrate(parse_database_url(first.url))
    async with Faults(first, FaultProxy(*hosts.address(first.url))).admin() as connection:
        await ledger.prepare(connection)


@pytest.fixture(name="bench")
async def _bench(stand: Stand, tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        members = []
        for server in stand.servers:
            proxy = await stack.enter_async_context(FaultProxy(*hosts.address(server.url)))
            members.append(Faults(server, proxy))
        yield Bench(
            faults=members[0],
            others=members[1:],
            database_url=stand.url,
            folder=tmp_path,
            rng=random.Random(1),
        )


@pytest.mark.parametrize(
    "row", [row for row in CLUSTER if row.quick], ids=lambda row: row.title.replace(" ", "-")
)
async def test_writes_go_on_and_nothing_is_lost_or_doubled(bench: Bench, row: Row) -> None:
    if missing := await row.missing(bench.faults):
        pytest.skip(missing)
    result = await play(row, bench)
    log = (bench.folder / f"row-{row.number}.log").read_text()
    assert result.broken == [], f"{result.notes}\n{log[-4000:]}"
    assert {record.kind for record in result.records} in (set(Kind), set())
    assert result.notes
