"""Whether Kafka answers, and what time it is there."""

from __future__ import annotations

from kafka_saga.messaging.errors import BrokerUnreachableError
from kafka_saga.messaging.inspection import BrokerTime
from kafka_saga.messaging.settings import OAUTHBEARER, KafkaSettings
from kafka_saga.messaging.waiting import within
from kafka_saga.orchestrator.operations.checks.finding import Finding, Verdict, lasting
from kafka_saga.orchestrator.operations.sagas.submitting import is_embedded
from kafka_saga.runtime.errors import SagaError

ANSWER_MS_MAX = 5_000
"""A broker that is well answers in milliseconds, and whoever asks what is wrong is in a hurry."""

SKEW_MS_NOTED = 5_000
"""Machines that follow a time server differ by milliseconds; what is seen here has another reason."""

SKEW_MS_MAX = 60_000
"""A minute: dates in logs, dead letters and Kafka no longer tell what came first."""

_SET_CLOCKS = "let a time server set the clocks (`timedatectl`, `chronyc tracking`)"


async def check_broker(kafka: KafkaSettings) -> tuple[Finding, bool | None]:
    """Whether Kafka answers, and whether it is the embedded one; None where it does not answer."""
    servers = kafka.bootstrap_servers
    details = {"bootstrapServers": servers}
    try:
        embedded = await within(ANSWER_MS_MAX, "asking the broker", is_embedded(kafka))
    except BrokerUnreachableError as error:
        return Finding("unreachable", "broker", error.found, error.remedy, details), None
    except SagaError as error:  # a file that the settings name may not be there
        return Finding("unreachable", "broker", f"{servers} cannot be used", str(error), details), None
    if embedded:
        advice = "it forgets everything when it ends: for demos and quick tests only"
        return Finding("note", "broker", f"the embedded broker at {servers}", advice, details), True
    return Finding("ok", "broker", f"Kafka at {servers}", "", details), False


def judge_encryption(kafka: KafkaSettings) -> Finding | None:
    """What is said where messages travel to another machine as they are; None where they do not, or by TLS."""
    if kafka.uses_tls or all(address.is_loopback for address in kafka.addresses):
        return None
    details = {"securityProtocol": kafka.security_protocol}
    remedy = "use a listener with TLS (docs/secured-kafka.md), or see that the network encrypts"
    if kafka.uses_sasl and kafka.sasl_mechanism in {"PLAIN", OAUTHBEARER}:
        what = "the password" if kafka.sasl_mechanism == "PLAIN" else "the token"
        found = f"{what} of {kafka.principal} and all messages travel to other machines in the clear"
        return Finding("warning", "encryption", found, remedy, details)
    return Finding("note", "encryption", "messages travel to other machines in the clear", remedy, details)


def judge_clock(time: BrokerTime | None, store_clock: int | None, now: int) -> Finding:
    """How far this machine's clock is from Kafka's, and from the newest moment that the store has seen.

    Args:
        time: what Kafka says; None where it does not tell.
        store_clock: the store's newest moment; None where there is no store.
        now: this machine's clock.

    """
    ahead_ms = 0 if store_clock is None else store_clock - now
    details = {
        "brokerSkewMs": None if time is None else time.skew_ms,
        "uncertaintyMs": None if time is None else time.uncertainty_ms,
        "storeAheadMs": max(0, ahead_ms),
    }
    if time is not None and abs(time.skew_ms) > SKEW_MS_NOTED + time.uncertainty_ms:
        direction = "ahead of" if time.skew_ms > 0 else "behind"
        found = f"this machine's clock is {lasting(abs(time.skew_ms))} {direction} Kafka's"
        why = "Kafka refuses messages dated an hour ahead of it, and deletes by their dates; ages shown here are wrong"
        return Finding(_verdict(abs(time.skew_ms)), "clock", found, f"{_SET_CLOCKS}: {why}", details)
    if ahead_ms > SKEW_MS_NOTED:
        found = f"the store has seen a moment {lasting(ahead_ms)} ahead of this machine's clock"
        why = "the clock was ahead, or was set back; timers go on by elapsed time, dates and ages are wrong meanwhile"
        return Finding(
            "wrong" if ahead_ms > SKEW_MS_MAX else "warning", "clock", found, f"{_SET_CLOCKS}: {why}", details
        )
    if time is None:
        return Finding("note", "clock", "this broker does not tell its time: not compared", "", details)
    return Finding("ok", "clock", f"within {abs(time.skew_ms) + time.uncertainty_ms} ms of Kafka's", "", details)


def _verdict(difference_ms: int) -> Verdict:
    return "wrong" if difference_ms > SKEW_MS_MAX else "warning"
