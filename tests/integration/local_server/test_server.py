"""A private server as its owner sees it."""

import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest

from quart_app.local_server import FolderInUse, LocalServer, LocalServerError, StartFailed

pytestmark = pytest.mark.mysql
MakeServer = Callable[..., LocalServer]


def ask(server: LocalServer, sql: str, **options: object) -> tuple[object, ...] | None:
    parts = urlsplit(server.url)
    given = {"host": "127.0.0.1", "port": server.port, "read_timeout": 1, **options}
    connection = pymysql.connect(  # type: ignore[call-overload]  # of many keywords
        user=parts.username, password=parts.password, database=server.database, **given
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(sql)
        row: tuple[object, ...] | None = cursor.fetchone()
        return row


def test_data_and_port_are_the_same_in_the_next_run(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as first:
        ask(first, "CREATE TABLE kept (id INT PRIMARY KEY)")
    with LocalServer(tmp_path) as second:
        assert ask(second, "SHOW TABLES") == ("kept",)
        assert second.port == first.port
    assert not second.running


def test_start_of_a_running_server_and_stop_of_a_stopped_one_do_nothing(
    make_local_server: MakeServer,
) -> None:
    server = make_local_server()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    assert not server.running


def test_killed_server_starts_again_with_what_was_committed(
    make_local_server: MakeServer,
) -> None:
    server = make_local_server()
    ask(server, "CREATE TABLE kept (id INT PRIMARY KEY)")
    port = server.port
    server.kill()
    assert not server.running
    assert "stopped" in repr(server)
    server.start()
    assert (server.port, ask(server, "SHOW TABLES")) == (port, ("kept",))


def test_paused_server_answers_after_resume_and_stops_even_if_paused(
    make_local_server: MakeServer,
) -> None:
    server = make_local_server()
    server.pause()
    with pytest.raises(pymysql.OperationalError):
        ask(server, "SELECT 1")
    server.resume()
    assert ask(server, "SELECT 1") == (1,)
    server.pause()
    server.restart()
    assert ask(server, "SELECT 1") == (1,)
    server.pause()
    server.stop()
    assert not server.running


def test_stopped_server_can_not_be_paused(make_local_server: MakeServer) -> None:
    server = make_local_server()
    server.stop()
    with pytest.raises(LocalServerError, match="does not run"):
        server.pause()


def test_folder_in_use_is_refused_and_left_alone(
    make_local_server: MakeServer,
) -> None:
    server = make_local_server()
    with pytest.raises(FolderInUse):
        LocalServer(server.log_path.parent).start()
    assert ask(server, "SELECT 1") == (1,)


def test_port_taken_since_the_last_run_is_replaced(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as first:
        pass
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", first.port))
        somebody.listen()
        with LocalServer(tmp_path) as second:
            assert second.port != first.port
            assert ask(second, "SELECT 1") == (1,)


def test_wrong_option_fails_with_the_end_of_the_log(tmp_path: Path) -> None:
    server = LocalServer(tmp_path, options=["--no-such-option"])
    with pytest.raises(StartFailed, match="no-such-option"):
        server.start()
    with LocalServer(tmp_path) as again:
        assert again.running


def test_folder_of_another_kind_of_server_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text('{"flavour": "another", "version": "1"}')
    with pytest.raises(LocalServerError, match="was made by another 1"):
        LocalServer(tmp_path).start()


def test_long_path_works(tmp_path: Path) -> None:
    with LocalServer(tmp_path / ("d" * 120)) as server:
        assert ask(server, "SELECT 1") == (1,)
        assert ask(server, "SELECT 2", unix_socket=str(server.socket)) == (2,)
        assert str(server.socket) in server.socket_url


def test_other_users_of_the_machine_need_a_password(make_local_server: MakeServer) -> None:
    server = make_local_server()
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(host="127.0.0.1", port=server.port, user="root")


def test_tls_stands_up_to_full_verification(make_local_server: MakeServer) -> None:
    server = make_local_server(tls=True)
    context = ssl.create_default_context(cafile=str(server.tls_ca))
    assert ask(server, "SHOW STATUS LIKE 'Ssl_version'", ssl=context) == ("Ssl_version", "TLSv1.3")


def test_server_without_tls_has_no_authority(make_local_server: MakeServer) -> None:
    with pytest.raises(LocalServerError, match="without tls=True"):
        _ = make_local_server().tls_ca


def test_no_process_is_left(make_local_server: MakeServer) -> None:
    server = make_local_server()
    server.stop()
    assert not os.path.exists(f"/proc/{server.pid}/exe")  # noqa: PTH110 - a zombie has none
