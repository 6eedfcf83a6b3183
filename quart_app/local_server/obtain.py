"""Install a server from the system's packages, or say exactly what to type.

For the set-up commands. It never replaces a server that is there, and the packages it takes are the
bare server, without a service.
"""

import os
import shutil
import subprocess
import sys

from quart_app.local_server.binary import ServerBinary, find_server, install_command
from quart_app.local_server.errors import NoServerBinary

# The server, and what making its data needs.
PACKAGES = ("mariadb-server-core", "mariadb-client-core")


def obtain_server() -> ServerBinary:
    """Return the server of this machine, installing one where there is none. Says what it does.

    Raises NoServerBinary, with the command to type, where it can't.
    """
    try:
        return find_server()
    except NoServerBinary:
        prefix = _root_prefix()
    if shutil.which("apt-get") is None or prefix is None:
        message = (
            "there is no MariaDB or MySQL server here, and installing one needs you. "
            f"Type:\n\n    {install_command()}\n\nand then the same command again."
        )
        raise NoServerBinary(message)
    _apt_install(prefix)
    return find_server()


def _root_prefix() -> list[str] | None:
    """Return what a command needs in front to run as root without asking; None if nothing does."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    asked = subprocess.run([sudo, "-n", "true"], capture_output=True, check=False)  # noqa: S603
    return [sudo, "-n"] if asked.returncode == 0 else None


def _apt_install(prefix: list[str]) -> None:
    install = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
    for command in (
        [*prefix, "apt-get", "update", "-qq"],
        [*install, "--no-install-recommends", *PACKAGES],
    ):
        sys.stderr.write(f"no MariaDB or MySQL server here; running: {' '.join(command)}\n")
        done = subprocess.run(  # noqa: S603 - fixed words
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip()
            message = f"{' '.join(command)} failed:\n{said}\nTo get a server: {install_command()}"
            raise NoServerBinary(message)
