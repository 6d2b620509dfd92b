"""Who makes spans, if anybody collects them."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


def tracer() -> Tracer | None:
    """None where nobody has installed a provider: nothing is to be done for traces then.

    Who installs one has imported the API; where nobody has, it is not imported for asking either.
    """
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace  # noqa: PLC0415 -- it is there already

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return provider.get_tracer("kafka_saga", version("kafka-saga"))
