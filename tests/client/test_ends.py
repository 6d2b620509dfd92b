"""What a client remembers: the newest word counts, and there is an end to how much."""

from __future__ import annotations

from kafka_saga.client.ends import End, Ends, Refusal
from kafka_saga.schemas.ids import SagaRef

REF = SagaRef("order", "o-1")


def end(state: str = "COMPLETED", sequence: int = 5, *, size: int = 10, read_at_ms: int = 0) -> End:
    return End(state, sequence, b"x" * size, 0, read_at_ms, None)


def test_an_end_is_known_for_its_window_and_no_longer() -> None:
    ends = Ends(window_ms=1_000)
    assert ends.ended(REF, end(read_at_ms=100))
    assert ends.end_of(REF, 1_100) == end(read_at_ms=100)
    assert ends.end_of(REF, 1_101) is None
    assert (len(ends), ends.bytes) == (0, 0)


def test_a_copy_and_what_comes_late_change_nothing() -> None:
    ends = Ends(window_ms=1_000)
    assert ends.ended(REF, end(sequence=5))
    assert not ends.ended(REF, end(sequence=5))
    assert not ends.ended(REF, end("PARKED", sequence=4))
    ends.goes_on(REF, 3)
    found = ends.end_of(REF, 0)
    assert found is not None
    assert found.state == "COMPLETED"


def test_who_was_parked_and_goes_on_is_not_parked_any_more() -> None:
    ends = Ends(window_ms=1_000)
    ends.ended(REF, end("PARKED", sequence=5))
    ends.goes_on(REF, 6)
    assert ends.end_of(REF, 0) is None
    assert ends.ended(REF, end("COMPENSATED", sequence=7))


def test_of_who_tells_no_sequence_the_final_word_counts() -> None:
    ends = Ends(window_ms=1_000)
    assert ends.ended(REF, end("PARKED", sequence=0))
    assert ends.ended(REF, end("COMPLETED", sequence=0))
    assert not ends.ended(REF, end("PARKED", sequence=0))


def test_the_oldest_are_crowded_out_by_number_and_by_bytes() -> None:
    by_number = Ends(window_ms=1_000, count_max=2)
    by_bytes = Ends(window_ms=1_000, bytes_max=25)
    for ends in (by_number, by_bytes):
        for number in range(5):
            ends.ended(SagaRef("order", f"o-{number}"), end())
        known = [number for number in range(5) if ends.end_of(SagaRef("order", f"o-{number}"), 0) is not None]
        assert known == [3, 4]
        assert ends.bytes == 20


def test_an_end_that_is_larger_than_everything_is_passed_on_and_not_kept() -> None:
    ends = Ends(window_ms=1_000, bytes_max=25)
    assert ends.ended(REF, end(size=30))
    assert (len(ends), ends.bytes) == (0, 0)


def test_where_a_saga_turned_back_is_known_until_it_has_ended() -> None:
    ends = Ends(window_ms=1_000, count_max=2)
    ends.turned(REF, 3)
    ends.turned(REF, 1)
    assert ends.turned_at(REF) == 3, "it turns back once"
    ends.ended(REF, end("PARKED", sequence=5))
    assert ends.turned_at(REF) == 3
    ends.ended(REF, end("COMPENSATED", sequence=6))
    assert ends.turned_at(REF) is None
    for number in range(5):
        ends.turned(SagaRef("order", f"o-{number}"), 1)
    assert [number for number in range(5) if ends.turned_at(SagaRef("order", f"o-{number}"))] == [3, 4]


def test_a_refusal_is_forgotten_when_the_saga_is_heard_of_or_asked_for_again() -> None:
    ends, refusal = Ends(window_ms=1_000), Refusal("bad_schema", "no", "dlq/0/0")
    for heard in (
        lambda: ends.goes_on(REF, 1),
        lambda: ends.ended(REF, end(sequence=99)),
        lambda: ends.asked_again(REF),
    ):
        ends.refused(REF, refusal)
        assert ends.refusal_of(REF) == refusal
        heard()
        assert ends.refusal_of(REF) is None
