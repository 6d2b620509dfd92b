"""Our clock beside the broker's: what records are stamped with where ours is refused, and a warning (R56)."""

from __future__ import annotations

from typing import Final

from kafka_saga.messaging.inspection import BrokerTime, Inspection
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.limits import SKEW_INTERVAL_MS, SKEW_MS_WARNED
from kafka_saga.runtime.telemetry import log

_log = log("clock")

NO_TIMESTAMP: Final = -1
"""Kafka checks no time where a record carries none (measured: Kafka 4 takes it, whatever its limits)."""


async def broker_time(settings: KafkaSettings, clock: Clock) -> BrokerTime | None:
    """What time it is for Kafka; None where it does not tell, or does not answer."""
    inspection = Inspection(settings, clock=clock)
    try:
        return await inspection.time()
    except SagaError as error:
        _log.debug("clock.not_compared", error=str(error))
        return None
    finally:
        try:
            await inspection.close()
        except SagaError as error:
            _log.debug("clock.close_abandoned", error=str(error))


async def watch_skew(settings: KafkaSettings, clock: Clock) -> None:
    """Compare the clocks now and each minute, and warn where they differ. Runs until cancelled."""
    while True:
        time = await broker_time(settings, clock)
        if time is not None and abs(time.skew_ms) >= SKEW_MS_WARNED + time.uncertainty_ms:
            length, direction = abs(time.skew_ms) // 1000, "ahead of" if time.skew_ms > 0 else "behind"
            _log.warning(
                "clock.skewed",
                skew_ms=time.skew_ms,
                why=f"this machine's clock is {length} s {direction} Kafka's: let a time server set it",
            )
        await clock.sleep(SKEW_INTERVAL_MS)


class BrokerTimestamps:
    """The time that records are stamped with: ours, or the broker's once it has refused ours."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._ahead_ms: int | None = 0

    def now_ms(self) -> int:
        """The time for records that are sent now."""
        return NO_TIMESTAMP if self._ahead_ms is None else self._clock.now_ms() - self._ahead_ms

    async def adjust(self, refused_ms: int) -> bool:
        """The broker refused a record of `refused_ms`: whether there is another time to try."""
        if refused_ms == NO_TIMESTAMP:
            return False
        was = self._ahead_ms
        time = await broker_time(self._settings, self._clock) if was == 0 else None
        # Refused even so, or unknown: a record without a time is not checked.
        self._ahead_ms = None if time is None or abs(time.skew_ms) < SKEW_MS_WARNED else time.skew_ms
        _log.warning("clock.refused", skew_ms=self._ahead_ms, why="records carry the broker's time from here on")
        return True
