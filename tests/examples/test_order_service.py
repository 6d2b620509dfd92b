"""The order service: it places an order and says how it ended, in words and in its exit code."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tests.examples.conftest import EXAMPLES
from tests.integration.world import World

PROGRAM = [sys.executable, str(EXAMPLES / "order_service.py")]


async def place(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["-b", world.kafka.bootstrap_servers, "--prefix", world.topics.prefix]
    command = [*PROGRAM, *where, *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=90, stdin=subprocess.DEVNULL
    )


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The events' names, in the order in which they were told."""
    return [line.split()[1] for line in done.stdout.splitlines()]


@pytest.mark.kafka
@pytest.mark.processes
async def test_an_order_is_followed_to_its_end(world: World) -> None:
    await world.start()
    done = await place(world, "--id", "order-1", "--item", "lamp=2", "--item", "book")
    assert (done.returncode, done.stderr) == (0, "")
    assert told(done) == ["placed", "started", *["step_succeeded"] * 2, "completed"]
    assert done.stdout.splitlines()[-1] == "order-1  completed      COMPLETED, step 3; done [1, 2, 3]"
    refused = await place(world, "--id", "order-2", "--customer", "broke")
    assert (refused.returncode, told(refused)[-2:]) == (1, ["compensating", "compensated"])
    assert refused.stdout.endswith("done [1], undone [1]; card declined: the balance is too low\n")
    again = await place(world, "--id", "order-1", "--replay")
    assert (again.returncode, told(again)) == (0, told(done)), "the same order again is the same saga"


@pytest.mark.kafka
async def test_without_its_topics_it_says_so(world: World) -> None:
    done = await place(world)
    assert (done.returncode, done.stdout) == (5, "")
    assert "is the orchestrator running?" in done.stderr


def test_help_says_what_the_exit_codes_mean() -> None:
    done = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True, check=True)
    assert "0 completed, 1 compensated" in " ".join(done.stdout.split())
