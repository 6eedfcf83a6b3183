"""Log lines: JSON or for people, with the request's id, without what is nobody's business."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from quart_app import logs
from quart_app.settings import LogFormat, LogLevel


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(name="root", autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("log_format", "stream", "json_expected"),
    [
        (LogFormat.AUTO, io.StringIO(), True),
        (LogFormat.AUTO, Terminal(), False),
        (LogFormat.JSON, Terminal(), True),
        (LogFormat.CONSOLE, io.StringIO(), False),
    ],
)
def test_auto_is_for_people_on_a_terminal_only(
    log_format: LogFormat, stream: io.StringIO, json_expected: bool
) -> None:
    assert logs.is_json(log_format, stream) is json_expected


@pytest.mark.parametrize(
    ("no_color", "stream", "colored"),
    [("", Terminal(), True), ("1", Terminal(), False), ("", io.StringIO(), False)],
)
def test_colors_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, no_color: str, stream: io.StringIO, colored: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    logs.configure(LogFormat.CONSOLE, LogLevel.INFO, stream=stream)
    logging.getLogger("some.library").warning("hello")
    assert ("\x1b[" in stream.getvalue()) is colored


def test_access_line_has_the_time_as_all_others_have_it() -> None:
    stream = io.StringIO()
    logs.configure(LogFormat.JSON, LogLevel.INFO, stream=stream)
    logging.getLogger("some.library").warning("hello")
    access = logs.AccessLog(LogFormat.JSON, stream=stream)
    access.write(method="GET", path="/", status=200, seconds=0.001, request_id="abc")
    times = [json.loads(line)["timestamp"] for line in stream.getvalue().splitlines()]
    assert [re.sub(r"[0-9]", "0", time) for time in times] == ["0000-00-00T00:00:00.000000Z"] * 2


def test_foreign_lines_become_json_with_the_request_id() -> None:
    stream = io.StringIO()
    logs.configure(LogFormat.JSON, LogLevel.INFO, stream=stream)
    token = logs.current_request_id.set("abc")
    logging.getLogger("some.library").warning("hello %s", "you")
    logs.current_request_id.reset(token)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == (
        "hello you",
        "warning",
        "some.library",
    )
    assert line["request_id"] == "abc"


def test_structlog_goes_the_same_way() -> None:
    stream = io.StringIO()
    logs.configure(LogFormat.JSON, LogLevel.INFO, stream=stream)
    structlog.get_logger("mine").info("event", rows=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["rows"]) == ("event", 3)
    assert "request_id" not in line


def test_traceback_is_in_the_line_but_no_local_variable() -> None:
    stream = io.StringIO()
    logs.configure(LogFormat.JSON, LogLevel.INFO, stream=stream)
    local = 3.14159265
    try:
        {"a": 1}[str(local)]
    except KeyError:
        logging.getLogger("x").exception("failed")
    text = stream.getvalue()
    assert "KeyError" in json.loads(text)["exception"]
    assert text.count(str(local)) == 1, "as the message, not as a variable"


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    logs.configure(LogFormat.JSON, LogLevel.ERROR, stream=stream)
    logging.getLogger("x").warning("no")
    assert stream.getvalue() == ""


def test_configuring_again_replaces_the_handler() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure(LogFormat.JSON, LogLevel.INFO, stream=first)
    logs.configure(LogFormat.CONSOLE, LogLevel.INFO, stream=second)
    logging.getLogger("x").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_access_line_as_json() -> None:
    stream = io.StringIO()
    logs.AccessLog(LogFormat.JSON, stream=stream).write(
        method="GET", path="/" + "x" * 300, status=200, seconds=0.0123456, request_id="abc"
    )
    line = json.loads(stream.getvalue())
    assert (line["method"], line["status"], line["duration_ms"]) == ("GET", 200, 12.346)
    assert len(line["path"]) == 200


def test_access_line_for_people_cannot_be_forged() -> None:
    stream = io.StringIO()
    logs.AccessLog(LogFormat.CONSOLE, stream=stream).write(
        method="GET", path="/a\nGET /b", status=404, seconds=0.001, request_id="abc"
    )
    assert stream.getvalue() == "GET '/a\\nGET /b' 404 1.0 ms abc\n"
