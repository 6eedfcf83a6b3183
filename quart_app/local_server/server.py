"""LocalServer: start, stop, break and mend one private server. Synchronous; from any thread.

Unlike a service it belongs to one program: it ends when that program ends, also by SIGKILL, and its
data stay for the next run. The server is a grandchild: `supervisor.py` stands between.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from quart_app.local_server import supervisor
from quart_app.local_server.binary import ServerBinary, find_server, make_data, tail
from quart_app.local_server.errors import LocalServerError, StartFailed
from quart_app.local_server.folder import Folder, Memory, free_port
from quart_app.local_server.recipe import ADMIN_USER, APP_USER, init_sql, server_command
from quart_app.local_server.tls import TLSFiles, make_tls_files

PORT_ATTEMPTS = 3
# First byte of a server's greeting: the protocol's version, 10 since 1998.
GREETING_OFFSET, GREETING = 4, 10


class LocalServer:
    """A private server on *data_dir*, and a context manager: started at entry, stopped at exit.

    Arguments:
        data_dir: made if it is not there; nothing outside is written, but for a socket whose path
            would be too long.
        options: further options of the server, such as ``--wait-timeout=5``.
        tls: make certificates (``tls_ca`` is the authority to trust) and offer TLS with them.
            Without it MySQL still offers TLS with a certificate of its own, MariaDB 10 none.
        database: made empty at the first start; the app's user has all rights on it and no other.
        binary: which server to run; default: the first that is found.
        start_timeout: seconds until a start is given up.
    """

    def __init__(  # noqa: PLR0913 - independent keywords, each with a default
        self,
        data_dir: Path | str,
        *,
        options: Sequence[str] = (),
        tls: bool = False,
        database: str = "quart_app",
        binary: ServerBinary | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        self.options = tuple(options)
        self.database = database
        self.start_timeout = start_timeout
        self._folder = Folder(Path(data_dir))
        self._wants_tls = tls
        self._tls: TLSFiles | None = None
        self._binary = binary
        self._memory = Memory()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._owned = False

    def __repr__(self) -> str:
        state = f"pid {self.pid}, port {self.port}" if self.running else "stopped"
        return f"<LocalServer {self._folder.path}: {state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; nothing if it runs. Same port as before.

        Raises NoServerBinary, FolderInUse or StartFailed; nothing is left running then.
        """
        if self.running:
            return
        try:
            if self._owned:
                self._launch()
            else:
                self._own()
                self._launch_on_a_free_port()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server cleanly, also a paused one, and give up the folder. Idempotent."""
        try:
            self._end()
        finally:
            self._folder.release()
            self._owned = False

    def restart(self) -> None:
        """Stop the server cleanly and start it again on the same port."""
        self._end()
        self.start()

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait for its end; `start` brings it back."""
        self._command(b"k")
        self._end()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): it accepts connections no more, and drops none."""
        self._command(b"p")

    def resume(self) -> None:
        """Let a frozen server go on. Harmless for one that runs."""
        self._command(b"c")

    @property
    def running(self) -> bool:
        """Whether the server's process is there, frozen or not."""
        return self._supervisor is not None and self._supervisor.poll() is None

    @property
    def binary(self) -> ServerBinary:
        """The server's program; looked for when first asked. Raises NoServerBinary."""
        if self._binary is None:
            self._binary = find_server()
        return self._binary

    @property
    def pid(self) -> int:
        """The server's own process, 0 before the first start."""
        return self._memory.pid

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same for every run while nobody else takes it."""
        return self._memory.port

    @property
    def socket(self) -> Path:
        """The unix socket's path."""
        return self._folder.socket

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._folder.log

    @property
    def tls_ca(self) -> Path:
        """The authority that signed the server's certificate. Raises without ``tls=True``."""
        if self._tls is None:
            message = "this server was made without tls=True, or was not started yet"
            raise LocalServerError(message)
        return self._tls.ca

    @property
    def url(self) -> str:
        """The app's URL: a user with all rights on the one database."""
        return self._url(APP_USER, self._memory.app_password)

    @property
    def admin_url(self) -> str:
        """The URL of a user who may do everything."""
        return self._url(ADMIN_USER, self._memory.admin_password)

    @property
    def socket_url(self) -> str:
        """The app's URL over the unix socket."""
        password = self._memory.app_password
        return f"mysql://{APP_USER}:{password}@localhost/{self.database}?unix_socket={self.socket}"

    def _url(self, user: str, password: str) -> str:
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{self.database}"

    def _own(self) -> None:
        binary = self.binary
        self._folder.acquire()
        self._owned = True
        self._memory = self._folder.remembered()
        if self._memory.flavour not in {"", binary.flavour.value}:
            message = (
                f"{self._folder.path} was made by {self._memory.flavour} {self._memory.version} "
                f"and this is {binary}; remove the folder, or use another, to start anew"
            )
            raise LocalServerError(message)
        self._memory.flavour, self._memory.version = binary.flavour.value, binary.version
        self._folder.remember(self._memory)
        if not self._folder.data.exists():
            log, lock = self._folder.install_log, self._folder.server_lock
            make_data(binary, self._folder.data, log=log, keep_open=[lock])
        if self._wants_tls:
            self._tls = make_tls_files(self._folder.tls)

    def _launch_on_a_free_port(self) -> None:
        for attempt in range(PORT_ATTEMPTS):
            self._memory.port = port = free_port(self._memory.port)
            try:
                self._launch()
            except StartFailed:
                # Somebody may have taken the port after we looked: that alone is worth another.
                if attempt == PORT_ATTEMPTS - 1 or free_port(port) == port:
                    raise
            else:
                return

    def _launch(self) -> None:
        folder = self._folder
        folder.trim_log()
        folder.socket.unlink(missing_ok=True)
        folder.init_file.touch(mode=0o600)
        folder.init_file.write_text(init_sql(self.binary, self._memory, self.database))
        options = [*(self._tls.options() if self._tls else ()), *self.options]
        command = server_command(self.binary, folder, port=self.port, options=options)
        with folder.log.open("ab") as log:
            self._supervisor = subprocess.Popen(  # noqa: S603 - our own script and the found server
                [sys.executable, "-I", "-S", supervisor.__file__, *command],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(folder.server_lock,),
                start_new_session=True,
            )
        try:
            self._memory.pid = int(self._answer() or 0)
            folder.remember(self._memory)
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout
        pause = 0.005
        while not _answers(self.socket):
            if not self.running:
                message = f"{self.binary} ended while starting:\n{tail(self.log_path)}"
                raise StartFailed(message)
            if time.monotonic() > deadline:
                message = (
                    f"{self.binary} was not ready after {self.start_timeout:g} s:\n"
                    f"{tail(self.log_path)}"
                )
                raise StartFailed(message)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)

    def _command(self, command: bytes) -> None:
        """Have the supervisor do *command* and wait until it is done. Raises when nothing runs."""
        child = self._supervisor
        if child is None or child.stdin is None or not self.running:
            message = f"{self!r} does not run"
            raise LocalServerError(message)
        with contextlib.suppress(BrokenPipeError):  # it ended just now, which `running` will tell
            child.stdin.write(command)
        self._answer()

    def _answer(self) -> str:
        child = self._supervisor
        if child is None or child.stdout is None:
            return ""
        return child.stdout.readline().decode().strip()

    def _end(self) -> None:
        """Stop what runs, and wait. The end of its input tells the supervisor what to do."""
        child = self._supervisor
        if child is None:
            return
        with child:  # closes the pipes, then waits
            pass
        self._supervisor = None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        return greets(client, os.fspath(path))
    return False


def greets(client: socket.socket, address: str | tuple[str, int]) -> bool:
    """Whether a server at *address* says hello on *client*; it does once it takes statements.

    Raises OSError where nobody listens.
    """
    client.settimeout(1.0)
    client.connect(address)
    greeting = client.recv(64)
    return len(greeting) > GREETING_OFFSET and greeting[GREETING_OFFSET] == GREETING
