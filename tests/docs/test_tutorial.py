"""The tutorial's claim: the Flask app fails for good when the server hangs up, the other does not.

Both run as processes, the way the tutorial has them run; the server's wait_timeout is a real one.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from examples.database import fill
from quart_app.local_server import LocalServer
from quart_app.local_server.folder import free_port

pytestmark = [pytest.mark.mysql, pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
WAIT_TIMEOUT = 1
FLASK = ("-m", "flask", "--app", "examples.flask_app.app", "run", "--port")
QUART = ("-m", "hypercorn", "examples.quart_version.app:app", "--bind")


class App:
    """An example as a process, for the length of a ``with`` block."""

    def __init__(self, folder: Path, url: str, *command: str) -> None:
        self.port = free_port()
        self.log = folder / f"example-{self.port}.log"
        address = str(self.port) if "flask" in command else f"127.0.0.1:{self.port}"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command, address],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": url},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)

    def __enter__(self) -> Self:
        for _ in range(200):
            try:
                self.find("London")
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
            else:
                return self
        raise AssertionError(self.log.read_text())

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(20)

    def find(self, city: str) -> httpx.Response:
        return self.client.get("/", params={"city": city})

    def visit(self, city: str) -> httpx.Response:
        return self.client.post("/visits", data={"city": city})


@pytest.fixture(name="server")
async def _server(make_local_server: Callable[..., LocalServer]) -> LocalServer:
    server = make_local_server(f"--wait-timeout={WAIT_TIMEOUT}")
    await fill(server.url)
    return server


@pytest.fixture(name="flask_app")
def _flask_app(server: LocalServer, tmp_path: Path) -> Iterator[App]:
    with App(tmp_path, server.url, *FLASK) as app:
        yield app


@pytest.fixture(name="quart_version")
def _quart_version(server: LocalServer, tmp_path: Path) -> Iterator[App]:
    with App(tmp_path, server.url, *QUART) as app:
        yield app


def hang_up() -> None:
    """Let the server end every connection that does nothing."""
    time.sleep(WAIT_TIMEOUT + 1)


def test_flask_app_fails_for_good_once_the_server_has_hung_up(flask_app: App) -> None:
    assert flask_app.find("London").text == 'City "London" is #1'
    assert flask_app.visit("London").status_code == 201
    hang_up()
    assert [flask_app.find("London").status_code for _ in range(3)] == [500, 500, 500]
    assert flask_app.visit("London").status_code == 500
    log = flask_app.log.read_text()
    assert "(2013, " in log or "(2006, " in log


def test_quart_version_does_not_notice_that_the_server_hung_up(quart_version: App) -> None:
    assert quart_version.find("London").text == 'City "London" is #1'
    first = quart_version.visit("London").json()["visit"]
    hang_up()
    assert quart_version.find("Paris").text == 'City "Paris" is #2'
    hang_up()
    again = quart_version.visit("Paris")
    assert (again.status_code, again.json()) == (201, {"visit": first + 1})


def test_quart_version_does_not_notice_a_restart(server: LocalServer, quart_version: App) -> None:
    assert quart_version.find("London").status_code == 200
    server.restart()
    assert quart_version.visit("Nairobi").status_code == 201
    assert quart_version.find("Nowhereville").text == 'City "Nowhereville" not found'
