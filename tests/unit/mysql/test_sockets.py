"""Sockets notice a silent peer."""

import socket

import pytest

from quart_app.mysql.sockets import set_keepalive


class Recorder:
    def __init__(self, family: int) -> None:
        self.family = family
        self.options: set[int] = set()

    def setsockopt(self, _: int, option: int, __: int) -> None:
        self.options.add(option)


@pytest.mark.row("E")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_tcp_sockets_notice_a_silent_peer(family: int) -> None:
    recorder = Recorder(family)
    set_keepalive(recorder)  # type: ignore[arg-type]  # a double
    assert socket.SO_KEEPALIVE in recorder.options


@pytest.mark.row("T")
def test_other_sockets_are_left_alone() -> None:
    recorder = Recorder(socket.AF_UNIX)
    set_keepalive(recorder)  # type: ignore[arg-type]  # a double
    set_keepalive(None)
    assert recorder.options == set()


def test_system_without_an_option_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    recorder = Recorder(socket.AF_INET)
    set_keepalive(recorder)  # type: ignore[arg-type]  # a double
    assert len(recorder.options) == 4
