"""DATABASE_URL: every form it may have, every fault told, no secret in any message."""

import pytest

from quart_app.database_url import parse_database_url, safe_text
from quart_app.mysql.config import Endpoint, TLSMode


def test_all_parts_are_read() -> None:
    config = parse_database_url(
        "mysql://me%40home:p%3Aw%2F%23@db.example:3307/mine"
        "?ssl_mode=verify-identity&ssl_ca=/ca.pem&ssl_cert=/c.pem&ssl_key=/k.pem"
    )
    assert config.endpoints == (Endpoint(host="db.example", port=3307),)
    assert (config.user, config.password, config.database) == ("me@home", "p:w/#", "mine")
    assert config.tls_mode is TLSMode.VERIFY_IDENTITY
    assert (config.tls_ca, config.tls_cert, config.tls_key) == ("/ca.pem", "/c.pem", "/k.pem")
    assert config.charset == "utf8mb4"


def test_several_hosts_keep_their_order() -> None:
    config = parse_database_url("mysql://u:p@one,two:3307,[::1]:3308/d")
    assert [str(endpoint) for endpoint in config.endpoints] == ["one:3306", "two:3307", "::1:3308"]


def test_unix_socket_wins_over_the_host() -> None:
    config = parse_database_url("mysql://u:p@localhost/d?unix_socket=/run/my.sock")
    assert str(config.endpoints[0]) == "/run/my.sock"


def test_password_may_be_missing_and_mariadb_be_named() -> None:
    assert parse_database_url("mariadb://u@h/d").password == ""


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("postgres://u:p@h/d", "should begin with mysql://"),
        ("u:p@h/d", "should begin with mysql://"),
        ("mysql://[::1/d", "is not a URL"),
        ("mysql://h/d", "names no user"),
        ("mysql://u:p@h", "should name one database"),
        ("mysql://u:p@h/a/b", "should name one database"),
        ("mysql://u:p@h:0/d", "port"),
        ("mysql://u:p@h:65536/d", "port"),
        ("mysql://u:p@h:x/d", "port"),
        ("mysql://u:p@one,,two/d", "empty host"),
        ("mysql://u:p@h/d?ssl_mode=on", "unknown ssl_mode (known: disabled, preferred"),
        ("mysql://u:p@h/d?sslmode=required", "did you mean ssl_mode?"),
        ("mysql://u:p@h/d?charset=latin1", "charset"),
        ("mysql://u:p@h/d?ssl_ca=/ca.pem", "would not be used"),
        ("mysql://u:p#w@h/d", "%23"),
        ("mysql://u:p?w@h/d", "%3F"),
        ("mysql://u:p/w@h/d", "%2F"),
        ("mysql://u:p@h/d#e", "%23"),
        ("mysql://u:p@h/d?ssl_mode=required&ssl-mode=disabled", "has ssl_mode twice"),
        ("mysql://u:p@one,two/d?unix_socket=/s", "several hosts and a unix_socket"),
    ],
)
def test_fault_is_told(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_database_url(url)
    assert fault in str(caught.value)


def test_faults_are_told_together_and_without_secrets() -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_database_url("mysql://:hidden@h:0/?ssl_mode=x&y=hidden")
    assert str(caught.value).count(";") == 4
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("mark", "/?#&")
def test_no_piece_of_a_password_is_told(mark: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_database_url(f"mysql://u:{mark}hidden{mark}@h?hidden=1")
    assert "hidden" not in str(caught.value)


def test_safe_text_hides_the_password() -> None:
    text = safe_text(parse_database_url("mysql://me:hidden@one,two:3307/d"))
    assert text == "mysql://me:***@one:3306,two:3307/d?ssl_mode=preferred"
