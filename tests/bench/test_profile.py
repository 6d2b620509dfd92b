from __future__ import annotations

from bench.profile import Profile

STACKS = [
    "thread (1): Main;main (a.py:1);decide (b.py:2);encode (c.py:3) 6",
    "thread (1): Main;main (a.py:1);decide (b.py:2) 2",
    "thread (1): Main;main (a.py:1);decide (b.py:2);walk (d.py:4);walk (d.py:4) 1",
    "thread (2): commit;write (e.py:5) 1",
]


def test_samples_count_for_the_function_they_are_in_and_for_its_callers() -> None:
    profile = Profile.of(STACKS)

    assert profile.total == 10
    assert profile.own == {"encode (c.py:3)": 6, "decide (b.py:2)": 2, "walk (d.py:4)": 1, "write (e.py:5)": 1}
    assert profile.cumulative["main (a.py:1)"] == 9
    assert profile.cumulative["decide (b.py:2)"] == 9
    assert profile.threads == {"thread (1): Main": 9, "thread (2): commit": 1}


def test_a_function_that_calls_itself_is_counted_once() -> None:
    assert Profile.of(STACKS).cumulative["walk (d.py:4)"] == 1


def test_samples_become_microseconds_per_saga_and_what_is_always_on_the_stack_is_left_out() -> None:
    profile = Profile.of(["t;main;encode 3", "t;main;write 1"])

    rows = profile.rows(profile.own, 200.0, top=1)

    assert rows[1:] == [["encode", "150.0", "150.0", "75.0%"]]
    assert [row[0] for row in profile.rows(profile.cumulative, 200.0, top=9)[1:]] == ["encode", "write"]


def test_lines_without_a_stack_are_no_samples() -> None:
    assert Profile.of(["", "thread 4"]).total == 0
