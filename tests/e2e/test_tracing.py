"""Spans of the whole program, as a collector gets them."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.program import Program


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the spans that are posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: dict[str, dict[str, str]] = {}


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        posted = ExportTraceServiceRequest()
        posted.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in posted.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    pairs = {pair.key: str(pair.value) for pair in span.attributes}
                    self.server.spans[span.name] = pairs
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(name="collector")
def _collector() -> Iterator[Collector]:
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        yield collector
        collector.shutdown()


def test_spans_arrive_by_the_end(seeded_url: str, tmp_path: Path, collector: Collector) -> None:
    settings = {
        "DATABASE_URL": seeded_url,
        "QUART_APP_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
    }
    with Program(tmp_path, settings=settings) as program:
        program.wait_until("/health/ready", 200)
        trace = "0af7651916cd43dd8448eb211c80319c"
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        assert httpx.get(f"{program.url}/?city=London", headers=headers).status_code == 200
        program.terminate()
        assert program.wait() == 0
        assert f'"trace_id":"{trace}"' in program.log
    assert "GET /" in collector.spans
    statements = [pairs for pairs in collector.spans.values() if "db.query.text" in pairs]
    assert any("from city where city = ?" in pairs["db.query.text"] for pairs in statements)
    assert "London" not in str(collector.spans)
