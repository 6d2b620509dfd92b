"""The `saga` command as its users run it: a process, its exit code, and what it wrote to each stream."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest

from kafka_saga.orchestrator.cli import edge
from kafka_saga.orchestrator.cli.commands import app
from kafka_saga.orchestrator.machine.events import Replied
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation
from kafka_saga.orchestrator.store.port import Batch, Started
from kafka_saga.orchestrator.store.postgres.moving import move
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.orchestrator.testing import Story, given
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.orders import (
    ChargePayment,
    CreateOrder,
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    ReserveItems,
)
from tests.brokers import BrokerUnderTest
from tests.warm import run_warm

PATIENCE_S = 60
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """One command line that has ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What `-o jsonl` printed."""
        return [orjson.loads(line) for line in self.out.splitlines()]


class Saga(Protocol):
    def __call__(self, *arguments: str, stdin: str | None = None, **environment: str) -> Run: ...


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The variables of a user who has set nothing of ours but the data directory."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "SAGA_DATA_DIR": str(folder / "data"), **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kafka_saga.orchestrator.cli", *arguments]


INSIDE = frozenset({"list", "show", "log", "trace", "open", "config", "schemas"})
INSIDE |= {"retry", "skip", "cancel", "resolve", "acts", "pause", "resume", "pauses"}
"""Commands without logs and Kafka: they run in this process, at a tenth of the price of a new one."""


@pytest.fixture
def postgres_store() -> PostgresLocation | None:
    """Where the store of `fill_store` is, if not in its file: a module whose tests are for both overrides this."""
    return None


def either_store(request: pytest.FixtureRequest) -> PostgresLocation | None:
    """The value of `postgres_store` in a module that is run on both: parametrize the override over `STORES`."""
    if request.param == "sqlite":
        return None
    return PostgresLocation(request.getfixturevalue("postgres_url"))


STORES = ("sqlite", "postgres")


@pytest.fixture
def saga(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    postgres_store: PostgresLocation | None,
) -> Saga:
    """Runs one command line in a folder of the test's own; by a new interpreter in modules that say `IS_COLD`."""
    is_cold = getattr(request.module, "IS_COLD", False)
    where = {} if postgres_store is None else {"SAGA_STORE": postgres_store.url.secret_text}

    def run_inside(arguments: tuple[str, ...], more: dict[str, str]) -> Run:
        with monkeypatch.context() as patch:
            for name in os.environ:
                if name.startswith(("SAGA_", "KAFKA_", "COLUMNS")):
                    patch.delenv(name)
            for name, value in {"SAGA_DATA_DIR": str(tmp_path / "data"), **where, **more}.items():
                patch.setenv(name, value)
            patch.chdir(tmp_path)
            capsys.readouterr()
            exit_code = edge.run(app, arguments, INSIDE)
            return Run(exit_code, *capsys.readouterr())

    def run(*arguments: str, stdin: str | None = None, **more: str) -> Run:
        if arguments[0] in INSIDE and stdin is None:
            return run_inside(arguments, more)
        if not is_cold and "PYTHONPATH" not in more:  # the warm one has imported what it is to decide
            return Run(*run_warm(arguments, tmp_path, environment(tmp_path, **where, **more), stdin, PATIENCE_S))
        done = subprocess.run(
            command(*arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path, **where, **more),
            timeout=PATIENCE_S,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    return run


def order(order_id: str, customer: str = "alice") -> dict[str, Any]:
    return {
        "order_id": order_id,
        "customer_id": customer,
        "items": [{"sku": "lamp", "quantity": 1}],
        "amount": 4_990,
        "currency": "EUR",
    }


def waiting(order_id: str) -> Story:
    return given(order_saga, order(order_id), admitted=False)


def running(order_id: str) -> Story:
    """It waits for the payment."""
    story = given(order_saga, order(order_id))
    story.expect_command("inventory", ReserveItems).succeed(ItemsReserved(reservation_id="r-1"))
    return story


def completed(order_id: str) -> Story:
    story = running(order_id)
    story.expect_command("payment", ChargePayment).succeed(PaymentCharged(charge_id="c-1"))
    story.expect_command("orders", CreateOrder).succeed(OrderCreated(order_number="n-1"))
    return story


def compensated(order_id: str, error: str = "card declined") -> Story:
    story = compensating(order_id, error)
    story.apply(_released(Outcome.SUCCESS))
    return story


def compensating(order_id: str, error: str = "card declined") -> Story:
    story = running(order_id)
    story.expect_command("payment", ChargePayment).fail(error)
    return story


def parked(order_id: str) -> Story:
    """Its compensation was refused."""
    story = compensating(order_id)
    story.apply(_released(Outcome.FAILURE, error="no such reservation"))
    return story


def _released(outcome: Outcome, **body: str) -> Replied:
    return Replied("reserve_inventory", Phase.COMPENSATE, 1, outcome, attempt=1, body=body)


FillStore = Callable[..., Any]
"""Takes stories, and tells where the store is: a path, or a `PostgresLocation`."""


@pytest.fixture
def fill_store(tmp_path: Path, postgres_store: PostgresLocation | None) -> FillStore:
    """Writes stories into a store through the real adapter, `ages_s` seconds old, in the given order.

    Where it is on PostgreSQL, they are moved there as `saga store copy` does it.
    """

    def fill(*stories: Story, ages_s: tuple[int, ...] = (), pauses: tuple[Pause, ...] = ()) -> StoreLocation:
        path = tmp_path / "data" / "orchestrator.db"
        asyncio.run(_write(path, stories, ages_s or tuple(0 for _ in stories), pauses))
        if postgres_store is None:
            return path
        asyncio.run(move(path, postgres_store, SystemClock(), lambda *_: None))
        return postgres_store

    return fill


async def _write(path: Path, stories: tuple[Story, ...], ages_s: tuple[int, ...], pauses: tuple[Pause, ...]) -> None:
    clock = SystemClock()
    store = await open_store(path, clock)
    try:
        for story, age_s in zip(stories, ages_s, strict=True):
            began = clock.now_ms() - age_s * 1_000
            took = story.saga.updated_at - story.saga.created_at
            saga = replace(story.saga, created_at=began, updated_at=began + took)
            batch = Batch(clock.now_ms(), started=[Started(saga, b"\0" * 32)])
            batch.log = [(saga.ref, entry) for entry in story.log]
            await store.commit(batch)
        await store.commit(Batch(clock.now_ms(), pauses={pause.hold.scope: pause for pause in pauses}))
    finally:
        await store.close()


@dataclass(frozen=True)
class System:
    """A running orchestrator with its three participants, on topics of its own."""

    folder: Path
    variables: dict[str, str]


@pytest.fixture(scope="module")
def system(kafka: BrokerUnderTest) -> Iterator[System]:
    """The whole system as processes, started once for all tests of a module: while it runs it takes time of others."""
    with tempfile.TemporaryDirectory(prefix="saga-cli-") as name:
        folder = Path(name)
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SAGA_DATA_DIR": str(folder / "data"),
            "SAGA_TOPICS__PREFIX": f"cli-{os.urandom(4).hex()}.",
        }
        parts = ["orchestrator", "participant inventory", "participant payment", "participant orders"]
        processes = [_start(folder, part.split(), variables) for part in parts]
        try:
            for process in processes:
                _wait_until_ready(process)
            yield System(folder, variables)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(PATIENCE_S)
                assert process.stderr is not None
                process.stderr.close()


def _start(folder: Path, arguments: list[str], variables: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments, "--log-level", "info", "--log-format", "json"),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env=environment(folder, **variables),
    )


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if ".ready" in line:
            return
    pytest.fail(f"the process ended before it was ready: {''.join(said)}")
