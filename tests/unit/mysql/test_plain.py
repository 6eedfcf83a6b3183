"""A duplicate whose descriptor was closed under it closes nobody else's."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from quart_app.mysql.driver.plain import Plain


class Transport:
    """Knows its socket, and one thing more."""

    closed = False

    def __init__(self, sock: socket.socket | None) -> None:
        self._extra: dict[str, Any] = {"socket": sock, "peername": "somebody"}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._extra.get(name, default)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(name="plain")
def _plain() -> Iterator[Plain]:
    with socket.socket() as sock:
        yield Plain(Transport(sock))


def test_it_stands_for_the_transport(plain: Plain) -> None:
    assert plain.get_extra_info("peername") == "somebody"
    assert plain.get_extra_info("cipher", "none") == "none"
    assert Plain(Transport(None)).get_extra_info("socket") is None
    plain.close()
    assert plain.closed


def test_nothing_was_duplicated(plain: Plain) -> None:
    plain.disown()


def test_duplicate_that_is_in_use_is_left_alone(plain: Plain) -> None:
    with plain.get_extra_info("socket").dup() as made:
        plain.disown()
        assert made.fileno() >= 0
    plain.disown()


def test_number_of_a_closed_duplicate_is_forgotten(plain: Plain) -> None:
    made = plain.get_extra_info("socket").dup()
    os.close(made.fileno())
    plain.disown()
    assert made.fileno() == -1


def test_number_that_is_somebody_elses_by_now_is_not_closed(plain: Plain) -> None:
    made = plain.get_extra_info("socket").dup()
    number = made.fileno()
    with socket.socket() as somebody:
        os.dup2(somebody.fileno(), number)
        plain.disown()
        del made
        os.fstat(number)
        os.close(number)
