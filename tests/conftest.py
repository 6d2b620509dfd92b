"""What all tests share: the broker and the database server of the run, started when the first test asks for them."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from kafka_saga.runtime.postgres import PostgresUrl
from tests.brokers import BrokerUnderTest, open_broker
from tests.postgres import PostgresUnderTest, open_postgres
from tests.remarks import REMARKS
from tests.servers import NoServerError

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the suite in the background has Ctrl-C ignored, and every process we start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_BROKER = pytest.StashKey[BrokerUnderTest]()
_REMARKS_OF_WORKERS: list[str] = []
_USED_PREFIXES: list[str] = []
_SUITE_SECONDS: dict[str, float] = {}


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[BrokerUnderTest]:
    """The broker of this run (see tests/brokers.py). Topics are the test's own: use `topic_prefix`."""
    try:
        with open_broker() as broker:
            pytestconfig.stash[_BROKER] = broker
            pytestconfig.stash[REMARKS].append(broker.describe())
            yield broker
    except NoServerError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[PostgresUnderTest]:
    """The PostgreSQL server of this run (see tests/postgres.py). Databases are the test's own: use `postgres_url`."""
    try:
        with open_postgres() as server:
            pytestconfig.stash[REMARKS].append(server.describe())
            yield server
    except NoServerError as error:
        if os.environ.get("SAGA_TEST_POSTGRES"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
async def postgres_url(postgres: PostgresUnderTest) -> AsyncIterator[PostgresUrl]:
    """A new, empty database, dropped after the test with whoever is still connected."""
    name = f"test_{os.urandom(5).hex()}"
    yield PostgresUrl(await postgres.create_database(name))
    await postgres.drop_database(name)


@pytest.fixture(autouse=True)
def _real_kafka_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("real_kafka") is None:
        return
    broker: BrokerUnderTest = request.getfixturevalue("kafka")
    if not broker.is_real:
        reasons = "; ".join(broker.skipped) or "SAGA_TEST_BROKER=embedded"
        pytest.skip(f"needs Apache Kafka; this run has the embedded broker ({reasons})")


@pytest.fixture
def remark(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Says something at the end of the run: a figure that was measured on the way."""
    return pytestconfig.stash[REMARKS].append


@pytest.fixture
def topic_prefix(pytestconfig: pytest.Config) -> str:
    """A prefix that no other test, and no other run on the same broker, uses.

    The topics of the test before are deleted: with thousands of partitions a broker takes minutes to start again.
    """
    broker = pytestconfig.stash.get(_BROKER, None)
    if broker is not None and broker.is_real and _USED_PREFIXES:
        broker.delete_topics(_USED_PREFIXES)
        _USED_PREFIXES.clear()
    prefix = f"test-{os.urandom(5).hex()}."
    _USED_PREFIXES.append(prefix)
    return prefix


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REMARKS] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells the process that reports what there is to say."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["remarks"] = session.config.stash[REMARKS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _REMARKS_OF_WORKERS.extend(node.workeroutput["remarks"] if hasattr(node, "workeroutput") else ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for remark in dict.fromkeys(_REMARKS_OF_WORKERS or config.stash[REMARKS]):
        terminalreporter.write_line(remark)
    if len(_SUITE_SECONDS) > 1:
        terminalreporter.section("time of each suite")
        for suite, seconds in sorted(_SUITE_SECONDS.items()):
            terminalreporter.write_line(f"{seconds:7.1f} s  {suite}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds up how long each suite takes: a suite is a folder of tests/."""
    suite = "/".join(report.nodeid.split("::")[0].split("/")[:2])
    _SUITE_SECONDS[suite] = _SUITE_SECONDS.get(suite, 0.0) + report.duration
