"""A data folder and who may use it: paths, what is remembered between runs, the two locks.

`owner.lock` is held by the owning program alone, `server.lock` also by its supervisor and its
server, which inherit it. So the kernel knows: if the first is free and the second is not, a server
outlived its owner, and may be ended. Nothing is concluded from a pid alone.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import signal
import socket
import stat
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from quart_app.local_server.errors import FolderInUse, LocalServerError

# The kernel's limit for a unix socket's path is 108 bytes, the last of them zero.
SOCKET_PATH_BYTES = 107
ORPHAN_GRACE = 60.0
KILL_GRACE = 10.0
NOT_HELD = -1
LOG_LIMIT_BYTES = 4 * 1024 * 1024


def _password() -> str:
    return secrets.token_hex(16)


@dataclass(slots=True, kw_only=True)
class Memory:
    """What a folder remembers between runs."""

    flavour: str = ""
    version: str = ""
    port: int = 0
    pid: int = 0
    app_password: str = field(default_factory=_password, repr=False)
    admin_password: str = field(default_factory=_password, repr=False)


class Folder:
    """The folder of one private server: `acquire` it before writing, `release` it at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.data = self.path / "data"
        self.log = self.path / "server.log"
        self.install_log = self.path / "install.log"
        self.init_file = self.path / "init.sql"
        self.tls = self.path / "tls"
        self._memory_file = self.path / "memory.json"
        self._owner_lock = NOT_HELD
        # The descriptor that the server's processes inherit.
        self.server_lock = NOT_HELD

    @property
    def socket(self) -> Path:
        """Where the server's socket is: in the folder, or in a short one where that is too long."""
        inside = self.path / "s.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"quart-app-{os.getuid()}-{digest}" / "s.sock"

    def acquire(self) -> None:
        """Become the owner; end a server whose owner is gone. Waits for it, up to a minute.

        Raises FolderInUse when another living program is the owner.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self._owner_lock = self._open("owner.lock")
        try:
            self._lock_as_owner()
            self.server_lock = self._open("server.lock")
            self._end_orphan()
            _make_private(self.socket.parent)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the folder up. Harmless when it is not held."""
        for descriptor in (self.server_lock, self._owner_lock):
            if descriptor != NOT_HELD:
                os.close(descriptor)
        self.server_lock = self._owner_lock = NOT_HELD

    def remembered(self) -> Memory:
        """Read what was remembered; a new memory where there is none."""
        try:
            return Memory(**json.loads(self._memory_file.read_text()))
        except FileNotFoundError:
            return Memory()
        except (ValueError, TypeError) as error:
            message = (
                f"{self._memory_file} can't be read ({error}); remove {self.path} to start anew"
            )
            raise LocalServerError(message) from error

    def remember(self, memory: Memory) -> None:
        """Write *memory*, at once or not at all."""
        aside = self._memory_file.with_suffix(".new")
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(asdict(memory)))
        aside.replace(self._memory_file)

    def trim_log(self) -> None:
        """Keep the server's log from growing without end: one old one is kept."""
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))

    def _open(self, name: str) -> int:
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _lock_as_owner(self) -> None:
        if not _lock(self._owner_lock):
            owner = os.pread(self._owner_lock, 32, 0).decode().strip() or "unknown"
            message = f"{self.path} is in use by process {owner}; end that, or use another folder"
            raise FolderInUse(message)
        os.ftruncate(self._owner_lock, 0)
        os.pwrite(self._owner_lock, b"%d\n" % os.getpid(), 0)

    def _end_orphan(self) -> None:
        """Wait until nobody holds the server's lock, ending the process that does."""
        if _lock(self.server_lock):
            return
        for number, grace in ((signal.SIGTERM, ORPHAN_GRACE), (signal.SIGKILL, KILL_GRACE)):
            self._signal_orphan(number)
            if _lock_within(self.server_lock, grace):
                return
        message = f"a server of an earlier run still uses {self.path}; its log is {self.log}"
        raise FolderInUse(message)

    def _signal_orphan(self, number: signal.Signals) -> None:
        pid = self.remembered().pid
        if pid and f"--datadir={self.data}" in _command_line(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)


def free_port(preferred: int = 0) -> int:
    """Return *preferred* if a server could listen on it now, else some port that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    message = "127.0.0.1 has no free port"
    raise LocalServerError(message)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_within(descriptor: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _lock(descriptor):
            return True
        time.sleep(0.02)
    return False


def _command_line(pid: int) -> list[str]:
    """Return the arguments of process *pid*; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except FileNotFoundError:
        pass
    if Path("/proc/self").exists():
        return []
    listed = subprocess.run(  # noqa: S603 - where there is no /proc; a number is all that varies
        ["/bin/ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


def _make_private(folder: Path) -> None:
    """Make *folder* for us alone. In a shared temporary folder another user could have made it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        message = f"{folder} belongs to somebody else; remove it or set TMPDIR"
        raise LocalServerError(message)
