from __future__ import annotations

import re
from typing import Any

import pytest

from bench.report import headline, last_line, report, stores_line, table


def rate(per_s: float) -> dict[str, Any]:
    used = {"orchestrator": 0.5, "load": 0.1}
    sizes = {"orchestrator": 2_000, "inventory": 300, "payment": 300, "orders": 300}
    return {
        "per_s": per_s,
        "steady_per_s": per_s,
        "seconds": 2.0,
        "others_share": 0.01,
        "cpu_ms_per_saga": used,
        "database_bytes_per_saga": sizes,
    }


def spread(p50: float, p99: float) -> dict[str, Any]:
    values = {"p50": p50, "p99": p99, "p999": p99, "max": p99}
    return {"count": 100, "others_share": 0.02, "latency_ms": values, "send_late_ms": values}


SECTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "throughput": {
        "20,000 succeed #1": rate(900.0),
        "20,000 succeed #2": rate(1_000.0),
        "20,000 succeed #3": rate(1_100.0),
        "200,000 succeed #1": rate(5.0),
    },
    "limit": {"8 messages a saga #1": rate(4_000.0), "every message #1": rate(2_000.0)},
    "latency": {
        "one at a time": {**spread(7.5, 9.0), "send_late_ms": {}},
        "1/s": spread(1.0, 2.0),
        "20/s": spread(10.0, 33.33),
    },
}


def test_the_last_line_is_for_programs() -> None:
    assert last_line(SECTIONS) == "bench: sagas_per_s=1000 limit_per_s=4000 ratio=0.250 p50_ms=10.0 p99_ms=33.3"


def test_what_was_not_measured_is_a_dash_and_no_ratio_is_made_of_it() -> None:
    assert last_line({}) == "bench: sagas_per_s=- limit_per_s=- ratio=- p50_ms=- p99_ms=-"
    assert last_line({"limit": SECTIONS["limit"]}).startswith("bench: sagas_per_s=- limit_per_s=4000 ratio=- ")


def test_the_headline_has_the_ratio_to_every_message_too() -> None:
    assert headline(SECTIONS)["ratio_every_message"] == 0.5


def test_the_ratio_by_cpu_is_what_the_limit_uses_of_what_the_system_uses() -> None:
    lean = {**rate(4_000.0), "cpu_ms_per_saga": {"relay": 0.1, "load": 0.02}}

    assert headline({**SECTIONS, "limit": {"8 messages a saga #1": lean}})["ratio_cpu"] == pytest.approx(0.2)
    assert headline({})["ratio_cpu"] is None


def test_the_report_has_a_table_for_each_section_and_both_ratios() -> None:
    text = report(SECTIONS, {"cores": 2})

    assert text.startswith("cores 2\n\n")
    assert "200,000 succeed #1        5" in text
    assert re.search(r"^20/s +100 +10.0 +33.3 ", text, re.MULTILINE)
    assert re.search(r"^one at a time +100 +7.5 +9.0 +9.0 +9.0 +- ", text, re.MULTILINE)
    assert "of the limit: 0.250; with every message that the system publishes: 0.500" in text


def test_every_section_has_a_table() -> None:
    sections = {
        "start": {"#1": {"first_s": {"orchestrator": 1.0}, "again_s": {"orchestrator": 0.5}}},
        "costs": {
            "flood": {"messages_per_saga": 11.0, "fsyncs_per_saga": {"orders": 0.01}},
            "20/s": {"messages_per_saga": 11.0},
        },
        "recovery": {"9 in flight #1": {"ready_s": 1.25, "unpublished_messages": 7, "ended_s": 3.0}},
        "memory": {"9 sagas": {"growth": {"orders": {"early_mb": 60.0, "late_mb": 61.0}}}},
        "timers": {"9 waiting #1": rate(100.0)},
    }

    rows = [line.split("  ") for line in report(sections, {}).splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]

    assert ["#1 later start", "0.50"] in cells
    assert ["flood", "11.00", "0.0100"] in cells
    assert ["20/s", "11.00", "-"] in cells
    assert ["9 in flight #1", "1.25", "7", "3.0"] in cells
    assert ["9 sagas, orders", "60.0", "61.0"] in cells
    assert ["9 waiting #1", "100", "100", "2.0", "1%"] in cells


def test_a_run_beside_others_says_so() -> None:
    busy = {"throughput": {"20,000 succeed #1": {**rate(900.0), "others_share": 0.4}}}

    assert "NOISY: other processes used up to 40% of this machine" in report(busy, {})
    assert "NOISY" not in report(SECTIONS, {})


def test_a_table_s_first_column_is_to_the_left_and_numbers_to_the_right() -> None:
    assert table([["", "n"], ["longer", "1"], ["x", "100"]]) == "          n\nlonger    1\nx       100"


def test_the_line_of_the_stores_has_the_rates_of_one_to_three_orchestrators_and_a_dash_for_what_was_not_measured() -> (
    None
):
    alone = {"alone_ms": {"p50": 20.04}}
    one = {"sqlite #1": rate(2_000.0) | alone, "all on postgres #1": rate(700.0) | alone}
    one |= {"all on postgres, by SQLAlchemy #1": rate(100.0) | alone}
    many = {f"{count} orchestrators, 1 workers each, 4 partitions #1": rate(1_000.0 * count) for count in (1, 3)}
    assert stores_line({"stores": one, "replicas": many}) == (
        "stores: sqlite=2000 postgres1=1000 postgres2=- postgres3=3000 all_postgres=700 "
        "p50_sqlite_ms=20.0 p50_postgres_ms=-"
    )
    assert stores_line({"latency": {}}) is None
