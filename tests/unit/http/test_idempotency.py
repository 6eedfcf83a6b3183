"""Idempotency-Key: which keys are good. What it does is tested on real servers."""

import pytest
from quart import Request
from werkzeug.datastructures import Headers

from quart_app.http.idempotency import MAX_KEY_LENGTH, read_key
from quart_app.http.problems import ProblemError
from tests.support.requests import make_request


def _request(*keys: str) -> Request:
    request = make_request(method="POST")
    request.headers = Headers([("Idempotency-Key", key) for key in keys])
    return request


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", b"8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"8e03978e"', b"8e03978e"),
        ("  padded  ", b"padded"),
        ('"', b'"'),
        ("a b", b"a b"),
        ("x" * MAX_KEY_LENGTH, b"x" * MAX_KEY_LENGTH),
    ],
)
def test_a_key_is_read_bare_or_quoted(header: str, key: bytes) -> None:
    assert read_key(_request(header)) == key


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("",),
        ("   ",),
        ('""',),
        ("x" * (MAX_KEY_LENGTH + 1),),
        ("schl\u00fcssel",),
        ("tab\tbed",),
        ("\x7f",),
        ("one", "two"),
    ],
)
def test_anything_else_is_refused(headers: tuple[str, ...]) -> None:
    with pytest.raises(ProblemError) as caught:
        read_key(_request(*headers))
    assert caught.value.kind.status == 400
    assert not any(key and key in caught.value.detail for key in headers if len(key) > 3)
