"""Slow statements are logged, others are not, and values never."""

import logging

import pytest

from quart_app.mysql.errors import QueryTimeout
from quart_app.slow_log import both, slow_log


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_slow_statement_is_logged_by_its_fingerprint(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with slow_log(1.0, clock=clock)(b"SELECT * FROM t WHERE name = 'secret'"):
        clock.now = 1.25
    (record,) = caplog.records
    assert record.name == "quart_app.slow_query"
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("1.250 s: [")
    assert record.getMessage().endswith("] select * from t where name = ?")


def test_quick_statement_is_not(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with slow_log(1.0, clock=clock)(b"SELECT 1"):
        clock.now = 0.99
    assert caplog.records == []


def test_how_it_ended_is_said(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with pytest.raises(QueryTimeout), slow_log(1.0, clock=clock)(b"SELECT 'secret"):
        clock.now = 10.0
        raise QueryTimeout("secret")
    assert "10.000 s, ended with QueryTimeout: [" in caplog.text
    assert "secret" not in caplog.text


def test_same_query_has_the_same_number(caplog: pytest.LogCaptureFixture) -> None:
    watch = slow_log(0.0)
    for statement in (
        b"SELECT a FROM t WHERE b = 1",
        b"select a  from t where b = 22",
        b"SELECT 1",
    ):
        with watch(statement):
            pass
    one, same, other = (record.getMessage().partition("[")[2][:8] for record in caplog.records)
    assert one == same != other


def test_two_can_watch(caplog: pytest.LogCaptureFixture) -> None:
    with both(slow_log(0.0), slow_log(0.0))(b"SELECT 1"):
        pass
    assert len(caplog.records) == 2
