"""A collector of OTLP over HTTP, as a process: it says its port, and writes each span as a line of JSON.

Usage: python -m tests.tracing.receiver FILE
"""

from __future__ import annotations

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

FILE = Path(sys.argv[1])
KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


def plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        asked = ExportTraceServiceRequest.FromString(body)
        with FILE.open("a") as file:
            for resource in asked.resource_spans:
                service = plain(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        file.write(json.dumps(row(service, scope.scope.name, span)) + "\n")
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Its output is its port."""


def row(service: str, scope: str, span: Any) -> dict[str, Any]:
    return {
        "service": service,
        "scope": scope,
        "name": span.name,
        "kind": KINDS[span.kind],
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "failed": span.status.code == span.status.STATUS_CODE_ERROR,
        "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
        "attributes": plain(span.attributes),
    }


if __name__ == "__main__":
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        print(server.server_address[1], flush=True)  # noqa: T201 -- for whoever started it
        server.serve_forever()
