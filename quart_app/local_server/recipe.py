"""What a private server is started with: its command line and its first statements. Pure."""

from collections.abc import Sequence

from quart_app.local_server.binary import Flavour, ServerBinary, common_options
from quart_app.local_server.folder import Folder, Memory

APP_USER = "app"
ADMIN_USER = "admin"


def server_command(
    binary: ServerBinary, folder: Folder, *, port: int, options: Sequence[str]
) -> list[str]:
    """Return the server's command line; the caller's *options* come last and so win."""
    command = [
        str(binary.path),
        *common_options(binary, folder=folder.path),
        f"--datadir={folder.data}",
        f"--socket={folder.socket}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--pid-file={folder.path / 'server.pid'}",
        f"--init-file={folder.init_file}",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
    ]
    if binary.flavour is Flavour.MYSQL:
        command.append("--skip-log-bin")
    return [*command, *options]


def init_sql(binary: ServerBinary, memory: Memory, database: str) -> str:
    """Return what the server runs at each start; one statement a line, all repeatable."""
    app, admin = f"'{APP_USER}'@'%'", f"'{ADMIN_USER}'@'%'"
    name = database.replace("`", "``")
    pattern = name.replace("_", r"\_")
    lines = [f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4"]
    for user, password in ((app, memory.app_password), (admin, memory.admin_password)):
        lines += [
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}'",
            f"ALTER USER {user} IDENTIFIED BY '{password}'",
        ]
    lines += [
        f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO {app}",
        f"GRANT ALL PRIVILEGES ON *.* TO {admin} WITH GRANT OPTION",
    ]
    if binary.flavour is Flavour.MYSQL:  # made without a password; MariaDB's root has no login
        lines.append(f"ALTER USER root@localhost IDENTIFIED BY '{memory.admin_password}'")
    return "".join(f"{line};\n" for line in lines)
