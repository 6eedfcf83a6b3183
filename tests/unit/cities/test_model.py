"""The rules of cities."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_app.cities import model
from quart_app.cities.model import (
    MAX_NAME_LENGTH,
    InvalidInput,
    Position,
    check_country_code,
    check_name,
    read_cursor,
    write_cursor,
)

POSITIONS = st.builds(
    Position,
    city=st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_NAME_LENGTH),
    population=st.integers(0, 2**32 - 1),
    city_id=st.integers(0, 2**32 - 1),
)


@given(POSITIONS)
def test_cursor_comes_back_as_it_was(position: Position) -> None:
    cursor = write_cursor(position)
    assert read_cursor(cursor) == position
    assert cursor.isascii()


@given(POSITIONS, st.data())
def test_changed_cursor_is_refused(position: Position, data: st.DataObject) -> None:
    cursor = write_cursor(position)
    place = data.draw(st.integers(0, len(cursor) - 2))
    other = data.draw(st.sampled_from("AZaz09-_!%é ").filter(lambda one: one != cursor[place]))
    with pytest.raises(InvalidInput, match="cursor"):
        read_cursor(cursor[:place] + other + cursor[place + 1 :])


@pytest.mark.parametrize("cursor", ["", "x", "abc", "====", "é", "a" * 100_000, "WyJhIiwxLDJd"])
def test_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        read_cursor(cursor)


@pytest.mark.parametrize(
    "payload",
    [
        b"5",
        b"null",
        b"{}",
        b'["a",1]',
        b'["a",1,1,1]',
        b'[["a"],1,1]',
        b'[{"a":1},1,1]',
        b'["a",null,1]',
        b'["a",NaN,1]',
        b'["a",1,Infinity]',
        b'["a",1.5,1]',
        b'["\\ud800",1,1]',
        b"[" * 850,
    ],
)
def test_made_up_cursor_with_a_good_checksum_is_refused(payload: bytes) -> None:
    cursor = base64.urlsafe_b64encode(model._checksum(payload) + payload).decode().rstrip("=")
    with pytest.raises(InvalidInput, match="cursor"):
        read_cursor(cursor)


@pytest.mark.parametrize(
    "name",
    ["", "London", "São Paulo", "'; DROP TABLE city; --", '"', "%", "\\", "東京", "🏙️", "x" * 200],
)
def test_any_text_may_be_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["\x00", "Lon\ndon", "\x1b[31m", "\x7f", "\x9b"])
def test_control_characters_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"^city has a control character"):
        check_name(name)


def test_endless_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^prefix is longer than 200 characters$"):
        check_name("x" * 201, what="prefix")


def test_country_code_is_made_capital() -> None:
    assert check_country_code("gb") == "GB"


@pytest.mark.parametrize("code", ["", "G", "GBR", "G1", "ÄÖ", "'%"])
def test_what_is_no_country_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidInput, match="two letters"):
        check_country_code(code)
