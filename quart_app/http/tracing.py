"""OpenTelemetry spans of requests and statements, by its semantic conventions.

Only imported where QUART_APP_TRACING is on, so it costs nothing elsewhere. What a span tells of a
statement is its fingerprint: never a value. Where spans go is set by the OTEL_... variables.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from quart import Quart, Request
from quart.typing import ResponseTypes
from werkzeug.datastructures import Headers

from quart_app import __version__
from quart_app.http.metrics import template
from quart_app.logs import current_trace_id
from quart_app.metrics.requests import FIRST_SERVER_ERROR, METHODS
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.driver.watched import Watch
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.fingerprint import fingerprint
from quart_app.mysql.observer import Observer

SCOPE = "quart_app"
FLUSH_TIMEOUT = 3.0
_propagator = TraceContextTextMapPropagator()


def provider_from_env() -> TracerProvider:
    """Make what sends spans by OTLP over HTTP, in a thread of its own."""
    attributes = {SERVICE_VERSION: __version__}
    if "OTEL_SERVICE_NAME" not in os.environ:
        attributes[SERVICE_NAME] = "quart-app"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def install(app: Quart, provider: TracerProvider) -> None:
    """Make a span of every request of *app*. Install it after everything else that wraps requests.

    A trace that the caller began goes on. Spans that wait are sent when the app ends, for at most
    FLUSH_TIMEOUT seconds.
    """
    handle, tracer = app.handle_request, provider.get_tracer(SCOPE, __version__)

    async def traced(request: Request) -> ResponseTypes:
        with tracer.start_as_current_span(
            _method(request.method),
            context=_propagator.extract(_lowered(request.headers)),
            kind=SpanKind.SERVER,
            attributes=_asked(request),
            record_exception=False,
        ) as span:
            token = current_trace_id.set(f"{span.get_span_context().trace_id:032x}")
            try:
                response = await handle(request)
            finally:
                current_trace_id.reset(token)
                _note_route(span, request)
            _note_status(span, response.status_code)
            return response

    async def serving() -> AsyncGenerator[None, None]:
        yield
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await asyncio.to_thread(provider.shutdown)

    app.handle_request = traced  # type: ignore[method-assign] # Quart has no hook round it
    app.while_serving(serving)


def statement_watch(provider: TracerProvider, config: ConnectConfig) -> Watch:
    """Make a span of every statement sent to the servers of *config*."""
    tracer = provider.get_tracer(SCOPE, __version__)
    attributes: dict[str, str | int] = {"db.system.name": "mysql"}
    if config.database is not None:
        attributes["db.namespace"] = config.database
    if len(config.endpoints) == 1:  # of several it is not known here which
        endpoint = config.endpoints[0]
        attributes["server.address"] = endpoint.unix_socket or endpoint.host
        attributes["server.port"] = endpoint.port
    return lambda statement: _StatementSpan(tracer, attributes, statement)


class RetryEvents(Observer):
    """Notes in the current span what was tried again."""

    def retried(self, *, phase: str, attempt: int, waited: float, error: Exception) -> None:
        attributes: dict[str, str | int | float] = {
            "phase": phase,
            "attempt": attempt,
            "waited": waited,
            "error.type": type(error).__name__,
        }
        trace.get_current_span().add_event("retry", attributes)


class _StatementSpan:
    """The span of one statement. Not made current: nothing happens within that has spans."""

    __slots__ = ("_span",)

    def __init__(
        self, tracer: Tracer, attributes: Mapping[str, str | int], statement: bytes
    ) -> None:
        self._span = tracer.start_span("mysql", kind=SpanKind.CLIENT, attributes=dict(attributes))
        if self._span.is_recording():
            text = fingerprint(statement.decode("utf-8", "replace"))
            operation = text.partition(" ")[0].rstrip(";").upper()  # of several the first
            self._span.update_name(f"{operation} {attributes.get('db.namespace', '')}".rstrip())
            self._span.set_attribute("db.operation.name", operation)
            self._span.set_attribute("db.query.text", text)

    def __enter__(self) -> None:
        """Begin: it has begun when it was made."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._span.set_attribute("error.type", kind.__name__)
            self._span.set_status(Status(StatusCode.ERROR))
            errno = _errno(error)
            if errno is not None:
                self._span.set_attribute("db.response.status_code", str(errno))
        self._span.end()


def _errno(error: BaseException | None) -> int | None:
    """The server's number of *error*: ours has it by name, the driver's as its first argument."""
    if isinstance(error, DatabaseError):
        return error.errno
    first = error.args[0] if error is not None and error.args else None
    return first if isinstance(first, int) else None


def _note_route(span: Span, request: Request) -> None:
    if request.url_rule is not None:
        route = template(request.url_rule.rule)
        span.update_name(f"{_method(request.method)} {route}")
        span.set_attribute("http.route", route)


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= FIRST_SERVER_ERROR:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))


def _asked(request: Request) -> dict[str, str]:
    attributes = {
        "http.request.method": _method(request.method),
        "url.scheme": request.scheme,
        "url.path": request.path,
        "network.protocol.version": request.http_version,
    }
    if request.method not in METHODS:
        attributes["http.request.method_original"] = request.method
    return attributes


def _method(method: str) -> str:
    return method if method in METHODS else "_OTHER"


def _lowered(headers: Headers) -> dict[str, str]:
    names = ("traceparent", "tracestate")
    return {name: value for name in names if (value := headers.get(name)) is not None}
