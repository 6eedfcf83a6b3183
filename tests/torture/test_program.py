"""What the program holds, as it tells itself, while clients come and go. Needs no database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.torture.program import Program
from quart_app.torture.subject import OURS

pytestmark = pytest.mark.e2e
CLIENTS = 30
PATIENCE = 5.0


@pytest.fixture(name="program")
async def _program(tmp_path: Path) -> AsyncIterator[Program]:
    settings = {"DATABASE_URL": "mysql://me@127.0.0.1:1/none"}
    async with Program(OURS, settings, log=tmp_path / "log") as program:
        yield program


async def _come_and_go(program: Program, *, answered: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    if answered:
        await reader.readuntil(b"live")
    writer.transport.abort()


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "at once"])
async def test_clients_that_hang_up_leave_nothing_behind(program: Program, answered: bool) -> None:
    before = await program.state()
    await asyncio.gather(*(_come_and_go(program, answered=answered) for _ in range(CLIENTS)))
    held = before
    for _ in range(int(PATIENCE / 0.05)):
        held = await program.state()
        if held.files <= before.files + 1 and held.tasks <= before.tasks + 3:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{before} before, {held} {PATIENCE:g} s after")
