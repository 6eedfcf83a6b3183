"""Spans of requests and statements, without a value in them."""

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from quart import Quart

from quart_app.http import problems, tracing
from quart_app.logs import current_trace_id
from quart_app.mysql.config import ConnectConfig, Endpoint
from quart_app.mysql.errors import ConnectionLost

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONFIG = ConnectConfig(endpoints=(Endpoint(host="db", port=3307),), database="shop")


@pytest.fixture(name="exporter")
def _exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(name="provider")
def _provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture(name="app")
def _app(provider: TracerProvider) -> Quart:
    app = Quart(__name__, static_folder=None)
    problems.install(app)
    watch = tracing.statement_watch(provider, CONFIG)

    @app.get("/cities/<int:city_id>")
    async def city(city_id: int) -> str:
        with watch(b"SELECT name FROM city WHERE secret = 'hidden'"):
            tracing.RetryEvents().retried(
                phase="statement", attempt=2, waited=0.1, error=ConnectionLost(sent=True)
            )
        return current_trace_id.get() + str(city_id)

    @app.get("/broken")
    async def broken() -> str:
        with watch(b"UPDATE t SET a = 1"):
            raise ConnectionLost("gone", sent=True, errno=2013)

    tracing.install(app, provider)
    return app


Spans = Callable[[], dict[str, ReadableSpan]]


@pytest.fixture(name="spans")
def _spans(exporter: InMemorySpanExporter) -> Spans:
    return lambda: {span.name: span for span in exporter.get_finished_spans()}


async def test_request_and_statement_make_one_trace(app: Quart, spans: Spans) -> None:
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    answer = await app.test_client().get("/cities/7?secret=hidden", headers=headers)
    assert await answer.get_data(as_text=True) == f"{TRACE}7"
    request, statement = spans()["GET /cities/{city_id}"], spans()["SELECT shop"]
    assert request.kind is SpanKind.SERVER
    assert statement.kind is SpanKind.CLIENT
    assert request.context is not None
    assert statement.parent is not None
    assert f"{request.context.trace_id:032x}" == TRACE
    assert statement.parent.span_id == request.context.span_id


async def test_spans_speak_the_conventions(app: Quart, spans: Spans) -> None:
    await app.test_client().get("/cities/7?secret=hidden")
    request, statement = spans()["GET /cities/{city_id}"], spans()["SELECT shop"]
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/cities/{city_id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/cities/7",
        "network.protocol.version": "1.1",
    }
    assert statement.attributes == {
        "db.system.name": "mysql",
        "db.namespace": "shop",
        "db.operation.name": "SELECT",
        "db.query.text": "select name from city where secret = ?",
        "server.address": "db",
        "server.port": 3307,
    }
    assert "hidden" not in f"{request.to_json()}{statement.to_json()}"


async def test_statements_sent_together_are_named_by_the_first(
    provider: TracerProvider, spans: Spans
) -> None:
    with tracing.statement_watch(provider, CONFIG)(b"BEGIN;\nUPDATE t SET a = 'hidden'"):
        pass
    attributes = spans()["BEGIN shop"].attributes
    assert attributes is not None
    assert attributes["db.query.text"] == "begin; update t set a = ?"


async def test_retry_is_an_event_of_the_request(app: Quart, spans: Spans) -> None:
    await app.test_client().get("/cities/7")
    (event,) = spans()["GET /cities/{city_id}"].events
    assert event.name == "retry"
    assert event.attributes is not None
    assert event.attributes["error.type"] == "ConnectionLost"


async def test_faults_are_marked(app: Quart, spans: Spans) -> None:
    await app.test_client().get("/broken")
    request, statement = spans()["GET /broken"], spans()["UPDATE shop"]
    assert request.attributes is not None
    assert statement.attributes is not None
    assert request.status.status_code is statement.status.status_code is StatusCode.ERROR
    assert request.attributes["error.type"] == "503"
    assert statement.attributes["error.type"] == "ConnectionLost"
    assert statement.attributes["db.response.status_code"] == "2013"


async def test_made_up_method_is_no_name(app: Quart, spans: Spans) -> None:
    await app.test_client().open("/cities/7", method="SECRET", json={})
    (span,) = spans().values()
    assert span.name == "_OTHER"
    assert current_trace_id.get() == ""
