"""`quart-app torture` as a program, on real servers; bounded, so that every test run holds it."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from quart_app.database_url import parse_database_url
from quart_app.migrations import migrate
from quart_app.testing.servers import Server
from quart_app.torture import ledger
from quart_app.torture.faults import Faults
from quart_app.torture.outcome import Kind
from quart_app.torture.rows import TABLE
from quart_app.torture.rows.row import Row
from quart_app.torture.run import play
from quart_app.torture.scene import Bench
from tests.e2e.program import COMMAND

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
# One of each sort: at rest, killed under load, silent, in doubt, in conflict, full, read-only,
# abandoned, ended.
ROWS = ("2", "4b", "5", "7", "8b", "9a", "10a", "14", "15")


@pytest.fixture(name="bench")
async def _bench(breakable_server: Server, faults: Faults, tmp_path: Path) -> Bench:
    await migrate(parse_database_url(breakable_server.url))
    async with faults.admin() as connection:
        await ledger.prepare(connection)
    return Bench(
        faults=faults,
        database_url=breakable_server.url,
        folder=tmp_path,
        rng=random.Random(1),
    )


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.number in ROWS], ids=lambda r: r.number
)
async def test_promise_is_kept(bench: Bench, row: Row) -> None:
    if missing := await row.missing(bench.faults):
        pytest.skip(missing)
    result = await play(row, bench)
    assert result.broken == [], (bench.folder / f"row-{row.number}.log").read_text()[-4000:]
    assert {record.kind for record in result.records} == set(Kind)


async def test_broken_promise_is_told(bench: Bench) -> None:
    row = Row(number="2", title="", play=TABLE[1].play, promise=dict.fromkeys(Kind, frozenset()))
    assert not (await play(row, bench)).kept


def _start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [COMMAND, "torture", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_command_prints_a_table_and_writes_files(tmp_path: Path) -> None:
    program = _start("--only", "2,12", "--seed", "3", "--out", str(tmp_path))
    output, _ = program.communicate(timeout=120)
    assert program.returncode == 0, output
    assert "2 faults" in output
    rows = json.loads((tmp_path / "torture.json").read_text())["rows"]
    assert {row["row"]: row["kept"] for row in rows} == {"2": True, "12": True}
    drawing = ET.parse(tmp_path / "torture.svg")  # noqa: S314 - our own
    assert drawing.getroot().tag.endswith("svg")


def test_interrupted_it_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    program = subprocess.Popen(
        [COMMAND, "torture", "--only", "2"], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert program.stdout is not None
    assert program.stdout.readline().startswith("on ")
    time.sleep(0.5)
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 130
    program.stdout.close()
    assert list(tmp_path.iterdir()) == []
    assert not _processes_naming(str(tmp_path))


def _processes_naming(text: str) -> list[str]:
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)  # noqa: S607
    return [line for line in commands.stdout.splitlines() if text in line]
