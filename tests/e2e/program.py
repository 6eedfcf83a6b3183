"""The whole program as a process, the way people run it: `quart-app` with an environment."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from quart_app.local_server.folder import free_port

COMMAND = Path(sys.executable).with_name("quart-app")
PATIENCE = 60.0


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without settings of the app, and with these."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("QUART_APP_", "DATABASE_URL"))
    }
    return {**inherited, **settings}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `quart-app` to its end; its output is in the result, both streams as one."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )


class Program:
    """`quart-app serve` (or *arguments*) on a free port, for the length of a `with` block."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        settings: Mapping[str, str],
        cwd: Path | None = None,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"program-{self.port}.log"
        bind = {"QUART_APP_BIND": f"127.0.0.1:{self.port}"}
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [COMMAND, *(arguments or ("serve",))],
                cwd=cwd,
                env=environment(**bind, **settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            self.wait_until("/health/live", 200)
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, path: str, status: int) -> None:
        """Ask for *path* until it answers with *status*."""
        deadline = time.monotonic() + PATIENCE
        last: object = None
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                last = httpx.get(self.url + path, timeout=PATIENCE).status_code
            except httpx.TransportError as error:
                last = error
            if last == status:
                return
            time.sleep(0.02)
        message = f"{path} did not answer {status}, at last: {last!r}\n{self.log}"
        raise AssertionError(message)

    def wait_until_refusing(self) -> None:
        """Wait until it takes no new connections."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
            except ConnectionRefusedError:
                return
            time.sleep(0.02)
        message = f"it still takes connections\n{self.log}"
        raise AssertionError(message)

    def terminate(self) -> None:
        """Send SIGTERM, as container engines do."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end; return its exit status."""
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it and what it started, whatever state they are in."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
