from __future__ import annotations

import json
from pathlib import Path

from bench.results import Results


def begun(parent: Path, stamp: str, kind: str, parts: dict[str, dict[str, object]]) -> Path:
    directory = parent / stamp
    directory.mkdir()
    content = {"kind": kind, "began_at": stamp, "machine": {}, "sections": parts}
    (directory / "results.json").write_text(json.dumps(content))
    return directory


def test_a_part_is_on_the_disk_as_soon_as_it_is_kept(tmp_path: Path) -> None:
    results = Results.begin("full", tmp_path)

    results.keep("latency", "20/s", {"p50": 1.5})

    content = json.loads((results.directory / "results.json").read_text())
    assert content["sections"]["latency"]["20/s"]["p50"] == 1.5
    assert {"cores", "memory_gb", "python", "sqlite", "kafka", "aiokafka", "commit"} <= set(content["machine"])


def test_a_resumed_run_has_what_was_kept_and_lacks_what_was_not(tmp_path: Path) -> None:
    Results.begin("full", tmp_path).keep("latency", "1/s", {"p50": 1.0})

    resumed = Results.resume("full", tmp_path)

    assert resumed is not None
    assert resumed.has("latency", "1/s")
    assert not resumed.has("latency", "20/s")
    assert not resumed.has("limit", "1/s")


def test_each_part_says_of_which_commit_it_is(tmp_path: Path) -> None:
    results = Results.begin("short", tmp_path)

    results.keep("latency", "1/s", {})

    assert set(results.sections["latency"]["1/s"]) == {"commit", "load_average"}


def test_the_newest_run_of_the_same_kind_is_resumed(tmp_path: Path) -> None:
    begun(tmp_path, "20260101-000000", "full", {"latency": {"old": {}}})
    newest = begun(tmp_path, "20260102-000000", "full", {"latency": {"new": {}}})
    begun(tmp_path, "20260103-000000", "short", {})

    resumed = Results.resume("full", tmp_path)

    assert resumed is not None
    assert resumed.directory == newest
    assert resumed.has("latency", "new")


def test_without_a_run_of_that_kind_there_is_nothing_to_resume(tmp_path: Path) -> None:
    begun(tmp_path, "20260103-000000", "short", {})

    assert Results.resume("full", tmp_path) is None
