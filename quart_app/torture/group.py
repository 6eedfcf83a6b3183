"""A MySQL replication group of three containers, single primary, gone at the end. Needs testcontainers.

Blocking; from any thread. The first member is made the primary whenever it comes (back), so that it
is the node in use.
"""

import contextlib
import socket
import time
import uuid
from collections.abc import Sequence
from typing import Any, Self

from quart_app.local_server.folder import free_port
from quart_app.local_server.server import greets
from quart_app.torture.errors import CannotHave
from quart_app.torture.galera_options import DATABASE, PASSWORD

STARTING = 90.0
GROUP_PORT = 33061
# By it testcontainers' users find what a run that was killed left behind.
LABELS = {"org.testcontainers": "true"}
_SELF = (
    "SELECT CONCAT(member_state, ' ', member_role)"
    " FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid"
)
# What an image's first start writes is the same everywhere, and no member's own: it is left out.
_LEVEL = (
    "SET sql_log_bin = 0",
    "CREATE USER repl@'%' IDENTIFIED BY 'repl'",
    "GRANT REPLICATION SLAVE, CONNECTION_ADMIN, BACKUP_ADMIN ON *.* TO repl@'%'",
    "GRANT GROUP_REPLICATION_STREAM ON *.* TO repl@'%'",
    "SET sql_log_bin = 1",
    "RESET BINARY LOGS AND GTIDS",
    """CHANGE REPLICATION SOURCE TO SOURCE_USER = 'repl', SOURCE_PASSWORD = 'repl'
    FOR CHANNEL 'group_replication_recovery'""",
)
_BEGIN = (
    "SET GLOBAL group_replication_bootstrap_group = ON",
    "START GROUP_REPLICATION",
    "SET GLOBAL group_replication_bootstrap_group = OFF",
)


class Member:
    """One server of the group; breakable as a container is."""

    def __init__(self, client: Any, name: str, number: int) -> None:
        self.number = number
        self.name = f"{name}-{number}"
        self.port = free_port()
        self._client = client
        self._container: Any = None

    @property
    def url(self) -> str:
        """The app user's URL of this member alone."""
        return f"mysql://app:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def admin_url(self) -> str:
        """The URL of a user who may do everything."""
        return f"mysql://root:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def running(self) -> bool:
        """Whether its process is there, frozen or not."""
        return self._status() in {"running", "paused"}

    def create(self, image: str, network: str, *, group: str, seeds: str) -> None:
        """Make its container and start it; the server is not a member of anything yet."""
        self._container = self._client.containers.run(
            image,
            _command(self, group=group, seeds=seeds),
            name=self.name,
            hostname=self.name,
            network=network,
            labels=LABELS,
            detach=True,
            ports={"3306/tcp": ("127.0.0.1", self.port)},
            environment={
                "MYSQL_ROOT_PASSWORD": PASSWORD,
                "MYSQL_DATABASE": DATABASE,
                "MYSQL_USER": "app",
                "MYSQL_PASSWORD": PASSWORD,
            },
        )

    def start(self) -> None:
        """Start it, and have it join the group that runs, if it is not there; wait until it is."""
        if not self.running:
            self._container.start()
        self.wait_until_it_answers()
        if "ONLINE" not in self.execute(_SELF):
            with contextlib.suppress(CannotHave):  # it is joining by itself
                self.execute("START GROUP_REPLICATION")
        self._wait_until("ONLINE")
        if self.number == 1:
            self.lead()

    def lead(self) -> None:
        """Become the primary; returns when it is."""
        if "PRIMARY" not in self.execute(_SELF):
            self.execute("SELECT group_replication_set_as_primary(@@server_uuid)")
        self._wait_until("ONLINE PRIMARY")

    def begin_group(self) -> None:
        """Be the first of a new group."""
        self.execute(*_BEGIN)
        self._wait_until("ONLINE PRIMARY")

    def level(self) -> None:
        """Forget what the first start wrote to the log; a new member has to have a clean one."""
        self.wait_until_it_answers()
        self.execute(*_LEVEL)

    def restart(self) -> None:
        """Leave the group cleanly and join it again."""
        self._container.stop(timeout=30)
        self.start()

    def kill(self) -> None:
        """SIGKILL; wait for its end."""
        self._container.kill()
        self._container.wait()

    def pause(self) -> None:
        """Freeze it."""
        self._container.pause()

    def resume(self) -> None:
        """Let a frozen member go on. Harmless for one that runs."""
        if self._status() == "paused":
            self._container.unpause()

    def remove(self) -> None:
        """Remove the container and its data. Idempotent."""
        if self._container is not None:
            self._container.remove(force=True, v=True)
            self._container = None

    def execute(self, *statements: str) -> str:
        """Run *statements* as root within the container; return what is printed."""
        command = ["mysql", "-uroot", "-BN", "-e", ";".join(statements)]
        done = self._container.exec_run(command, environment={"MYSQL_PWD": PASSWORD}, demux=True)
        printed, errors = (part or b"" for part in done.output)
        if done.exit_code:
            raise CannotHave(f"member {self.number}: {errors.decode(errors='replace').strip()}")
        return str(printed.decode())

    def wait_until_it_answers(self) -> None:
        """Wait for the server behind the port; an image's first start ends with one of those."""
        self._wait(self._answers, "does not answer")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, CannotHave), socket.socket() as client:
            return greets(client, ("127.0.0.1", self.port)) and bool(self.execute("SELECT 1"))
        return False

    def _wait_until(self, state: str) -> None:
        self._wait(lambda: state in self.execute(_SELF), f"does not become {state}")

    def _wait(self, condition: Any, otherwise: str) -> None:
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline:
            with contextlib.suppress(CannotHave):
                if condition():
                    return
            time.sleep(0.1)
        log = self._container.logs(tail=5).decode(errors="replace")
        raise CannotHave(f"member {self.number} of the group {otherwise}:\n{log}")

    def _status(self) -> str:
        self._container.reload()
        return str(self._container.status)


class Group:
    """Three members on a network of their own; a context manager: in step at entry, gone at exit."""

    def __init__(self, image: str, *, size: int = 3) -> None:
        # Optional: every other row is played without it.
        from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415

        self._image = image
        self._name = f"torture-{uuid.uuid4().hex[:8]}"
        self._client = DockerClient().client
        self._network: Any = None
        self.nodes = [Member(self._client, self._name, number) for number in range(1, size + 1)]

    @property
    def url(self) -> str:
        """The app user's URL, with all members."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"mysql://app:{PASSWORD}@{hosts}/{DATABASE}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove everything."""
        for node in self.nodes:
            node.remove()
        if self._network is not None:
            self._network.remove()
        self._client.close()

    def _start(self) -> None:
        self._network = self._client.networks.create(self._name, labels=LABELS)
        group = str(uuid.uuid4())
        seeds = ",".join(f"{node.name}:{GROUP_PORT}" for node in self.nodes)
        for node in self.nodes:
            node.create(self._image, self._name, group=group, seeds=seeds)
        for node in self.nodes:
            node.level()
        first, *others = self.nodes
        first.begin_group()
        for node in others:
            node.start()


def _command(member: Member, *, group: str, seeds: str) -> Sequence[str]:
    """What the server is told. A member that answers no more is given up without a further wait."""
    loose = {
        "start-on-boot": "OFF",
        "group-name": group,
        "local-address": f"{member.name}:{GROUP_PORT}",
        "group-seeds": seeds,
        "recovery-get-public-key": "ON",
        "member-expel-timeout": "0",
    }
    return [
        "mysqld",
        f"--server-id={member.number}",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        f"--report-host={member.name}",
        "--mysqlx=OFF",
        "--plugin-load-add=group_replication.so",
        *(f"--loose-group-replication-{name}={value}" for name, value in loose.items()),
    ]
