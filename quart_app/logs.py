"""Log lines as JSON or for the console, each with the request's id.

Everything goes through the standard library's root logger, so that Hypercorn's, Alembic's and the
engine's lines look like ours. Only the access line takes a short way: at one for every request,
even structlog's microseconds would show.
"""

import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import msgspec
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from quart_app.settings import LogFormat, LogLevel

current_request_id: ContextVar[str] = ContextVar("quart_app_request_id", default="")
# Empty where tracing is off.
current_trace_id: ContextVar[str] = ContextVar("quart_app_trace_id", default="")
# Their INFO lines are for their own developers.
_CHATTY = ("alembic", "asyncio")
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def configure(log_format: LogFormat, level: LogLevel, *, stream: TextIO | None = None) -> None:
    """Send all logging of this process to *stream* (stderr). May be called again."""
    stream = stream or sys.stderr
    handler = _Handler(stream)
    as_json = is_json(log_format, stream)
    handler.setFormatter(_formatter(as_json=as_json, in_color=wants_color(stream)))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.value.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_PROCESSORS,
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def is_json(log_format: LogFormat, stream: TextIO) -> bool:
    """Settle AUTO: a terminal gets text to read, anything else JSON."""
    if log_format is LogFormat.AUTO:
        return not stream.isatty()
    return log_format is LogFormat.JSON


def wants_color(stream: TextIO) -> bool:
    """A terminal gets colors, unless NO_COLOR (no-color.org) is set to anything."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


class AccessLog:
    """Writes one line for each answered request: no query string, no body, no header."""

    def __init__(self, log_format: LogFormat, *, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._json = is_json(log_format, self._stream)

    def write(
        self, *, method: str, path: str, status: int, seconds: float, request_id: str
    ) -> None:
        """Write the line. *status* 499: the client went away before there was an answer."""
        milliseconds = round(seconds * 1000, 3)
        if not self._json:
            line = f"{method} {path[:200]!r} {status} {milliseconds:.1f} ms {request_id}\n"
            self._stream.write(line)
            return
        fields = {
            # As structlog writes it.
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": "info",
            "logger": "quart_app.access",
            "event": "request",
            "method": method,
            "path": path[:200],
            "status": status,
            "duration_ms": milliseconds,
            "request_id": request_id,
        }
        if trace_id := current_trace_id.get():
            fields["trace_id"] = trace_id
        self._stream.write(_encode(fields).decode() + "\n")


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be found again when configure() is called once more."""


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    request_id = current_request_id.get()
    if request_id:
        event["request_id"] = request_id
    if trace_id := current_trace_id.get():
        event["trace_id"] = trace_id
    return event


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return _encode(event).decode()


_PROCESSORS: tuple[Processor, ...] = (
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    _add_request_id,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def _formatter(*, as_json: bool, in_color: bool) -> ProcessorFormatter:
    ending: list[Processor]
    if as_json:
        ending = [structlog.processors.format_exc_info, _render_json]
    else:
        # Plain tracebacks: the rich ones print local variables, which may be secrets.
        plain = structlog.dev.plain_traceback
        ending = [structlog.dev.ConsoleRenderer(colors=in_color, exception_formatter=plain)]
    return ProcessorFormatter(
        foreign_pre_chain=_PROCESSORS,
        processors=[ProcessorFormatter.remove_processors_meta, *ending],
    )
