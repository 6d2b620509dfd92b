"""`saga broker`."""

from __future__ import annotations

import signal
import sys
import threading

from kafka_saga.messaging.embedded import serve
from kafka_saga.orchestrator.supervisor.stack import BROKER_LIMITS


def broker() -> int:
    """Run the embedded broker until Ctrl-C: a Kafka for demos and quick tests that needs neither Java nor Docker.

    It is librdkafka's mock cluster: any Kafka client can use it. Its address is the one line on standard output.

    Examples:
        saga broker

    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    for address in serve():
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stderr.write(
            f"The embedded broker listens at {address} until Ctrl-C.\n{BROKER_LIMITS}\n\n"
            "In the other terminals:\n"
            f"  export KAFKA_BOOTSTRAP_SERVERS={address}\n"
            f"  kcat -b {address} -L\n"
        )
        sys.stderr.flush()
        ended.wait()
    return 0
