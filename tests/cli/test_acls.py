"""`saga topics acls`: what it prints. That it suffices, and is no more than that, is shown in tests/security."""

from __future__ import annotations

import shlex

import pytest

from kafka_saga.messaging.embedded import embedded_broker
from tests.brokers import BrokerUnderTest
from tests.cli.conftest import Saga


def test_every_role_is_a_user_of_its_own_name_where_nothing_is_said(saga: Saga) -> None:
    rights = saga("topics", "acls", "-o", "json").json
    assert list(dict.fromkeys(right["principal"] for right in rights)) == [
        "User:orchestrator", "User:inventory", "User:orders", "User:payment", "User:client", "User:operator",
    ]  # fmt: skip


def test_only_a_service_and_an_operator_may_write_its_replies(saga: Saga) -> None:
    rights = saga("topics", "acls", "-o", "json").json
    for service in ("inventory", "orders", "payment"):
        writers = {
            right["principal"]
            for right in rights
            if (right["name"], right["operation"]) == (f"{service}.replies", "Write")
        }
        assert writers == {f"User:{service}", "User:operator"}


def test_nobody_may_alter_or_delete_and_only_an_operator_creates(saga: Saga) -> None:
    rights = saga("topics", "acls", "-o", "json").json
    assert {right["operation"] for right in rights} == {"Read", "Write", "Describe", "DescribeConfigs", "Create"}
    assert {right["principal"] for right in rights if right["operation"] == "Create"} == {"User:operator"}
    assert "*" not in {right["name"] for right in rights}


def test_the_lines_are_of_kafkas_own_tool_and_need_no_thought_about_quotes(saga: Saga) -> None:
    run = saga(
        "topics", "acls", "--principal", "payment=CN=pay ment,O=Shop", "--prefix", "shop.", "-b", "kafka-1:9093",
        "--command-config", "admin.properties",
    )  # fmt: skip
    assert [shlex.split(line) for line in run.out.splitlines()] == [
        [
            *("kafka-acls.sh", "--bootstrap-server", "kafka-1:9093", "--command-config", "admin.properties"),
            *("--add", "--allow-principal", "User:CN=pay ment,O=Shop", *more),
        ]
        for more in (
            ("--operation", "Read", "--operation", "DescribeConfigs", "--topic", "shop.payment.commands"),
            (
                *("--operation", "Write", "--topic", "shop.payment.replies"),
                *("--topic", "dlq.shop.payment.commands", "--topic", "dlq.shop.payment.replies"),
            ),
            ("--operation", "Read", "--group", "shop.payment"),
        )
    ]


def test_a_client_may_be_one_of_a_single_type(saga: Saga) -> None:
    rights = saga("topics", "acls", "--principal", "client:order=User:web", "-o", "jsonl").rows
    assert [(right["name"], right["operation"]) for right in rights] == [
        ("order.requests", "Write"),
        ("order.events", "Read"),
        ("dlq.order.requests", "Read"),
    ]


def test_a_principal_with_two_roles_has_the_rights_of_both_once(saga: Saga) -> None:
    both = saga("topics", "acls", "--principal", "orders=one", "--principal", "client=User:one", "-o", "json").json
    assert len(both) == len({tuple(right.values()) for right in both})
    assert {right["principal"] for right in both} == {"User:one"}
    assert {"order.requests", "orders.replies"} <= {right["name"] for right in both}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("payment", "--principal payment: write ROLE=PRINCIPAL, e.g. payment=User:payment"),
        ("shipping=x", "there is no role 'shipping'"),
        ("client:refund=x", "there is no role 'client:refund'"),
        ("=x", "write ROLE=PRINCIPAL"),
    ],
)
def test_a_role_that_does_not_exist_is_one_line_that_names_those_that_do(saga: Saga, given: str, said: str) -> None:
    run = saga("topics", "acls", "--principal", given)
    assert (run.exit_code, run.out, len(run.err.splitlines())) == (2, "", 1)
    assert said in run.err
    assert "no role" not in said or "orchestrator, inventory, orders, payment, client, operator" in run.err


@pytest.mark.real_kafka
def test_a_broker_without_an_authorizer_says_so(saga: Saga, kafka: BrokerUnderTest) -> None:
    run = saga("topics", "acls", "--apply", "-b", kafka.bootstrap_servers)
    assert run.exit_code == 4
    assert run.err == ("saga: this broker has no authorizer: set its authorizer.class.name, then grant rights\n")


def test_the_embedded_broker_has_no_rights_to_grant(saga: Saga) -> None:
    with embedded_broker() as broker:
        run = saga("topics", "acls", "--apply", "-b", broker.bootstrap_servers)
    assert (run.exit_code, run.err.strip()) == (
        4,
        "saga: this broker has no rights to grant: the embedded one has no authorizer",
    )
