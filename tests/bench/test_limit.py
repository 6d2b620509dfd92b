from __future__ import annotations

from bench.limit import Sample, bytes_of, messages_of, routes

SERVICES = ("inventory", "payment", "orders")
ONE: Sample = {
    "order.requests": [("{}", [])],
    **{f"{service}.commands": [(f"{service} command", [("ce_type", "command")])] for service in SERVICES},
    **{f"{service}.replies": [(f"{service} reply", [])] for service in SERVICES},
    "order.events": [("first", []), ("second", []), ("third", []), ("outcome", [("ce_type", "end")])],
}


def sent(plan: dict[str, dict[str, list[list[object]]]]) -> int:
    return sum(len(sends) for process in plan.values() for sends in process.values())


def walk(plan: dict[str, dict[str, list[list[object]]]], topic: str) -> list[str]:
    """The topics that follow from one message in `topic`."""
    sends = [send for process in plan.values() for send in process.get(topic, ())]
    found = [str(send[0]) for send in sends]
    return found + [further for reached in found for further in walk(plan, reached)]


def test_a_saga_s_messages_go_the_way_that_they_go_in_the_system() -> None:
    plan = routes(ONE, "p.", every_event=False)

    assert set(plan) == {"orchestrator", *SERVICES}
    assert walk(plan, "p.order.requests") == [
        "p.inventory.commands", "p.inventory.replies", "p.payment.commands", "p.payment.replies",
        "p.orders.commands", "p.orders.replies", "p.order.events",
    ]  # fmt: skip
    assert sent(plan) == 7  # and the request, which the load sends: 8


def test_every_message_is_as_many_as_the_system_publishes() -> None:
    plan = routes(ONE, "p.", every_event=True)

    assert sent(plan) + 1 == sum(messages_of(ONE).values()) == 11
    assert sorted(walk(plan, "p.order.requests")) == sorted(
        [f"p.{topic}" for topic, count in messages_of(ONE).items() if topic != "order.requests" for _ in range(count)]
    )


def test_the_outcome_is_passed_on_last_and_once() -> None:
    for every_event in (False, True):
        plan = routes(ONE, "", every_event=every_event)
        outcomes = [source for source, sends in plan["orchestrator"].items() for send in sends if send[1] == "outcome"]
        assert outcomes == ["orders.replies"]


def test_bytes_are_those_of_values_and_headers() -> None:
    assert bytes_of({"a": [("1234", [("name", "text")])], "b": [("12", [])]}) == 14
