"""schemathesis asks the real application, beside a running orchestrator and a broker, whatever its OpenAPI allows.

And much that it does not: no answer may be an error of ours, have an undocumented status or type, or differ from its
schema; what is not allowed must be refused, and what is allowed taken.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.app import registry_of, run_orchestrator
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.http.api.application import add_routes, described
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import open_desk
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.http.server import listen, serving
from kafka_saga.orchestrator.http.settings import Address
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.errors import StoreUnavailableError
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.runtime.serving import url_of
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.topics import TopicNames
from tests.brokers import BrokerUnderTest
from tests.contracts.stores import REQUEST

pytestmark = [
    pytest.mark.kafka,
    # schemathesis draws from `random` inside its own strategies, which is its business.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

FRESH = os.environ.get("SAGA_TEST_EXAMPLES")
EXAMPLES = int(FRESH or 5)
"""Made-up requests of each operation that its schema allows, and as many that it does not: the same ones in each run,
and others where SAGA_TEST_EXAMPLES says how many (`make schemathesis`)."""

STREAMS = "/events"
"""They do not end by themselves (tests/http/test_streams.py)."""


@dataclass
class Served:
    """An orchestrator and the application, in a thread with a loop of its own: the asker is not asynchronous."""

    settings: Settings
    url: str = ""
    failure: BaseException | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    _stop: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 -- told to the thread that waits
            self.failure = error
        finally:
            self.ready.set()

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        lifecycle, clock, chosen = Lifecycle(), SystemClock(), self.settings
        registry = registry_of(chosen)
        running = asyncio.create_task(run_orchestrator(lifecycle, chosen))
        try:
            await self._store_is_there(running)
            async with AsyncExitStack() as stack:
                desk = await stack.enter_async_context(
                    open_desk(
                        store_at=chosen.store_at,
                        registry=registry,
                        kafka=chosen.kafka,
                        topics=chosen.topics,
                        group=chosen.group_name,
                        clock=clock,
                        new_id=new_id,
                        may_write=True,
                    )
                )
                await self._fill(desk.producer, chosen.topics)
                app = create_app(desk, security=LocalSecurity("tester"))
                listening = listen(Address("127.0.0.1", 0))
                self.url = url_of(listening)
                await stack.enter_async_context(serving(app, listening, ending=desk.ending))
                self.ready.set()
                await self._stop.wait()
        finally:
            lifecycle.stop()
            await running

    async def _store_is_there(self, running: asyncio.Task[None]) -> None:
        while not running.done():
            try:
                await (await StoreReader.open(self.settings.store_at)).close()
            except StoreUnavailableError:
                await SystemClock().sleep(20)
            else:
                return
        running.result()

    async def _fill(self, producer: Producer, topics: TopicNames) -> None:
        """Some sagas, and a request that nobody can read."""
        values = [encode({**REQUEST, "order_id": f"order-{number}"}) for number in range(5)]
        await producer.publish([Message(topics.requests("order"), None, value) for value in [*values, b"no json"]])


@pytest.fixture(scope="module")
def served(kafka: BrokerUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("schema")
    given = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    one = Served(Settings(kafka=given, topics=TopicNames(prefix=f"schema-{new_id()[:8]}."), data_dir=folder))
    thread = threading.Thread(target=one.run, name="served")
    thread.start()
    try:
        assert one.ready.wait(60)
        if one.failure is not None:
            raise one.failure
        yield one
    finally:
        one.stop()
        thread.join(60)


def _operations() -> list[tuple[str, str, GenerationMode]]:
    """Every operation that the document has; what takes nothing cannot be asked wrongly."""
    app = FastAPI()
    add_routes(app, Registry([order_saga], {}))
    found = []
    for path, item in described(app)["paths"].items():
        for method, operation in item.items():
            takes = operation.get("parameters") or operation.get("requestBody")
            modes = list(GenerationMode) if takes else [GenerationMode.POSITIVE]
            found += [(method, path, mode) for mode in modes if not path.endswith(STREAMS)]
    return found


RULES_BEYOND_THE_SCHEMA = {
    "/sagas": "a cursor is one of ours",
    "/timers": "a cursor is one of ours",
    "/sagas/order": "the request's model: what numbers may be, and ids",
    "/bulk": "a list or a filter, and at least one saga",
    "/pauses": "a service or a type, and one of them",
    "/pauses/resume": "a service or a type, and one of them",
    "/dead-letters": "a moment is one that there is",
    "/dead-letters/redrive": "a position or a filter",
    "/dead-letters/discard": "a position or a filter, and a reason",
}
"""What JSON Schema cannot say of an operation, or not so that people understand it; then 422 is right."""

RULED = {"usage", "contract"}
"""The codes of such an answer."""


@pytest.fixture(scope="module")
def document(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"{served.url}/api/v1/openapi.json")


@pytest.mark.parametrize(("method", "path", "mode"), _operations())
def test_every_operation_answers_as_its_schema_says(
    document: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation = document[path][method.upper()]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=FRESH is None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # the first answer that is wrong says enough; a smaller one takes a hundred requests
    )
    def asked(case: Any) -> None:
        if isinstance(case.query, dict) and isinstance(case.query.get("waitMs"), int):
            case.query["waitMs"] = min(case.query["waitMs"], 50)  # the services do not run: what is sent never ends
        answer = case.call(timeout=30)
        is_ruled = path in RULES_BEYOND_THE_SCHEMA and answer.status_code == 422 and answer.json()["code"] in RULED
        case.validate_response(answer, excluded_checks=[positive_data_acceptance] if is_ruled else [])

    asked()
