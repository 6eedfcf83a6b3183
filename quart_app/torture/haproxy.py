"""HAProxy before several servers: one address, and which server is behind it can be changed.

Blocking, on the loopback, and gone at the end. The first server that is up takes all connections, the
others stand by. A server that goes keeps its connections for as long as it keeps them itself.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from quart_app.local_server.folder import free_port
from quart_app.torture.errors import CannotHave

STARTING = 10.0
PATIENCE = 2.0


def program() -> str | None:
    """Where HAProxy is; None where it is not."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


class HAProxy:
    """A context manager: it listens inside, and its process is gone after.

    Arguments:
        *folder*: for its configuration, its log and its socket.
        *servers*: host and port of each; the first is preferred.
    """

    def __init__(self, folder: Path, servers: Sequence[tuple[str, int]]) -> None:
        self.port = free_port()
        self._folder = folder
        self._servers = servers
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        found = program()
        if found is None:
            raise CannotHave("haproxy not found; on Debian: sudo apt-get install -y haproxy")
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "haproxy.cfg"
        configuration.write_text(_configuration(self._admin, self.port, self._servers))
        with (self._folder / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the found program
                [found, "-db", "-f", str(configuration)], stdout=log, stderr=log
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def before(self, url: str) -> str:
        """Return *url* with this address in the place of its servers."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self.port}"))

    def take_out(self, number: int) -> None:
        """Send no new connections to server *number* (from 1 on); it keeps those it has."""
        self._tell(f"set server database/s{number} state maint")

    @property
    def _admin(self) -> Path:
        return self._folder / "admin.sock"

    def _tell(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(PATIENCE)
            admin.connect(str(self._admin))
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(4096), b"")).decode()

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + STARTING
        while time.monotonic() < until:
            try:
                self._tell("show info")
            except OSError:
                time.sleep(0.02)
            else:
                return
        text = (self._folder / "haproxy.log").read_text(errors="replace")
        raise CannotHave(f"haproxy does not answer:\n{text[-2000:]}")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _configuration(admin: Path, port: int, servers: Sequence[tuple[str, int]]) -> str:
    lines = [
        "global",
        f"  stats socket {admin} level admin",
        "defaults",
        "  mode tcp",
        "  timeout connect 1s",
        "  timeout check 1s",
        "  timeout client 1h",
        "  timeout server 1h",
        "listen database",
        f"  bind 127.0.0.1:{port}",
        "  default-server check inter 200ms fall 2 rise 2",
    ]
    for number, (host, its_port) in enumerate(servers, start=1):
        standby = " backup" if number > 1 else ""
        lines.append(f"  server s{number} {host}:{its_port}{standby}")
    return "\n".join([*lines, ""])
