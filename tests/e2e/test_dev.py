"""`quart-app dev`: from nothing to an answer with one command, and what is left afterwards."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from quart_app.local_server import FolderInUse, LocalServer, NoServerBinary, find_server
from tests.e2e.program import Program

pytestmark = pytest.mark.mysql


@pytest.fixture(autouse=True)
def _binary() -> None:
    try:
        find_server()
    except NoServerBinary as error:
        pytest.skip(str(error))


def _answer(program: Program) -> str:
    return httpx.get(program.url, params={"city": "London"}).text.rstrip()


def test_data_are_loaded_once_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for loaded in ("loaded ", "the data is there already"):
        with Program(tmp_path, "dev", "--data", str(folder), settings={}) as program:
            assert _answer(program) == 'City "London" is #2643743'
            assert f"curl '{program.url}/?city=London'" in program.log
            assert loaded in program.log
            with pytest.raises(FolderInUse, match=f"in use by process {program.process.pid}"):
                LocalServer(folder).start()
            os.killpg(program.process.pid, signal.SIGINT)
            assert program.wait() == 0, program.log
    with LocalServer(folder) as server:
        assert "Shutdown complete" in server.log_path.read_text()


def test_killed_program_leaves_a_folder_that_the_next_can_use(tmp_path: Path) -> None:
    arguments = ("dev", "--data", str(tmp_path / "data"))
    with Program(tmp_path, *arguments, settings={}) as program:
        program.process.kill()
        program.wait()
    with Program(tmp_path, *arguments, settings={}) as program:
        assert _answer(program) == 'City "London" is #2643743'
