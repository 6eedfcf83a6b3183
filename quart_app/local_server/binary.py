"""Find the server program of this machine and make a data folder with it.

It takes MariaDB or MySQL, whichever is there. It never installs one: see `obtain.py`.
"""

import contextlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from quart_app.local_server.errors import NoServerBinary, StartFailed

NAMES = ("mariadbd", "mysqld")
# Packages put servers where the PATH of an ordinary user does not look.
MORE_FOLDERS = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/libexec",
    "/usr/local/mysql/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/mariadb/bin",
)
INSTALLERS = ("mariadb-install-db", "mysql_install_db")
LOG_LINES = 15


class Flavour(Enum):
    """Whose server it is: they differ in how data is made and in a few options."""

    MARIADB = "mariadb"
    MYSQL = "mysql"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBinary:
    """A server program that answered ``--version``."""

    path: Path
    flavour: Flavour
    version: str

    def __str__(self) -> str:
        return f"{'MariaDB' if self.flavour is Flavour.MARIADB else 'MySQL'} {self.version}"


def find_server(flavour: Flavour | None = None) -> ServerBinary:
    """Return the first server program found, of *flavour* if given.

    Raises NoServerBinary, saying how to get one.
    """
    for path in _candidates():
        found = identify(path)
        if flavour in {None, found.flavour}:
            return found
    message = f"no {' or '.join(NAMES)} was found on this machine. {how_to_get_one()}"
    raise NoServerBinary(message)


def _candidates() -> Iterator[Path]:
    for folder in (None, *MORE_FOLDERS):
        for name in NAMES:
            path = shutil.which(name, path=folder)
            if path is not None:
                yield Path(path)


@cache
def identify(path: Path) -> ServerBinary:
    """Ask *path* what it is. Raises NoServerBinary when it does not answer as a server does."""
    try:
        answer = subprocess.run(  # noqa: S603 - a server program of this machine, fixed arguments
            [path, "--no-defaults", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{path} does not run: {error}. {how_to_get_one()}"
        raise NoServerBinary(message) from error
    return parse_version(path, answer)


def parse_version(path: Path, answer: str) -> ServerBinary:
    """Read the line that ``--version`` prints; both programs may be called mysqld."""
    found = re.search(r"\bVer (\d+(?:\.\d+)+)", answer)
    if found is None:
        message = f"{path} printed no version: {answer[:200]!r}. {how_to_get_one()}"
        raise NoServerBinary(message)
    flavour = Flavour.MARIADB if "mariadb" in answer.lower() else Flavour.MYSQL
    return ServerBinary(path=path, flavour=flavour, version=found[1])


def how_to_get_one() -> str:
    """Say what to type on this kind of system."""
    return f"To get one: {install_command()}"


def install_command() -> str:
    """Return the command line that installs a server with this system's package manager."""
    commands = {
        "apt-get": "sudo apt-get install -y --no-install-recommends "
        "mariadb-server-core mariadb-client-core",
        "dnf": "sudo dnf install -y mariadb-server",
        "apk": "sudo apk add mariadb",
        "pacman": "sudo pacman -S mariadb",
        "zypper": "sudo zypper install mariadb",
        "brew": "brew install mariadb",
    }
    for manager, command in commands.items():
        if shutil.which(manager):
            return command
    return f"install MariaDB or MySQL with the package manager of this {platform.system()}"


def common_options(binary: ServerBinary, *, folder: Path) -> list[str]:
    """Return the options that making data and running a server share.

    Temporary files go into *folder*: servers that share one clear each other's away as they start.
    """
    options = ["--no-defaults", f"--tmpdir={folder}"]
    if os.geteuid() == 0:
        options.append("--user=root")  # as root it insists on being told
    if binary.flavour is Flavour.MYSQL:
        options += ["--mysqlx=OFF", "--secure-file-priv=NULL"]
    return options


def make_data(binary: ServerBinary, data: Path, *, log: Path, keep_open: Sequence[int]) -> None:
    """Make a new data folder at *data*, which must not exist; wait until it is complete.

    It is made aside and renamed at the end, so a folder called *data* is always whole. *keep_open*
    are descriptors (the folder's lock) that the making programs inherit. Raises StartFailed.
    """
    aside = data.with_name(data.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    command = _make_command(binary, aside)
    with log.open("wb") as output:
        made = subprocess.run(  # noqa: S603 - as above; a session of its own: Ctrl-C is its owner's
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(keep_open),
            start_new_session=True,
            check=False,
        )
    if made.returncode != 0:
        message = (
            f"{binary} could not make its data ({command[0]}):\n{tail(log)}\n"
            f"If a part of the server is missing: {install_command()}"
        )
        raise StartFailed(message)
    aside.rename(data)


def _make_command(binary: ServerBinary, data: Path) -> list[str]:
    options = [*common_options(binary, folder=data.parent), f"--datadir={data}"]
    if binary.flavour is Flavour.MYSQL:
        return [str(binary.path), *options, "--initialize-insecure"]
    return [str(_installer(binary)), *options, "--skip-test-db", "--skip-name-resolve", "--force"]


def _installer(binary: ServerBinary) -> Path:
    beside = binary.path.resolve().parent
    folders = (beside, beside.parent / "bin", beside.parent / "scripts")
    for path in (None, os.pathsep.join(map(str, folders))):
        for name in INSTALLERS:
            found = shutil.which(name, path=path)
            if found is not None:
                return Path(found)
    message = f"{binary} is at {binary.path} but {INSTALLERS[0]} is not. {how_to_get_one()}"
    raise NoServerBinary(message)


def tail(log: Path) -> str:
    """Return the last lines of *log*, or nothing where there is none."""
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    return ""
