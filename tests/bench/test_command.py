from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as command
from bench.broker import Kafka
from bench.results import Results
from bench.run import SHORT, Bench
from bench.system import BenchError


async def test_a_section_that_fails_does_not_keep_the_next_from_being_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(bench: Bench) -> None:
        bench.keep("limit", "one", {"n": 1})
        raise BenchError("18 of 20 sagas ended")

    async def works(bench: Bench) -> None:
        bench.keep("latency", "20/s", {"n": 2})

    monkeypatch.setattr(command, "SECTIONS", {"limit": fails, "latency": works})
    bench = Bench(Kafka("nowhere:1"), tmp_path, SHORT, Results.begin("short", tmp_path / "results"))

    failed = await command.carry_out(bench, ["limit", "latency"])

    assert failed == ["limit"]
    assert bench.results.has("limit", "one")
    assert bench.results.has("latency", "20/s")
    said = capsys.readouterr().err
    assert "limit FAILED: 18 of 20 sagas ended" in said
    assert "RESUME=1 SECTIONS=limit" in said


def test_an_unknown_section_is_a_usage_error_that_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--sections", "latency,speed"])

    assert ended.value.code == 2
    assert "there is no section 'speed': it is one of throughput, limit, latency" in capsys.readouterr().err


def test_the_help_says_which_rate_the_latencies_of_the_last_line_belong_to(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])

    assert ended.value.code == 0
    assert "p50 and p99 are latencies at 20/s" in capsys.readouterr().out


def test_without_a_broker_to_be_had_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no java there

    assert command.main(["--short", "--results", str(tmp_path / "results"), "--directory", str(tmp_path)]) == 1

    assert "bench: error: java is not installed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
