from __future__ import annotations

from kafka_saga.runtime.reminding import INTERVAL_MS_MAX, Reminder


def told(reminder: Reminder, until: int) -> list[int]:
    return [now for now in range(0, until, 1_000) if reminder.goes_on(now)]


def test_it_is_said_after_a_while_and_then_after_twice_as_long_each_time() -> None:
    reminder = Reminder(5_000)
    assert told(reminder, 80_000) == [5_000, 15_000, 35_000, 75_000]
    assert reminder.lasted_ms(80_000) == reminder.ended(80_000) == 80_000


def test_it_is_never_silent_for_longer_than_the_longest_interval() -> None:
    times = told(Reminder(5_000), 10 * INTERVAL_MS_MAX)
    assert times[-1] - times[-2] == INTERVAL_MS_MAX


def test_what_was_never_said_ends_without_a_word_and_begins_anew() -> None:
    reminder = Reminder(5_000)
    assert not reminder.goes_on(0)
    assert reminder.ended(4_999) is None
    assert not reminder.goes_on(6_000)
    assert reminder.goes_on(11_000)
    assert reminder.ended(12_000) == 6_000
    assert reminder.ended(13_000) is None
