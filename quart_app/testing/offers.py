"""Which database servers this run can have. It looks and pulls images, and starts no server.

MySQL comes from a container, MariaDB from this machine's own server: quick, and the two together
need nothing else. Where one way is missing the other is taken.
"""

import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from quart_app.local_server.binary import Flavour, ServerBinary, find_server, how_to_get_one
from quart_app.local_server.errors import NoServerBinary
from quart_app.local_server.server import LocalServer
from quart_app.testing.servers import GivenServer, ServerProcess

IMAGES = {"mysql": "mysql:9", "mariadb": "mariadb:11"}
# Nothing is kept, so nothing needs to survive the machine: a third of the time for writes.
NO_DURABILITY = ("--innodb-flush-log-at-trx-commit=0",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A kind of server and where it would come from; *missing* says why it can't be had."""

    kind: str
    origin: str = ""
    missing: str = ""
    make: Callable[[Path], ServerProcess] | None = None
    needs_docker: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.origin or 'none, because ' + self.missing}"


def offers(url: str | None, *, kinds: Collection[str] = tuple(IMAGES)) -> list[Offer]:
    """Return what can be had: the server at *url* alone, or one offer for each of *kinds*."""
    if url:
        return [
            Offer(kind="given", origin="--mysql-url", make=lambda _folder: GivenServer(url=url))
        ]
    return [OFFERED[kind]() for kind in kinds]


def _mariadb() -> Offer:
    return _private(Flavour.MARIADB) or _container("mariadb")


def _mysql() -> Offer:
    container = _container("mysql")
    return container if not container.missing else _private(Flavour.MYSQL) or container


def _private(flavour: Flavour) -> Offer | None:
    try:
        binary = find_server(flavour)
    except NoServerBinary:
        return None
    return Offer(
        kind=flavour.value,
        origin=f"private server {binary.path}",
        make=partial(_local, binary),
    )


def _local(binary: ServerBinary, folder: Path) -> LocalServer:
    return LocalServer(folder, binary=binary, options=NO_DURABILITY)


def _container(kind: str) -> Offer:
    image = IMAGES[kind]
    missing = _why_no_docker() or _why_no_image(image)
    if missing:
        missing += f" and no {kind} server program is here"
        if kind == Flavour.MARIADB.value:
            missing += f" ({how_to_get_one()})"
        return Offer(kind=kind, missing=missing, needs_docker=True)
    return Offer(
        kind=kind, origin=f"container {image}", make=partial(_contained, image), needs_docker=True
    )


def _contained(image: str, _folder: Path) -> ServerProcess:
    from quart_app.testing.container import ContainerServer  # noqa: PLC0415 - optional, and slow

    return ContainerServer(image)


@cache
def _why_no_docker() -> str:
    if importlib.util.find_spec("testcontainers") is None:
        return "testcontainers is not installed"
    from quart_app.testing import container  # noqa: PLC0415 - as above

    missing = container.why_no_engine()
    if not missing:
        container.use_reaper_if_it_can_be_had()
    return missing


def _why_no_image(image: str) -> str:
    from quart_app.testing import container  # noqa: PLC0415 - as above

    return container.why_no_image(image)


OFFERED = {"mariadb": _mariadb, "mysql": _mysql}
