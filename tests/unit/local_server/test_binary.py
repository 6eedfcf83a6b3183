from pathlib import Path

import pytest

from quart_app.local_server import NoServerBinary, StartFailed
from quart_app.local_server import binary as binaries
from quart_app.local_server.binary import (
    Flavour,
    ServerBinary,
    find_server,
    identify,
    make_data,
    parse_version,
    tail,
)

MARIADB = "/usr/sbin/mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64\n"
MYSQL = "/usr/sbin/mysqld  Ver 9.7.4 for Linux on x86_64 (Source distribution)\n"


def _program(path: Path, lines: str) -> Path:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("answer", "flavour", "version"),
    [(MARIADB, Flavour.MARIADB, "10.11.19"), (MYSQL, Flavour.MYSQL, "9.7.4")],
)
def test_version_line_tells_whose_server_it_is(answer: str, flavour: Flavour, version: str) -> None:
    found = parse_version(Path("/usr/sbin/mysqld"), answer)
    assert (found.flavour, found.version) == (flavour, version)


def test_program_that_prints_no_version_is_no_server() -> None:
    with pytest.raises(NoServerBinary, match="printed no version"):
        parse_version(Path("/bin/true"), "hello\n")


def test_program_that_fails_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(NoServerBinary, match="does not run"):
        identify(_program(tmp_path / "mysqld", "exit 3"))


def test_server_called_mysqld_is_found_by_its_flavour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path / "mariadbd", f"echo '{MARIADB.strip()}'")
    _program(tmp_path / "mysqld", f"echo '{MYSQL.strip()}'")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "MORE_FOLDERS", ())
    assert find_server().path.name == "mariadbd"
    assert find_server(Flavour.MYSQL).path.name == "mysqld"


def test_machine_without_a_server_is_told_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path / "apt-get", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "MORE_FOLDERS", ())
    with pytest.raises(NoServerBinary, match=r"sudo apt-get install -y .* mariadb-server-core"):
        find_server()


def test_data_that_could_not_be_made_leaves_no_folder(tmp_path: Path) -> None:
    program = _program(tmp_path / "mysqld", "echo out of paper >&2; exit 1")
    binary = ServerBinary(path=program, flavour=Flavour.MYSQL, version="9.7.4")
    with pytest.raises(StartFailed, match="out of paper"):
        make_data(binary, tmp_path / "data", log=tmp_path / "log", keep_open=())
    assert not (tmp_path / "data").exists()


def test_data_is_made_aside_and_renamed_when_whole(tmp_path: Path) -> None:
    lines = 'for a in "$@"; do case $a in --datadir=*) mkdir "${a#*=}"; echo "$a";; esac; done'
    program = _program(tmp_path / "mysqld", lines)
    binary = ServerBinary(path=program, flavour=Flavour.MYSQL, version="9.7.4")
    make_data(binary, tmp_path / "data", log=tmp_path / "log", keep_open=())
    assert (tmp_path / "data").is_dir()
    assert tail(tmp_path / "log") == f"--datadir={tmp_path / 'data.new'}"


def test_server_without_its_installer_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    binary = ServerBinary(
        path=tmp_path / "bin" / "mariadbd", flavour=Flavour.MARIADB, version="10.11.19"
    )
    with pytest.raises(NoServerBinary, match="mariadb-install-db is not"):
        make_data(binary, tmp_path / "data", log=tmp_path / "log", keep_open=())


def test_tail_of_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == ""


def test_binary_says_what_it_is() -> None:
    assert str(parse_version(Path("mysqld"), MYSQL)) == "MySQL 9.7.4"
