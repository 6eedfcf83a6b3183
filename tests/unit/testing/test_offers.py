from pathlib import Path

import pytest

from quart_app.local_server import NoServerBinary, ServerBinary
from quart_app.local_server.binary import Flavour
from quart_app.testing import offers as module
from quart_app.testing.offers import offers


class Machine:
    """What a machine has: servers by flavour, a Docker engine or not, images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flavours: set[Flavour] = set()
        self.no_docker = ""
        self.no_image = ""
        monkeypatch.setattr(module, "find_server", self.find)
        monkeypatch.setattr(module, "_why_no_docker", lambda: self.no_docker)
        monkeypatch.setattr(module, "_why_no_image", lambda _image: self.no_image)

    def find(self, flavour: Flavour) -> ServerBinary:
        """Stand in for find_server."""
        if flavour not in self.flavours:
            raise NoServerBinary
        return ServerBinary(path=Path("/bin") / flavour.value, flavour=flavour, version="1")

    def origins(self) -> list[str]:
        """Return where each kind would come from."""
        return [offer.origin for offer in offers(None, kinds=("mariadb", "mysql"))]


@pytest.fixture(name="machine")
def _machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_mysql_comes_from_a_container_and_mariadb_from_the_machine(machine: Machine) -> None:
    machine.flavours = {Flavour.MARIADB, Flavour.MYSQL}
    assert machine.origins() == ["private server /bin/mariadb", "container mysql:9"]


def test_machine_without_servers_uses_containers(machine: Machine) -> None:
    assert machine.origins() == ["container mariadb:11", "container mysql:9"]


def test_machine_without_docker_uses_its_own_servers(machine: Machine) -> None:
    machine.flavours, machine.no_docker = {Flavour.MARIADB, Flavour.MYSQL}, "no engine"
    assert machine.origins() == ["private server /bin/mariadb", "private server /bin/mysql"]


def test_missing_server_says_why(machine: Machine) -> None:
    machine.flavours, machine.no_image = {Flavour.MARIADB}, "no image"
    mariadb, mysql = offers(None)[::-1]
    assert not mariadb.missing
    assert mysql.missing == "no image and no mysql server program is here"
    assert str(mysql) == f"mysql: none, because {mysql.missing}"


def test_machine_without_anything_says_how_to_get_a_server(machine: Machine) -> None:
    machine.no_docker = "no engine"
    mariadb, _ = offers(None)[::-1]
    assert "no engine and no mariadb server program is here (To get one: " in mariadb.missing


def test_given_url_is_the_only_server(machine: Machine) -> None:
    machine.flavours = {Flavour.MARIADB}
    (given,) = offers("mysql://me@there/db")
    assert given.make is not None
    server = given.make(Path("unused"))
    assert (given.kind, server.url, server.port) == ("given", "mysql://me@there/db", 3306)


def test_given_server_is_not_broken() -> None:
    (given,) = offers("mysql://me@there/db")
    assert given.make is not None
    server = given.make(Path("unused"))
    server.start()
    server.stop()
    assert server.running
    with pytest.raises(NotImplementedError):
        server.kill()
