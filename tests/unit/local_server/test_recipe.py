from pathlib import Path

import pytest

from quart_app.local_server.binary import Flavour, ServerBinary
from quart_app.local_server.folder import Folder, Memory
from quart_app.local_server.recipe import init_sql, server_command

MEMORY = Memory(app_password="aa", admin_password="bb")


def _binary(flavour: Flavour) -> ServerBinary:
    return ServerBinary(path=Path("/usr/sbin/mysqld"), flavour=flavour, version="1.2.3")


@pytest.mark.parametrize("flavour", Flavour)
def test_server_reads_no_configuration_and_listens_on_loopback_only(flavour: Flavour) -> None:
    command = server_command(_binary(flavour), Folder(Path("/d")), port=4000, options=())
    assert command[:2] == ["/usr/sbin/mysqld", "--no-defaults"]
    assert "--bind-address=127.0.0.1" in command
    assert "--datadir=/d/data" in command
    assert "--port=4000" in command


def test_options_of_the_caller_come_last() -> None:
    options = ["--bind-address=::1"]
    command = server_command(_binary(Flavour.MARIADB), Folder(Path("/d")), port=1, options=options)
    assert command[-1:] == options


@pytest.mark.parametrize("flavour", Flavour)
def test_app_user_gets_one_database_and_nothing_else(flavour: Flavour) -> None:
    lines = init_sql(_binary(flavour), MEMORY, "my_app").splitlines()
    granted = [line for line in lines if line.startswith("GRANT") and "'app'" in line]
    assert granted == [r"GRANT ALL PRIVILEGES ON `my\_app`.* TO 'app'@'%';"]


def test_mysql_root_without_a_password_gets_one() -> None:
    locked = "ALTER USER root@localhost IDENTIFIED BY 'bb';"
    assert locked in init_sql(_binary(Flavour.MYSQL), MEMORY, "db").splitlines()
    assert locked not in init_sql(_binary(Flavour.MARIADB), MEMORY, "db").splitlines()


def test_each_statement_stands_on_one_line() -> None:
    for line in init_sql(_binary(Flavour.MYSQL), MEMORY, "odd`name").splitlines():
        assert line.endswith(";")
