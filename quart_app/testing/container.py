"""A MySQL or MariaDB server in a container, breakable like a LocalServer. Needs testcontainers.

Unlike testcontainers' own it keeps its port over restarts: applications under test stay connected.
"""

import contextlib
import gc
import socket
import sys
import time
import warnings
from collections.abc import Sequence
from enum import Enum

from docker.errors import DockerException  # type: ignore[import-untyped]  # ships no types
from testcontainers.community.mysql import MySqlContainer
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.docker_client import DockerClient

from quart_app.local_server.folder import free_port
from quart_app.local_server.server import greets

LOOPBACK = {"127.0.0.1", "localhost"}
READY_TIMEOUT = 90.0
STOP_TIMEOUT = 30
PASSWORD = "throw-away"  # noqa: S105 - of a container that lives as long as the tests
DATABASE = "quart_app"


class Access(Enum):
    """How a container's server is reached from here."""

    LOOPBACK = "published on this machine's loopback"
    ELSEWHERE = "published on the engine's machine, or reached by the container's own address"


def why_no_engine() -> str:
    """Return why no Docker engine can be used, or nothing when one answers."""
    try:
        client = DockerClient().client
        try:
            client.ping()
        finally:
            client.close()
    except (DockerException, OSError) as error:
        reason = f"no Docker engine answers ({type(error).__name__})"
    else:
        return ""
    # The docker package leaves the socket that did not connect to the collector, which would blame
    # whatever test is running then.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return reason


def why_no_image(image: str) -> str:
    """Return why *image* can't be had, or nothing when it is there or could be pulled."""
    client = DockerClient().client
    try:
        if not client.images.list(name=image):
            sys.stderr.write(f"pulling the image {image}\n")
            client.images.pull(image)
    except DockerException as error:
        return f"the image {image} is not here and could not be pulled ({type(error).__name__})"
    finally:
        client.close()
    return ""


def use_reaper_if_it_can_be_had() -> None:
    """Let testcontainers' reaper see to containers of a killed run, where its image can be had."""
    if not testcontainers_config.ryuk_disabled and why_no_image(testcontainers_config.ryuk_image):
        testcontainers_config.ryuk_disabled = True


class ContainerServer:
    """One container of *image*, whose data last until `remove`."""

    def __init__(self, image: str, *, options: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.host = "127.0.0.1"
        self._container = MySqlContainer(
            image,
            username="app",
            password=PASSWORD,
            root_password=PASSWORD,
            dbname=DATABASE,
            command=["mysqld", *options] if options else None,
        )
        self._started = False

    @property
    def url(self) -> str:
        """The URL of a user who has one database."""
        return f"mysql://app:{PASSWORD}@{self.host}:{self.port}/{DATABASE}"

    @property
    def admin_url(self) -> str:
        """The URL of a user who may do everything."""
        return f"mysql://root:{PASSWORD}@{self.host}:{self.port}/{DATABASE}"

    @property
    def address_inside(self) -> str:
        """The container's own address, where other containers reach it at port 3306."""
        container = self._container.get_wrapped_container()
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def start(self) -> None:
        """Make and start the container, or start it again; wait until the server answers."""
        if self._started:
            self._container.get_wrapped_container().start()
        else:
            self._create()
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server cleanly; its data stay for the next `start`. Idempotent."""
        if self._started:
            self._container.get_wrapped_container().stop(timeout=STOP_TIMEOUT)

    def remove(self) -> None:
        """Remove the container and its data. Idempotent."""
        if self._started:
            self._started = False
            self._container.stop()

    def restart(self) -> None:
        """Stop the server cleanly and start it again."""
        self._container.get_wrapped_container().restart(timeout=STOP_TIMEOUT)
        self._wait_until_ready()

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait for its end."""
        container = self._container.get_wrapped_container()
        container.kill()
        container.wait()

    def pause(self) -> None:
        """Freeze every process in the container."""
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        """Let a frozen container go on. Harmless for one that runs."""
        if self._status() == "paused":
            self._container.get_wrapped_container().unpause()

    @property
    def running(self) -> bool:
        """Whether the server's process is there, frozen or not."""
        return self._started and self._status() in {"running", "paused"}

    def _status(self) -> str:
        container = self._container.get_wrapped_container()
        container.reload()
        return str(container.status)

    def _create(self) -> None:
        access = self._access()
        published = self.port if access is Access.ELSEWHERE else ("127.0.0.1", self.port)
        self._container.ports = {"3306": published}  # type: ignore[dict-item]  # docker takes pairs
        self._started = True
        try:
            self._container.start()
        except BaseException:
            self.remove()
            raise
        if access is Access.ELSEWHERE:
            self.host = self._container.get_container_host_ip()
            self.port = self._container.get_exposed_port(3306)

    def _access(self) -> Access:
        client = self._container.get_docker_client()
        by_host = client.get_connection_mode() is ConnectionMode.docker_host
        return Access.LOOPBACK if by_host and client.host() in LOOPBACK else Access.ELSEWHERE

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.socket() as client:
                if greets(client, (self.host, self.port)):
                    return
            time.sleep(0.05)
        message = f"the server in {self._container.image} did not answer on {self.host}:{self.port}"
        raise TimeoutError(message)
