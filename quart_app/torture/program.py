"""The app under torture: one process that serves, started, watched and ended from here."""

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from quart_app.local_server.folder import free_port
from quart_app.torture import client
from quart_app.torture.subject import Subject

STARTING = 20.0
TOKEN = "torture-only"  # noqa: S105 - opens nothing but the app that is started here
_DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()


class StartFailed(Exception):  # noqa: N818 - beside the local server's
    """The program ended, or did not serve in time."""


class PoolState(msgspec.Struct):
    """What of the pool's counters is looked at from outside."""

    total: int
    active: int
    idle: int
    waiting: int
    connecting: int
    kills: int
    leaks: int


class State(msgspec.Struct):
    """What the process holds."""

    pool: PoolState
    tasks: int
    files: int
    rss_bytes: int


class Program:
    """A context manager: the process serves inside, and is gone after.

    Arguments:
        *subject*: what is started.
        *settings*: environment variables, over ours.
        *log*: the file that its output goes to.
    """

    def __init__(self, subject: Subject, settings: Mapping[str, str], *, log: Path) -> None:
        self.port = free_port()
        self.log_path = log
        self._subject = subject
        self._settings = settings
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self.log_path.open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self._subject.command(self.port),
                cwd=self._subject.folder,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            await self._wait_until_it_serves()
        except BaseException:
            await self.end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_path.read_text(errors="replace")

    async def state(self) -> State:
        """Ask it what it holds. Raises NoAnswer."""
        answer = await client.once(self.port, "/torture/state")
        return msgspec.json.decode(answer.body, type=State)

    def terminate(self) -> None:
        """Send SIGTERM, as container engines do."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)

    async def wait(self, timeout: float) -> int | None:
        """Wait for its end; return its exit status, None if it did not end in time."""
        assert self.process is not None
        try:
            async with asyncio.timeout(timeout):
                return await self.process.wait()
        except TimeoutError:
            return None

    async def end(self) -> None:
        """End it and what it started, whatever state they are in."""
        process = self.process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("QUART_APP_")}
        own = {
            "QUART_APP_BIND": f"127.0.0.1:{self.port}",
            "QUART_APP_ACCESS_LOG": "false",
            "QUART_APP_LOG_FORMAT": "json",
            "QUART_APP_TOKENS": f"students:{_DIGEST},ops:{_DIGEST}",
        }
        return {**inherited, **own, **self._settings}

    async def _answers(self) -> bool:
        return await client.until(self.port, self._subject.ready, 200, timeout=STARTING)

    async def _wait_until_it_serves(self) -> None:
        assert self.process is not None
        serves = asyncio.create_task(self._answers())
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait({serves, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if serves.done() and serves.result():
            return
        serves.cancel()
        message = f"{self._subject.label} does not serve; the end of its log:\n{self.log[-2000:]}"
        raise StartFailed(message)
