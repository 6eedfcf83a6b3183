"""The database servers of a test run: each started at most once, when first asked for.

Not fixtures (those are in `plugin.py`): what they hand out.
"""

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit, urlunsplit

import pymysql

TEST_DATABASES = "quart_app_test_"


class ServerProcess(Protocol):
    """What can be done to a server: LocalServer and ContainerServer do it."""

    @property
    def url(self) -> str: ...
    @property
    def admin_url(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def restart(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


@runtime_checkable
class Removable(Protocol):
    """A server whose end leaves something that only it can remove."""

    def remove(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenServer:
    """The server of ``--mysql-url``: used, never started, stopped or broken."""

    url: str

    @property
    def admin_url(self) -> str:
        """The same URL: its user must be allowed to make databases."""
        return self.url

    @property
    def port(self) -> int:
        """The port in the URL."""
        return urlsplit(self.url).port or 3306

    @property
    def running(self) -> bool:
        """It is taken to be."""
        return True

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self) -> None:
        """Do nothing: it is not ours."""

    def restart(self) -> None:
        """Refuse."""
        message = "a server given by --mysql-url is not ours to break"
        raise NotImplementedError(message)

    kill = pause = resume = restart


@dataclass(slots=True, kw_only=True)
class Server:
    """A started server and what tests need of it. *process* breaks and mends it."""

    kind: str
    process: ServerProcess
    version: str = ""
    _databases: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The app user's URL of the server's own database."""
        return self.process.url

    @property
    def admin_url(self) -> str:
        """The URL of a user who may do everything."""
        return self.process.admin_url

    @property
    def port(self) -> int:
        """Where it listens; the same after a restart."""
        return self.process.port

    def begin(self) -> None:
        """Start it and let the app's user use the databases that `new_database` makes."""
        self.process.start()
        self.version = str(self.execute("SELECT VERSION()")[0][0]).partition("-")[0]
        user = unquote(urlsplit(self.url).username or "")
        if self.url != self.admin_url:
            pattern = TEST_DATABASES.replace("_", r"\_") + "%%"
            self.execute(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO %s@'%%'", user)

    def execute(self, sql: LiteralString, *args: object) -> list[tuple[object, ...]]:
        """Run *sql* as the administrator, blocking, on a connection of its own; return its rows."""
        with contextlib.closing(_connect(self.admin_url)) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, args or None)
            return list(cursor.fetchall())

    def new_database(self) -> str:
        """Make an empty database; return the app user's URL of it."""
        name = TEST_DATABASES + secrets.token_hex(6)
        self._execute_named("CREATE DATABASE `{}` CHARACTER SET utf8mb4", name)
        self._databases.append(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """Drop the database at *url*, one that `new_database` made."""
        name = urlsplit(url).path.removeprefix("/")
        self._databases.remove(name)
        self._execute_named("DROP DATABASE IF EXISTS `{}`", name)

    def drop_databases(self) -> None:
        """Drop what `new_database` made and nobody dropped."""
        while self._databases:
            self._execute_named("DROP DATABASE IF EXISTS `{}`", self._databases.pop())

    def mend(self) -> None:
        """Bring it back to life after a test that broke it."""
        if self.process.running:
            self.process.resume()
        else:
            self.process.start()

    def _execute_named(self, sql: str, name: str) -> None:
        with contextlib.closing(_connect(self.admin_url)) as connection:
            connection.cursor().execute(sql.format(name))


Connection = pymysql.connections.Connection


def _connect(url: str) -> "Connection[pymysql.cursors.Cursor]":
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        autocommit=True,
        connect_timeout=10,
    )


class Servers:
    """The servers of one run, by kind; *makers* make what an offer promised, in a folder."""

    def __init__(self, makers: dict[str, Callable[[Path], ServerProcess]]) -> None:
        self._makers = makers
        self._shared: dict[str, Server] = {}
        self._breakable: dict[str, Server] = {}
        self._failed: dict[str, Exception] = {}
        self._exit = contextlib.ExitStack()
        self._folders = 0
        self._root: Path | None = None

    def shared(self, kind: str) -> Server:
        """Return the server that all tests share; nobody breaks it."""
        if kind not in self._shared:
            self._shared[kind] = self._start(kind)
        return self._shared[kind]

    def breakable(self, kind: str) -> Server:
        """Return the server that one test at a time may break."""
        if kind not in self._breakable:
            self._breakable[kind] = self._start(kind)
        return self._breakable[kind]

    def versions(self) -> dict[str, str]:
        """Return the versions of the kinds that were started."""
        started = {**self._breakable, **self._shared}
        return {kind: server.version for kind, server in started.items()}

    def folder(self) -> Path:
        """Return a new short path for a server's data; all go at the end of the run."""
        if self._root is None:
            made = tempfile.TemporaryDirectory(prefix="qa-", ignore_cleanup_errors=True)
            self._root = Path(self._exit.enter_context(made))
        self._folders += 1
        return self._root / str(self._folders)

    def close(self) -> None:
        """Stop every server, whatever happens to one of them, and remove their data."""
        self._exit.close()

    def _start(self, kind: str) -> Server:
        if kind in self._failed:  # not once more for each test that asks
            message = f"the {kind} server could not be started"
            raise RuntimeError(message) from self._failed[kind]
        try:
            server = Server(kind=kind, process=self._makers[kind](self.folder()))
            process = server.process
            self._exit.callback(process.remove if isinstance(process, Removable) else process.stop)
            server.begin()
            if isinstance(server.process, GivenServer):
                self._exit.callback(server.drop_databases)
        except Exception as error:
            self._failed[kind] = error
            raise
        return server


def breaking(server: Server) -> Iterator[Server]:
    """Lend *server* to a test that breaks it: alive before and after, its databases dropped."""
    server.mend()
    try:
        yield server
    finally:
        server.mend()
        server.drop_databases()
