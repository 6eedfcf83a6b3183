import http.client

import pytest

from quart_app.healthcheck import address, main


@pytest.mark.parametrize(
    ("bind", "found"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("0.0.0.0:80", ("127.0.0.1", 80)),
        ("[::]:8000, 127.0.0.1:9000", ("[::1]", 8000)),
        ("app.internal:8000", ("app.internal", 8000)),
    ],
)
def test_app_is_asked_where_it_listens(bind: str, found: tuple[str, int]) -> None:
    assert address(bind) == found


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (None, 1)])
def test_exit_status_tells_whether_the_app_answers(
    status: int | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer:
        def __init__(self) -> None:
            self.status = status

    def respond(_: http.client.HTTPConnection) -> Answer:
        if status is None:
            raise ConnectionRefusedError
        return Answer()

    monkeypatch.setattr(http.client.HTTPConnection, "request", lambda *_: None)
    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", respond)
    assert main() == code
