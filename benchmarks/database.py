"""The private MariaDB that every system under test shares: own folder, loopback, gone afterwards.

Not ``quart-app dev``'s server: the peers and ours must find the very same tables and settings.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql

from benchmarks.environments import ROOT, program
from benchmarks.peers.contract import CREATE_ATTEMPT, CREATE_SUMMARY

USER = "bench"
DATABASE = "bench"
STARTING = 30.0
OPTIONS = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=1000",
    "--back-log=1000",
    # Disk waits would drown the software that is compared: commits are flushed once a second.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=256M",
)


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server; *process* is replaced when it is started again."""

    folder: Path
    port: int
    password: str
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """Return where it is, as peers (``DB_``) and ours (``DATABASE_URL``) read it."""
        url = f"mysql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"
        return {
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(self.port),
            "DB_USER": USER,
            "DB_PASSWORD": self.password,
            "DB_NAME": DATABASE,
            "DATABASE_URL": url,
        }

    def connect(self) -> "pymysql.connections.Connection":
        """Connect; raises pymysql's errors."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            database=DATABASE,
            autocommit=True,
            ssl_disabled=True,  # PyMySQL's default TLS context takes 30 ms to make
        )

    def questions(self) -> int:
        """Return how many statements the server has been asked so far, this one included."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
            return int(cursor.fetchall()[0][1])

    def start(self) -> None:
        """Start it again after ``stop``, on the same port and data."""
        self.process = _start(self.folder, self.port)

    def stop(self) -> None:
        """Stop it cleanly; returns when it has ended."""
        self.process.terminate()
        try:
            self.process.wait(STARTING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def missing() -> list[str]:
    """Name the programs that the server needs and this machine lacks."""
    return [name for name in ("mariadbd", "mariadb-install-db") if shutil.which(name) is None]


@contextlib.contextmanager
def private_server(folder: Path) -> Iterator[Server]:
    """Make, start and seed a server in *folder*; stop it and remove the folder at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    password = os.urandom(12).hex()
    _make(folder, password)
    port = free_port()
    server = Server(
        folder=folder, port=port, password=password, process=_start(folder, port, first=True)
    )
    try:
        _wait(server)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make(folder: Path, password: str) -> None:
    command = ["mariadb-install-db", "--no-defaults", "--force", "--skip-test-db"]
    with (folder / "install.log").open("wb") as log:
        subprocess.run(
            [*command, f"--datadir={folder / 'data'}", *_as_root()],
            check=True,
            stdout=log,
            stderr=log,
        )
    (folder / "first.sql").write_text(
        f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;\n"
        f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON {DATABASE}.* TO {USER}@'127.0.0.1';\n"
    )


def _start(folder: Path, port: int, *, first: bool = False) -> subprocess.Popen[bytes]:
    paths = [f"--datadir={folder / 'data'}", f"--socket={folder / 'socket'}", f"--port={port}"]
    init = [f"--init-file={folder / 'first.sql'}"] if first else []
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            ["mariadbd", *OPTIONS, *paths, *init, *_as_root()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours: peers are stopped before their database
        )


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _wait(server: Server) -> None:
    deadline = time.monotonic() + STARTING
    while True:
        try:
            server.connect().close()
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline or server.process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return


def seed(server: Server) -> None:
    """Make our app's tables and data by its own commands, and the peers' own tables."""
    quart_app = [str(program("ours", "python")), "-c", "from quart_app.cli import main; main()"]
    environment = {**os.environ, **server.environment, "PYTHONPATH": str(ROOT)}
    with (server.folder / "seed.log").open("ab") as log:
        for command in ("migrate", "seed"):
            subprocess.run(
                [*quart_app, command], check=True, env=environment, stdout=log, stderr=log
            )
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(CREATE_ATTEMPT)
        cursor.execute(CREATE_SUMMARY)
