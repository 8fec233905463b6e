"""A collector of traces for tests: the real protocol, OTLP over HTTP, in a thread; it keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S: Final = 10.0


@dataclass
class Collector:
    """What was sent, and how it is answered."""

    url: str = ""
    status: int = 200
    raw: list[bytes] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, object] = field(default_factory=dict)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.arrived:
            self.raw.append(body)
            for of_resource in request.resource_spans:
                self.resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
                self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]
            self.arrived.notify_all()

    def wait_for(self, name: str, count: int = 1, where: Callable[[Span], bool] = lambda _span: True) -> list[Span]:
        """Return the spans of a name that are as wished, once there are so many."""

        def found() -> list[Span]:
            return [span for span in self.named(name) if where(span)]

        with self.arrived:
            assert self.arrived.wait_for(lambda: len(found()) >= count, PATIENCE_S), self.names()
            return found()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def names(self) -> list[str]:
        return [span.name for span in self.spans]


def facts(span: Span) -> dict[str, object]:
    """Return the attributes of a span."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector.status == 200:
                collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="collector")
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
