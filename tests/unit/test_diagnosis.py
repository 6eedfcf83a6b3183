"""What is wrong is said in words, and the setting named."""

import pytest

from quart_app.diagnosis import explain
from quart_app.mysql import errors


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (errors.AccessDenied(errno=1045), "password"),
        (errors.AccessDenied(errno=1044), "database"),
        (errors.AccessDenied(errno=1130), "machine"),
        (errors.AccessDenied(errno=1251), "user and password in DATABASE_URL"),
        (errors.UnknownDatabase(errno=1049), "after the host in DATABASE_URL"),
        (errors.TLSRequired(errno=2026), "ssl_mode"),
        (errors.TooManyConnections(errno=1040), "QUART_APP_MAXSIZE"),
        (errors.ConnectError(errno=2003), "host and port in DATABASE_URL"),
        (errors.PoolTimeout("waited 3 s"), "waited 3 s"),
    ],
)
def test_advice_names_what_to_change(error: errors.DatabaseError, word: str) -> None:
    assert word in explain(error)


def test_number_of_an_error_without_advice_is_told_once() -> None:
    assert explain(errors.QueryError("QueryError (1054)", errno=1054)) == "QueryError (1054)"


def test_number_of_the_error_is_kept_for_searching() -> None:
    assert explain(errors.AccessDenied(errno=1045)).endswith("(1045)")
