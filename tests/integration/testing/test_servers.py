"""The servers that tests run on, and what can be done to them."""

import asyncio
from urllib.parse import urlsplit

import pymysql
import pytest

from quart_app.testing.servers import Server

pytestmark = pytest.mark.mysql


def _ask(url: str, sql: str) -> object:
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        database=parts.path[1:],
        read_timeout=1,
    )
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        row = cursor.fetchone()
        return row[0] if row else None
    finally:
        connection.close()


def test_server_is_of_the_kind_asked_for(mysql_server: Server, server_kind: str) -> None:
    version = str(mysql_server.execute("SELECT VERSION()")[0][0])
    assert server_kind == "given" or ("MariaDB" in version) == (server_kind == "mariadb")


def test_each_test_gets_a_database_of_its_own(mysql_server: Server, database_url: str) -> None:
    other = mysql_server.new_database()
    _ask(database_url, "CREATE TABLE mine (id INT PRIMARY KEY)")
    assert _ask(database_url, "SHOW TABLES") == "mine"
    assert _ask(other, "SHOW TABLES") is None


def test_app_user_may_not_touch_other_databases(database_url: str, server_kind: str) -> None:
    if server_kind == "given":
        pytest.skip("the user of --mysql-url is who it is")
    with pytest.raises(pymysql.MySQLError, match="denied"):
        _ask(database_url, "SELECT * FROM mysql.user")


def test_killed_server_comes_back_on_the_same_port(breakable_server: Server) -> None:
    url, port = breakable_server.new_database(), breakable_server.port
    _ask(url, "CREATE TABLE kept (id INT PRIMARY KEY)")
    breakable_server.process.kill()
    assert not breakable_server.process.running
    breakable_server.process.start()
    assert breakable_server.port == port
    assert _ask(url, "SHOW TABLES") == "kept"


def test_stopped_server_comes_back_with_its_data(breakable_server: Server) -> None:
    url = breakable_server.new_database()
    _ask(url, "CREATE TABLE kept (id INT PRIMARY KEY)")
    breakable_server.process.stop()
    assert not breakable_server.process.running
    breakable_server.process.start()
    assert _ask(url, "SHOW TABLES") == "kept"


def test_paused_server_answers_again_after_resume(breakable_server: Server) -> None:
    url = breakable_server.new_database()
    breakable_server.process.pause()
    assert breakable_server.process.running
    with pytest.raises(pymysql.OperationalError):
        _ask(url, "SELECT 1")
    breakable_server.process.resume()
    assert _ask(url, "SELECT 1") == 1


async def test_server_can_be_restarted_from_a_thread(breakable_server: Server) -> None:
    url, before = breakable_server.new_database(), breakable_server.process.running
    await asyncio.to_thread(breakable_server.process.restart)
    assert before
    assert _ask(url, "SELECT 1") == 1


def test_broken_server_was_mended_for_the_next_test(breakable_server: Server) -> None:
    assert _ask(breakable_server.new_database(), "SELECT 1") == 1
    breakable_server.process.kill()
