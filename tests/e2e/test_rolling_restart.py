"""Two processes behind HAProxy, restarted one after the other under load: no request fails."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quart_app.local_server.folder import free_port
from tests.e2e.program import PATIENCE, Program

CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy" / "app.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
CLIENTS = 8
HEADERS = {"Authorization": "Bearer token"}
pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")


@contextlib.contextmanager
def _haproxy(folder: Path, ports: list[int]) -> Iterator[str]:
    """HAProxy with the configuration that deployments use; gives its URL."""
    port = free_port()
    apps = {f"APP_{number}": f"127.0.0.1:{app}" for number, app in enumerate(ports, 1)}
    environment = {**apps, "API_LISTEN": f"127.0.0.1:{port}", "PATH": os.environ["PATH"]}
    with (folder / "haproxy.log").open("wb") as output:
        process = subprocess.Popen(
            [str(HAPROXY), "-db", "-f", str(CONFIG)], env=environment, stdout=output, stderr=output
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class _Load:
    """Requests without a pause, of both kinds: one that may be sent again, one that may not."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seen: Counter[object] = Counter()
        self._began = time.monotonic()
        self._stopped = asyncio.Event()
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(CLIENTS)]

    async def _work(self, number: int) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=PATIENCE) as client:
            while not self._stopped.is_set():
                try:
                    if number % 2:
                        answer = await client.get("/", params={"city": "London"})
                    else:
                        answer = await client.post(
                            "/students/1", json={"chapterId": 1}, headers=HEADERS
                        )
                    self.seen[answer.status_code] += 1
                except httpx.HTTPError as error:
                    self.seen[repr(error)] += 1

    async def until_more(self) -> None:
        """Wait until a good number of further requests has been answered."""
        target = self.seen.total() + 20 * CLIENTS
        async with asyncio.timeout(PATIENCE):
            while self.seen.total() < target:  # noqa: ASYNC110 # a count, not an event
                await asyncio.sleep(0.02)

    def tell(self, event: str) -> None:
        """Print a line of the transcript (``pytest -s`` shows it)."""
        answered = self.seen[httpx.codes.OK]
        failed = self.seen.total() - answered
        passed = time.monotonic() - self._began
        print(f"{passed:6.2f} s  {answered:6} answered  {failed} failed  {event}")  # noqa: T201

    async def stop(self) -> Counter[object]:
        """Stop; tell how often what was answered."""
        self._stopped.set()
        await asyncio.gather(*self._tasks)
        return self.seen


async def test_rolling_restart_under_load_fails_no_request(seeded_url: str, tmp_path: Path) -> None:
    tokens = "students:" + hashlib.sha256(b"token").hexdigest()
    settings = {"DATABASE_URL": seeded_url, "QUART_APP_TOKENS": tokens}
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:

        def start(port: int) -> Program:
            return stack.enter_context(Program(tmp_path, settings=settings, port=port))

        programs = [start(port) for port in ports]
        url = stack.enter_context(_haproxy(tmp_path, ports))
        await asyncio.to_thread(_wait_until_served, url)
        load = _Load(url)
        await load.until_more()
        load.tell("two processes, eight clients without a pause")
        for number, program in enumerate(programs, 1):
            program.terminate()
            load.tell(f"process {number}: SIGTERM")
            assert await asyncio.to_thread(program.wait) == 0, program.log
            load.tell(f"process {number}: ended, exit 0")
            await load.until_more()
            await asyncio.to_thread(start, program.port)
            load.tell(f"process {number}: started again")
            await load.until_more()
        load.tell("the end")
        seen = await load.stop()
    assert set(seen) == {httpx.codes.OK}, seen


def _wait_until_served(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready").status_code == httpx.codes.OK:
                return
        assert time.monotonic() < deadline, "HAProxy found nobody to send requests to"
        time.sleep(0.05)
