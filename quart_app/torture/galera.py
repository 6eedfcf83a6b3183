"""A Galera cluster of this machine's own MariaDB, on the loopback, gone at the end. No Docker.

Blocking, as the private server is; from any thread. It ends when its owner ends, however that comes.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from quart_app.local_server import supervisor
from quart_app.local_server.binary import tail
from quart_app.local_server.folder import free_port
from quart_app.mysql.config import ConnectConfig, Endpoint
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.errors import DatabaseError
from quart_app.torture.errors import CannotHave
from quart_app.torture.galera_options import (
    DATABASE,
    PASSWORD,
    options_file,
    provider,
    users,
)

PROGRAMS = ("mariadbd", "mariadb-install-db", "wsrep_sst_rsync", "rsync", "socat", "lsof")
PACKAGES = "mariadb-server galera-4 rsync socat lsof"
STARTING = 60.0
_SYNCED = "4"


def why_none() -> str:
    """Return why no cluster can be had, and what to install; nothing when one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if provider() is None:
        missing.append("libgalera_smm.so")
    if not missing:
        return ""
    return f"{', '.join(missing)} not found; on Debian: sudo apt-get install -y {PACKAGES}"


class Node:
    """One server of the cluster; breakable as a private server is."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.folder = folder / f"n{number}"
        self.port, self.group_port, self.ist_port, self.sst_port = (free_port() for _ in range(4))
        self.peers: Sequence[Node] = ()
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The app user's URL of this node alone."""
        return f"mysql://app:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def admin_url(self) -> str:
        """The URL of a user who may do everything."""
        return f"mysql://admin:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def running(self) -> bool:
        """Whether its process is there, frozen or not."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def start(self) -> None:
        """Start it as a member of the cluster that runs; wait until it is in step."""
        if not self.running:
            self._launch()
        self.wait_until_synced()

    def begin_cluster(self) -> None:
        """Start it as the first of a new cluster."""
        self._launch("--wsrep-new-cluster")
        self.wait_until_synced()

    def stop(self) -> None:
        """Stop it cleanly, and wait. Idempotent."""
        if self._supervisor is not None:
            with self._supervisor:  # the end of its input is its sign
                pass
            self._supervisor = None

    def restart(self) -> None:
        """Leave the cluster cleanly and join it again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL; wait for its end."""
        self._command(b"k")
        self.stop()

    def pause(self) -> None:
        """SIGSTOP."""
        self._command(b"p")

    def resume(self) -> None:
        """Let a frozen node go on."""
        self._command(b"c")

    def admin(self) -> MySQLDriver:
        """Connects as root over the socket; works at a node that is not in step, too."""
        endpoint = Endpoint(unix_socket=str(self.folder / "s.sock"))
        return MySQLDriver(ConnectConfig(endpoints=(endpoint,), user="root"))

    def make_data(self) -> None:
        """Make its data folder."""
        self._write_options()
        command = ["mariadb-install-db", "--no-defaults", "--skip-test-db", "--force"]
        command += [f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder}"]
        command += ["--auth-root-authentication-method=normal", *_as_user()]
        with (self.folder / "install.log").open("wb") as log:
            done = subprocess.run(command, stdout=log, stderr=log, check=False)  # noqa: S603
        if done.returncode:
            raise CannotHave(f"no data for the cluster:\n{tail(self.folder / 'install.log')}")

    def copy_data(self, other: "Node") -> None:
        """Take *other*'s data, so that nothing has to be transferred when it joins."""
        self._write_options()
        shutil.copytree(other.folder / "data", self.folder / "data", symlinks=True)
        for name in ("galera.cache", "gvwstate.dat", "own.pid"):
            (self.folder / "data" / name).unlink(missing_ok=True)
        state = self.folder / "data" / "grastate.dat"
        state.write_text(state.read_text().replace("bootstrap: 1", "bootstrap: 0"))
        _give_to_user(self.folder)

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """Run *statements* as root, on a connection of their own; return the rows of the last."""
        return asyncio.run(self._execute(statements))

    async def _execute(self, statements: Sequence[str]) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        async with asyncio.timeout(10.0):
            connection = await self.admin().connect()
            try:
                for statement in statements:
                    rows = (await connection.run(statement)).rows
            finally:
                connection.quit()
                await connection.wait_gone(1.0)
        return rows

    def wait_until_synced(self) -> None:
        """Wait until it is in step with the cluster. Raises CannotHave."""
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline and self.running:
            try:
                rows = self.execute(
                    "SHOW GLOBAL STATUS WHERE Variable_name IN"
                    " ('wsrep_local_state', 'wsrep_cluster_status')"
                )
            except (DatabaseError, TimeoutError):
                rows = []
            if {str(value) for _, value in rows} == {_SYNCED, "Primary"}:
                return
            time.sleep(0.05)
        raise CannotHave(f"node {self.number} did not join:\n{tail(self.folder / 'server.log')}")

    def _command(self, command: bytes) -> None:
        child = self._supervisor
        if child is None or child.stdin is None or child.stdout is None:
            raise CannotHave(f"node {self.number} does not run")
        child.stdin.write(command)
        child.stdout.readline()

    def _launch(self, *options: str) -> None:
        program = shutil.which("mariadbd") or "mariadbd"
        command = [program, f"--defaults-file={self.folder / 'my.cnf'}"]
        with (self.folder / "server.log").open("ab") as log:
            self._supervisor = subprocess.Popen(  # noqa: S603 - our own script and the found server
                [
                    *(sys.executable, "-I", "-S", supervisor.__file__, *command),
                    *(*options, *self._recovered(command)),
                ],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._supervisor.stdout is not None
        self._supervisor.stdout.readline()

    def _recovered(self, command: Sequence[str]) -> list[str]:
        """After a SIGKILL the position is in InnoDB: with it only what is missing is transferred."""
        state = self.folder / "data" / "grastate.dat"
        if not state.exists() or "seqno:   -1" not in state.read_text():
            return []
        done = subprocess.run(  # noqa: S603 - the found server
            [*command, "--wsrep-recover"], capture_output=True, text=True, check=False
        )
        positions = [
            line.partition("Recovered position:")[2].strip()
            for line in done.stderr.splitlines()
            if "Recovered position:" in line
        ]
        return [f"--wsrep-start-position={positions[-1]}"] if positions else []

    def _write_options(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "my.cnf").write_text(
            options_file(self, [peer.group_port for peer in self.peers])
        )
        _give_to_user(self.folder)


class Cluster:
    """Three nodes, and a context manager: in step at entry, gone at exit."""

    def __init__(self, folder: Path, *, size: int = 3) -> None:
        self.nodes = [Node(folder, number) for number in range(1, size + 1)]
        for node in self.nodes:
            node.peers = self.nodes

    @property
    def url(self) -> str:
        """The app user's URL, with all nodes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"mysql://app:{PASSWORD}@{hosts}/{DATABASE}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make the data once, copy it, and start one after the other."""
        first, *others = self.nodes
        first.folder.parent.mkdir(parents=True, exist_ok=True)
        for folder in first.folder.parents[:2]:  # a temporary folder is its maker's alone
            if os.geteuid() == 0 and folder != Path(tempfile.gettempdir()):
                folder.chmod(0o755)
        first.make_data()
        first.begin_cluster()
        first.execute(*users())
        first.stop()
        for node in others:
            node.copy_data(first)
        first.begin_cluster()
        for node in others:
            node.start()

    def stop(self) -> None:
        """Stop all, also those that are frozen."""
        for node in reversed(self.nodes):
            if node.running:
                node.resume()
            node.stop()


def _as_user() -> list[str]:
    return ["--user=mysql"] if os.geteuid() == 0 else []


def _give_to_user(folder: Path) -> None:
    """As root a node runs as user mysql: an rsync of root's would write as nobody, and fail."""
    if os.geteuid() != 0:
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            shutil.chown(path, "mysql", "mysql")
