"""What all tests share: the broker of the run, started when the first test asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.brokers import BrokerUnderTest, NoBrokerError, open_broker

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the suite in the background has Ctrl-C ignored, and every process we start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_BROKER = pytest.StashKey[BrokerUnderTest]()
_USED_PREFIXES: list[str] = []
_SUITE_SECONDS: dict[str, float] = {}


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[BrokerUnderTest]:
    """The broker of this run (see tests/brokers.py). Topics are the test's own: use `topic_prefix`."""
    try:
        with open_broker() as broker:
            pytestconfig.stash[_BROKER] = broker
            yield broker
    except NoBrokerError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(autouse=True)
def _real_kafka_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("real_kafka") is None:
        return
    broker: BrokerUnderTest = request.getfixturevalue("kafka")
    if not broker.is_real:
        reasons = "; ".join(broker.skipped) or "SAGA_TEST_BROKER=embedded"
        pytest.skip(f"needs Apache Kafka; this run has the embedded broker ({reasons})")


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    broker = config.stash.get(_BROKER, None)
    if broker is not None:
        terminalreporter.write_line(broker.describe())
    if len(_SUITE_SECONDS) > 1:
        terminalreporter.section("time of each suite")
        for suite, seconds in sorted(_SUITE_SECONDS.items()):
            terminalreporter.write_line(f"{seconds:7.1f} s  {suite}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds up how long each suite takes: a suite is a folder of tests/."""
    suite = "/".join(report.nodeid.split("::")[0].split("/")[:2])
    _SUITE_SECONDS[suite] = _SUITE_SECONDS.get(suite, 0.0) + report.duration
