"""Where the tortured server comes from: a private one, a container, or a given one."""

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from quart_app.database_url import parse_database_url
from quart_app.local_server import LocalServer
from quart_app.torture.errors import CannotHave
from quart_app.torture.faults import Breakable
from quart_app.torture.galera import Cluster, why_none

if TYPE_CHECKING:
    from quart_app.torture.group import Group

IMAGE = "mysql:9"
# They end the server's process, or need its administrator.
NEED_A_SERVER_OF_OUR_OWN = "needs a server of its own, not one given by --url"
# What is left with a server that is not ours: faults of the way to it, and of ourselves.
ROWS_WITHOUT = frozenset(("5", "6a", "7", "15", "16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which server was asked for; by default a private one."""

    url: str | None = None
    docker: bool = False
    cluster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A server, or several that are one cluster, and the URL that a program is given."""

    servers: Sequence[Breakable]
    url: str


@contextlib.contextmanager
def stand(wanted: Wanted, folder: Path) -> Iterator[Stand]:
    """Start what is wanted; gone at the end. Raises CannotHave, LocalServerError."""
    if wanted.cluster and wanted.docker:
        with _group() as members:
            yield Stand(servers=members.nodes, url=members.url)
    elif wanted.cluster:
        with _cluster(folder / "cluster") as members:
            yield Stand(servers=members.nodes, url=members.url)
    elif wanted.url is not None:
        _check(wanted.url)
        yield Stand(servers=[Given(wanted.url)], url=wanted.url)
    else:
        with container() if wanted.docker else private(folder) as server:
            yield Stand(servers=[server], url=server.url)


def _check(url: str) -> None:
    try:
        parse_database_url(url)
    except ValueError as error:
        raise CannotHave(f"--url {error}") from None


def _cluster(folder: Path) -> Cluster:
    why_not = why_none()
    if why_not:
        raise CannotHave(f"--cluster: {why_not}")
    return Cluster(folder)


def _group() -> "Group":
    _check_docker("--docker --cluster")
    from quart_app.torture.group import Group  # noqa: PLC0415 - optional, and slow

    return Group(IMAGE)


class Given:
    """A server by its URL: used, and never broken."""

    def __init__(self, url: str) -> None:
        self.url = self.admin_url = url

    @property
    def running(self) -> bool:
        """It is taken to be."""
        return True

    def start(self) -> None:
        """Refuse."""
        raise CannotHave(NEED_A_SERVER_OF_OUR_OWN)

    restart = kill = pause = resume = start


@contextlib.contextmanager
def private(folder: Path) -> Iterator[Breakable]:
    """A private server, gone with its data at the end."""
    with LocalServer(folder / "server") as server:
        yield server


@contextlib.contextmanager
def container() -> Iterator[Breakable]:
    """A container of mysql:9, removed at the end."""
    _check_docker("--docker")
    from quart_app.testing.container import (  # noqa: PLC0415 - as below
        ContainerServer,
        use_reaper_if_it_can_be_had,
    )

    use_reaper_if_it_can_be_had()
    server = ContainerServer(IMAGE)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _check_docker(option: str) -> None:
    if importlib.util.find_spec("testcontainers") is None:
        raise CannotHave(f"{option} needs the package testcontainers: pip install testcontainers")
    from quart_app.testing.container import (  # noqa: PLC0415 - optional, and slow
        why_no_engine,
        why_no_image,
    )

    why_not = why_no_engine() or why_no_image(IMAGE)
    if why_not:
        raise CannotHave(f"{option}: {why_not}")


def address(url: str) -> tuple[str, int]:
    """Host and port of a database URL."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 3306
