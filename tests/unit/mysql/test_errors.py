"""What an error carries."""

from quart_app.mysql.errors import ConnectError


def test_connect_error_carries_when_to_try_again() -> None:
    assert ConnectError("x").retry_after == 1.0
    assert ConnectError("x", retry_after=7).retry_after == 7
