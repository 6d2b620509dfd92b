"""Health and metrics on the admin port, and the note that exec probes read."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from kafka_saga.runtime import health as health_module
from kafka_saga.runtime import probe
from kafka_saga.runtime.admin import Admin
from kafka_saga.runtime.admin_port import AdminPort
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import RefusedError
from kafka_saga.runtime.health import Finding, Health, is_ready
from kafka_saga.runtime.metrics import SECONDS, Histogram, Meter, Metrics
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.runtime.serving import listen
from kafka_saga.runtime.showing import shown


def fine() -> Finding:
    return Finding(ok=True, seen="answered 1 ms ago")


@pytest.fixture
def health() -> Health:
    health = Health("orchestrator", asyncio.Event())
    health.add("store", fine)
    health.started()
    return health


async def get(admin: Admin, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(admin), base_url="http://admin") as client:
        return await client.request(method, path)


async def test_a_process_that_has_not_begun_is_alive_and_not_ready() -> None:
    admin = Admin(Health("orchestrator", asyncio.Event()), Metrics(lambda: 0.0))
    assert (await get(admin, "/livez")).status_code == 200
    answer = await get(admin, "/readyz?verbose")
    assert (answer.status_code, answer.text[:11]) == (503, "[-]starting")


async def test_a_process_that_was_told_to_stop_is_alive_and_not_ready(health: Health) -> None:
    admin = Admin(health, Metrics(lambda: 0.0))
    assert (await get(admin, "/readyz")).text == "ok\n"
    health._stopping.set()
    assert (await get(admin, "/readyz")).text == "not ready: stopping\n"
    assert (await get(admin, "/readyz")).status_code == 503
    assert (await get(admin, "/livez")).status_code == 200


async def test_one_part_that_fails_makes_it_unready_and_the_verbose_answer_says_which(health: Health) -> None:
    health.add("group", lambda: Finding(ok=False, seen="it is not in its group"))
    answer = await get(Admin(health, Metrics(lambda: 0.0)), "/readyz?verbose")
    assert answer.status_code == 503
    assert answer.text.splitlines() == [
        "[+]store: answered 1 ms ago", "[-]group: it is not in its group", "not ready",
    ]  # fmt: skip


async def test_a_look_that_raises_or_hangs_is_a_part_that_fails(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raises() -> Finding:
        raise OSError("gone")

    async def hangs() -> Finding:
        await asyncio.Event().wait()
        return fine()

    monkeypatch.setattr(health_module, "READY_LOOK_TIMEOUT_MS", 20)
    health.add("database", raises)
    health.add("disk", hangs)
    findings = await health.findings()
    assert not is_ready(findings)
    assert findings["database"].seen == "OSError: gone"
    assert findings["disk"].seen == "no answer within 20 ms"


async def test_other_paths_and_methods_are_refused(health: Health) -> None:
    admin = Admin(health, Metrics(lambda: 0.0))
    assert (await get(admin, "/")).status_code == 404
    assert (await get(admin, "/metrics", "POST")).status_code == 405
    assert (await get(admin, "/livez", "HEAD")).content == b""


async def test_metrics_are_served_in_the_form_that_was_asked_for_and_from_a_registry_of_their_own(
    health: Health,
) -> None:
    metrics = Metrics(lambda: 0.25)
    answer = await get(Admin(health, metrics), "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "saga_event_loop_lag_seconds 0.25" in answer.text
    assert 'saga_build_info{version="' in answer.text
    assert "process_resident_memory_bytes" in answer.text
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("saga_")]


def test_a_histogram_counts_each_value_in_every_bucket_that_it_fits() -> None:
    histogram = Histogram(Meter("saga_step_duration_seconds", "How long.", ("step",)), SECONDS)
    for value in (0.004, 0.005, 0.3, 60.0):
        histogram.observe(("pay",), value)
    counts = {sample.labels.get("le"): sample.value for sample in histogram.family().samples}
    assert (counts["0.005"], counts["0.25"], counts["0.5"], counts["10.0"], counts["+Inf"]) == (2, 2, 3, 3, 4)
    assert counts[None] == pytest.approx(60.309)


async def test_what_does_not_answer_costs_a_scrape_its_own_numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka_saga.runtime import metrics as module  # noqa: PLC0415 -- patched here only

    asked: list[str] = []

    async def fails() -> None:
        asked.append("failing")
        raise OSError("no store")

    async def hangs() -> None:
        asked.append("hanging")
        await asyncio.Event().wait()

    async def answers() -> None:
        asked.append("answering")

    monkeypatch.setattr(module, "SCRAPE_READ_TIMEOUT_MS", 20)
    metrics = Metrics(lambda: 0.0)
    for read in (hangs, fails, answers):
        metrics.add(list, read)
    for _ in range(2):
        text, _ = await metrics.exposition()
        assert b"saga_build_info" in text
    assert asked == ["hanging", "failing", "answering", "failing", "answering"]  # who hangs is not asked again
    (hanging,) = (task for task in metrics._reading.values() if not task.done())
    hanging.cancel()


async def test_the_port_is_served_until_the_block_ends_and_free_again_then() -> None:
    lifecycle, clock = Lifecycle(), SystemClock()
    listening = listen("127.0.0.1", 0, "--admin-port")
    port = listening.getsockname()[1]
    with pytest.raises(RefusedError, match=f"cannot listen on 127.0.0.1:{port}: .*; choose another with --admin-port"):
        async with shown(AdminPort(port), lifecycle, "orchestrator", clock):
            pass
    listening.close()
    async with shown(AdminPort(port), lifecycle, "orchestrator", clock) as of_us:
        of_us.health.started()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/readyz")).text == "ok\n"
            lifecycle.stop()
            assert (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 503
    await lifecycle.join()
    listen("127.0.0.1", port, "--admin-port").close()


async def test_the_note_tells_probes_how_the_process_is_and_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kafka_saga.runtime import heartbeat  # noqa: PLC0415 -- patched here only

    monkeypatch.setattr(heartbeat, "HEARTBEAT_MS", 1)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_NOTE_MS", 1)
    lifecycle, folder = Lifecycle(), tmp_path / "nobody-made-it"

    async def said(ready: bool) -> probe.Seen:
        while True:
            for seen in probe.look(folder):
                if seen.is_ready is ready:
                    return seen
            await SystemClock().sleep(5)

    async with shown(AdminPort(folder=folder), lifecycle, "payment", SystemClock(), name="payment.one") as of_us:
        seen = await said(ready=False)
        assert "not ready: starting" in seen.in_words()
        assert probe.judge([seen], live_only=False) == probe.FAILED
        assert probe.judge([seen], live_only=True) == probe.OK
        of_us.health.started()
        seen = await said(ready=True)
        assert probe.look(folder, "payment") != []
        assert probe.look(folder, "payment.one") != []
        assert probe.look(folder, "orders") == []
        assert probe.main([str(folder)]) == probe.OK
    await lifecycle.join()
    assert probe.main([str(folder)]) == probe.NOT_FOUND


def test_a_note_that_stands_still_is_of_a_process_that_is_not_alive(tmp_path: Path) -> None:
    (tmp_path / "orders.health").write_text(
        json.dumps({"process": "orders", "beat_at_ms": -60_000, "findings": {}, "admin": None})
    )
    (tmp_path / "half.health").write_text('{"process"')
    [seen] = probe.look(tmp_path)
    assert "not alive" in seen.in_words()
    assert probe.judge([seen], live_only=True) == probe.FAILED


async def test_a_probe_of_a_port_that_nobody_serves_says_that_it_is_unreachable() -> None:
    listening = listen("127.0.0.1", 0, "--admin-port")
    port = listening.getsockname()[1]
    listening.close()
    code, text = probe.ask(f"127.0.0.1:{port}", live_only=True)
    assert (code, "does not answer" in text) == (probe.UNREACHABLE, True)


async def test_the_probe_imports_no_library() -> None:
    program = "import sys, kafka_saga.runtime.probe as _; print({'structlog', 'pydantic', 'aiokafka'} & {*sys.modules})"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"set()\n"
