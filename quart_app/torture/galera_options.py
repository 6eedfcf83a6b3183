"""What a node of a private Galera cluster is told: its options file, its users. Pure."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

PROVIDERS = (
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
)
# A node that answers no more is given up after 2 s in the place of Galera's 5 to 15.
TIMERS = (
    "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;"
    "evs.install_timeout=PT4S;evs.inactive_check_period=PT0.5S"
)
PASSWORD = "throw-away"  # noqa: S105 - of a cluster that lives as long as the run
DATABASE = "quart_app"


class Placed(Protocol):
    """A node, by its folder and its ports."""

    number: int
    folder: Path
    port: int
    group_port: int
    ist_port: int
    sst_port: int


def provider() -> str | None:
    """Where Galera's library is; None where it is not."""
    return next((path for path in PROVIDERS if Path(path).exists()), None)


def users() -> list[str]:
    """The statements that make the users and their database."""
    return [
        f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4",
        f"CREATE USER app@'%' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON {DATABASE}.* TO app@'%'",
        f"CREATE USER admin@'%' IDENTIFIED BY '{PASSWORD}'",
        "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION",
    ]


def options_file(node: Placed, group_ports: Sequence[int]) -> str:
    """Write *node*'s options file; the SST scripts read it, too."""
    group = ",".join(f"127.0.0.1:{port}" for port in group_ports)
    listen = f"gmcast.listen_addr=tcp://127.0.0.1:{node.group_port}"
    options = {
        "datadir": node.folder / "data",
        "tmpdir": node.folder,
        "socket": node.folder / "s.sock",
        "pid-file": node.folder / "data" / "own.pid",
        "bind-address": "127.0.0.1",
        "port": node.port,
        "skip-name-resolve": 1,
        "character-set-server": "utf8mb4",
        "server-id": node.number,
        "binlog-format": "ROW",
        "innodb-autoinc-lock-mode": 2,
        "innodb-buffer-pool-size": "64M",
        "innodb-log-file-size": "16M",
        "wsrep-on": "ON",
        "wsrep-provider": provider(),
        "wsrep-cluster-name": "torture",
        "wsrep-cluster-address": f"gcomm://{group}",
        "wsrep-node-name": f"n{node.number}",
        "wsrep-node-address": f"127.0.0.1:{node.group_port}",
        "wsrep-node-incoming-address": f"127.0.0.1:{node.port}",
        "wsrep-sst-method": "rsync",
        "wsrep-sst-receive-address": f"127.0.0.1:{node.sst_port}",
        "wsrep-provider-options": f'"{listen};ist.recv_addr=127.0.0.1:{node.ist_port};'
        f'gcache.size=16M;{TIMERS}"',
    }
    lines = [f"{name} = {value}" for name, value in options.items()]
    user = ["user = mysql"] if os.geteuid() == 0 else []
    return "\n".join(["[mariadbd]", *user, *lines, "[sst]", "sst-syslog = -1", ""])
