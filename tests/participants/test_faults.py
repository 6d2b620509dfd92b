from __future__ import annotations

from collections.abc import Mapping

import pytest

from kafka_saga import Rejected
from kafka_saga.participants.faults import FaultInjector, FaultKind, FaultRule, Faults, InjectedFault
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.schemas.envelope import CommandHead, Outcome
from kafka_saga.schemas.ids import CommandId, Phase
from tests.participants.shop import SCHEMA, Do, make_shop


def head(saga_id: str = "order-1", *, command_type: str = "createOrder", attempt: int = 1) -> CommandHead:
    parsed = CommandId("order", saga_id, "create_order", Phase.FORWARD, 1)
    return CommandHead(str(parsed), parsed, command_type, "orders.replies", attempt, 0)


def injector(**environment: str) -> FaultInjector:
    return FaultInjector(Faults.from_environment({"SAGA_ALLOW_FAULTS": "1", **environment}))


def test_every_option_is_read() -> None:
    faults = Faults.from_environment(
        {
            "SAGA_ALLOW_FAULTS": "1",
            "SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed",
            "SAGA_FAULT_RAISE": "createOrder:saga=order:7:first=2:text=at: db=1; *:every=3",
            "SAGA_FAULT_LATE": "chargePayment:ms=6000",
            "PATH": "/bin",
        }
    )
    assert set(faults.rules) == {
        FaultRule(kind=FaultKind.REJECT, command_type="createOrder", every=5, text="Database connection failed"),
        FaultRule(kind=FaultKind.RAISE, command_type="createOrder", saga="order:7", first=2, text="at: db=1"),
        FaultRule(kind=FaultKind.RAISE, command_type="*", every=3),
        FaultRule(kind=FaultKind.LATE, command_type="chargePayment", delay_ms=6_000),
    }


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"SAGA_FAULT_EXPLODE": "createOrder"}, "not known; there are SAGA_FAULT_REJECT"),
        ({"SAGA_FAULT_REJECT": "createOrder:evry=5"}, "is no command type"),
        ({"SAGA_FAULT_REJECT": "createOrder:every=0"}, "no whole number above 0"),
        ({"SAGA_FAULT_REJECT": "createOrder:every=x"}, "no whole number above 0"),
        ({"SAGA_FAULT_REJECT": "createOrder:saga=a b"}, "is no saga id"),
        ({"SAGA_FAULT_LATE": "createOrder"}, "LATE needs it"),
        ({"SAGA_FAULT_LOSE": "createOrder:ms=5"}, "the others do not take it"),
        ({"SAGA_FAULT_LOSE": "createOrder:text=x"}, "text= is for REJECT and RAISE"),
        ({"SAGA_FAULT_CRASH": "create order"}, "is no command type"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(environment: Mapping[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Faults.from_environment({"SAGA_ALLOW_FAULTS": "1", **environment})


@pytest.mark.parametrize("allowed", [{}, {"SAGA_ALLOW_FAULTS": "true"}])
def test_faults_are_refused_unless_they_are_allowed(allowed: Mapping[str, str]) -> None:
    with pytest.raises(ConfigError, match="set SAGA_ALLOW_FAULTS=1"):
        Faults.from_environment({"SAGA_FAULT_LOSE": "createOrder", **allowed})
    assert Faults.from_environment(allowed) == Faults()


def rejected(faults: FaultInjector, command: CommandHead) -> str | None:
    try:
        faults.before_handler(command)
    except (Rejected, InjectedFault) as fault:
        return str(fault)
    return None


def test_every_nth_of_the_commands_that_match() -> None:
    faults = injector(SAGA_FAULT_REJECT="createOrder:every=3:text=no")
    said = [rejected(faults, head(f"order-{number}")) for number in range(6)]
    assert said == [None, None, "no", None, None, "no"]
    assert rejected(faults, head(command_type="cancelOrder")) is None


def test_one_saga_and_the_first_attempts() -> None:
    faults = injector(SAGA_FAULT_RAISE="createOrder:saga=order-123:first=2:text=Database connection failed")
    said = [rejected(faults, head("order-123", attempt=attempt)) for attempt in (1, 2, 3)]
    assert said == ["Database connection failed", "Database connection failed", None]
    assert rejected(faults, head("order-124")) is None


def test_replies_are_lost_or_late() -> None:
    faults = injector(SAGA_FAULT_LOSE="*:every=2", SAGA_FAULT_LATE="createOrder:first=1:ms=700")
    assert [faults.must_lose(head()) for _ in range(4)] == [False, True, False, True]
    assert [faults.delay_ms(head(attempt=attempt)) for attempt in (1, 2)] == [700, 0]
    assert not faults.must_crash(head())


@pytest.mark.parametrize(("variable", "outcome"), [("REJECT", Outcome.FAILURE), ("RAISE", Outcome.RETRY)])
async def test_the_seeds_error_comes_out_of_the_guard(variable: str, outcome: Outcome) -> None:
    """R10: both ways to the same text."""
    rule = "do:saga=order-123:text=Database connection failed"
    faults = Faults.from_environment({"SAGA_ALLOW_FAULTS": "1", f"SAGA_FAULT_{variable}": rule})
    async with await Harness.open(make_shop(), schema=SCHEMA, faults=faults) as harness:
        for attempt in (1, 2, 3, 4):
            reply = await harness.send(Do(), saga_id="order-123", step="create_order", attempt=attempt)
            assert (reply.outcome, reply.error) == (outcome, "Database connection failed")
        assert (await harness.send(Do(), saga_id="order-124", step="create_order")).outcome is Outcome.SUCCESS
        assert await harness.fetch_all("SELECT saga_id FROM effects") == [("order-124",)]
