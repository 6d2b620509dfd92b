"""What real processes show of themselves: health and metrics on their admin ports, and the notes that probes read."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from tests.integration.processes import ROOT, Process, run_saga, saga_command, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


def address(process: Process) -> str:
    [line] = [json.loads(line) for line in process.output().splitlines() if '"admin.ready"' in line]
    return str(line["url"])


async def test_every_process_is_ready_tells_its_metrics_and_is_gone_from_the_probe_when_it_has_ended(
    world: World,
) -> None:
    world.environment["SAGA_ADMIN_PORT"] = "0"
    await world.start()
    await world.order("order-1")
    await world.ended(1)
    scraped = {}
    async with httpx.AsyncClient() as client:
        for name, process in world.processes.items():
            ready = await client.get(f"{address(process)}/readyz?verbose")
            parts = [line.partition(":")[0] for line in ready.text.splitlines()]
            assert (ready.status_code, parts) == (200, ["[+]store", "[+]group", "[+]outbox", "ready"])
            scraped[name] = (await client.get(f"{address(process)}/metrics")).text
    assert 'saga_finished_total{outcome="completed",saga="order"} 1.0' in scraped["orchestrator"]
    assert 'saga_parked{saga="order"} 0.0' in scraped["orchestrator"]
    answered = 'saga_participant_commands_total{command="chargePayment",outcome="success",service="payment"} 1.0'
    assert answered in scraped["payment"]
    told = set(re.findall(r"^\| `(saga_\w+)`", (ROOT / "docs" / "observability.md").read_text(), re.MULTILINE))
    shown = set(re.findall(r"^# TYPE (saga_\w+)", "\n".join(scraped.values()), re.MULTILINE))
    assert {name for name in shown if not name.endswith("_created")} <= told

    def probed() -> int:
        return run_saga(world.environment, "health").returncode

    await until("all have written their notes", lambda: probed() == 0)
    assert world.processes["payment"].terminate() == 0
    assert run_saga(world.environment, "health", "payment").returncode == 3
    assert run_saga(world.environment, "health", "payment", "--exec").returncode == 3
    quiet = run_saga(world.environment, "health", "--exec")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert run_saga(world.environment, "health", "orchestrator", "--live").returncode == 0


async def test_a_dashboard_leaves_a_note_for_the_probe_as_every_process_does(world: World) -> None:
    await world.start()
    dashboard = world.add("dashboard", saga_command("dashboard", "--http", "127.0.0.1:0"))
    dashboard.start()

    def probed() -> int:
        return run_saga(world.environment, "health", "dashboard").returncode

    await until("it has written its note", lambda: probed() == 0)
    assert dashboard.terminate() == 0
    assert probed() == 3
