"""The program on a MySQL replication group that changes its primary. Needs Docker; takes a minute."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quart_app.torture import hosts
from quart_app.torture.errors import CannotHave
from quart_app.torture.hosts import Stand, Wanted
from quart_app.torture.perform import bench_of
from quart_app.torture.rows import GROUP
from quart_app.torture.rows.row import Row
from quart_app.torture.run import Result, play

pytestmark = [pytest.mark.docker, pytest.mark.mysql, pytest.mark.timeout(300)]


@pytest.fixture(name="stand", scope="module")
def _stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Three members, in step."""
    with ExitStack() as stack:
        wanted = Wanted(cluster=True, docker=True)
        try:
            stand = stack.enter_context(hosts.stand(wanted, tmp_path_factory.mktemp("group")))
        except CannotHave as error:
            pytest.skip(str(error))
        yield stand


async def _played(row: Row, stand: Stand, folder: Path) -> Result:
    async with bench_of(stand, folder, rng=random.Random(1)) as (bench, _):
        return await play(row, bench)


@pytest.mark.parametrize("row", [row for row in GROUP if row.quick], ids=lambda row: row.number)
def test_writes_go_on_at_the_new_primary(row: Row, stand: Stand, tmp_path: Path) -> None:
    result = asyncio.run(_played(row, stand, tmp_path))
    log = (tmp_path / f"row-{row.number}.log").read_text()
    assert result.broken == [], f"{result.notes}\n{log[-4000:]}"
