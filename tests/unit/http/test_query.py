"""The query string is read strictly."""

import msgspec
import pytest

from quart_app.http import query
from quart_app.http.problems import ProblemError
from tests.support.requests import make_request


class Model(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 50
    name: str | None = None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", {}),
        (b"city=London", {"city": "London"}),
        (b"city=S%C3%A3o+Paulo&x=", {"city": "São Paulo", "x": ""}),
        (b"city=a&city=b", {"city": "a"}),
        (b"city=%00", {"city": "\x00"}),
        (b"city=%", {"city": "%"}),
    ],
)
def test_parameters_are_decoded(raw: bytes, expected: dict[str, str]) -> None:
    assert query.read(make_request(query=raw)) == expected


@pytest.mark.parametrize("raw", [b"city=%ff", b"%c3=x", b"city=\xff"])
def test_bytes_that_are_no_utf8_are_refused(raw: bytes) -> None:
    with pytest.raises(ProblemError, match="UTF-8"):
        query.read(make_request(query=raw))


def test_flood_of_parameters_is_refused() -> None:
    with pytest.raises(ProblemError, match="too many"):
        query.read(make_request(query=b"a=1&" * 51))


def test_empty_parameter_counts_as_not_given() -> None:
    assert query.read_as(make_request(query=b"limit=&name="), Model) == Model()


@pytest.mark.parametrize("raw", [b"limit=abc", b"limit=1.5"])
def test_what_does_not_fit_is_named(raw: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        query.read_as(make_request(query=raw), Model)
    assert caught.value.detail == "limit should be a whole number."


def test_unknown_parameter_is_refused_without_being_repeated() -> None:
    with pytest.raises(ProblemError) as caught:
        query.read_as(make_request(query=b"nmae=x"), Model)
    assert caught.value.detail == (
        "There is a parameter that is not known here. Known: limit, name."
    )
