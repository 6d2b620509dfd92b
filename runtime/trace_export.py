"""Sending traces away, by the standard `OTEL_…` variables, where the `otel` extra is installed.

Without one of them nothing is set up: a service with an SDK of its own keeps it, and no traces cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.extras import require
from kafka_saga.runtime.telemetry import log

_log = log("traces")

_WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")


@contextmanager
def exported_traces(service: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Send what this process traces to where the variables say; what is left is sent when the block ends.

    `OTEL_SERVICE_NAME` is `service` when not set. Endpoint, headers, sampler, resource and batches are the SDK's own.
    """
    if not _are_wanted(environment):
        yield
        return
    try:
        require("otel", "sending traces")
    except ConfigError as error:
        _log.warning("traces.not_exported", why=str(error))
        yield
        return
    from opentelemetry import trace  # noqa: PLC0415 -- only for who exports traces
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    name = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(name))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def _are_wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in {"", "otlp"}:
        if exporter != "none":
            _log.warning("traces.not_exported", why=f"OTEL_TRACES_EXPORTER={exporter} is not known here: otlp, or none")
        return False
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in {None, "", "http/protobuf"}:
        _log.warning("traces.not_exported", why=f"OTLP is sent as http/protobuf here, not as {protocol}")
        return False
    return any(environment.get(name) for name in _WANTED)
