"""Which broker a test run takes (tests/brokers.py)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import pytest

from tests.brokers import BrokerUnderTest, Starter, open_broker
from tests.servers import NoServerError


def starters(*there: str) -> dict[str, Starter]:
    def starter(kind: str) -> Starter:
        def start(_stack: ExitStack, _environ: Mapping[str, str]) -> BrokerUnderTest:
            if kind not in there:
                raise NoServerError(f"no {kind} here")
            return BrokerUnderTest(kind, "127.0.0.1:1")

        return start

    return {kind: starter(kind) for kind in ("env", "docker", "maven", "embedded")}


def chosen(choice: str, *there: str) -> BrokerUnderTest:
    with open_broker({"SAGA_TEST_BROKER": choice}, starters(*there)) as broker:
        return broker


def test_the_first_that_is_there_is_taken_and_the_others_reasons_are_kept() -> None:
    assert chosen("", "env", "docker", "maven", "embedded").kind == "env"
    broker = chosen("", "maven", "embedded")
    assert (broker.kind, broker.is_real) == ("maven", True)
    assert "not env: no env here" in broker.describe()
    assert "not docker: no docker here" in broker.describe()
    assert not chosen("", "embedded").is_real


def test_a_run_that_must_be_real_fails_rather_than_taking_the_embedded_broker() -> None:
    assert chosen("real", "maven", "embedded").kind == "maven"
    with pytest.raises(NoServerError, match="no docker here; maven: no maven here"):
        chosen("real", "embedded")


def test_a_forced_kind_is_the_only_one_tried() -> None:
    assert chosen("embedded", "env", "embedded").kind == "embedded"
    with pytest.raises(NoServerError, match="no docker here"):
        chosen("docker", "env", "maven")
    with pytest.raises(NoServerError, match="must be real"):
        chosen("rael", "env")
