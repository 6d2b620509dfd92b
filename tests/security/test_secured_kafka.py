"""The whole system on a Kafka with TLS, users and rights: each role does its work under the least rights, and no more.

One broker for all of it: who logs in by which mechanism is in the table `WAYS`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from kafka_saga.client import SagaClient
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.errors import NotAllowedError, PublishRefusedError
from kafka_saga.messaging.group_consumer import GroupConsumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicSpec, create_topics, list_topics
from kafka_saga.orchestrator.operations.kafka.rights import acls_of, read_principals
from kafka_saga.orchestrator.registry import Registry, load_definitions
from kafka_saga.runtime.errors import BrokerUnavailableError, ConfigError
from tests.integration.processes import CLOCK, PATIENCE_MS
from tests.integration.world import order
from tests.messaging.certificates import Authority
from tests.security.secured_kafka import ADMIN, SESSION_MS, USERS, Relay, SecuredKafka, secured_kafka
from tests.security.shop import (
    PREFIX,
    PRINCIPALS,
    TOPICS,
    WAYS,
    SecuredWorld,
    change_password,
    comes_to_see,
    environment_of,
    kafkas_word,
    one_client,
    seen,
    settings_of,
)
from tests.warm import run_warm

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(240),
    # A TLS connection that was let go of ends when the broker has said goodbye, too: maybe after the test's own loop.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Saga = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """The broker, with the rights that an administrator had granted and the topics that an operator has created."""
    with secured_kafka() as kafka:
        folder = tmp_path_factory.mktemp("setup")
        roles = [word for role in WAYS if role != "nobody" for word in ("--principal", f"{role}={PRINCIPALS[role]}")]
        for environment, *arguments in (
            (kafka.environment("USERS", ADMIN), "topics", "acls", "--apply", *roles),
            (environment_of(kafka, "operator"), "topics", "create"),
        ):
            code, out, err = run_warm(
                tuple(arguments), folder, {"SAGA_TOPICS__PREFIX": PREFIX, **environment}, None, PATIENCE_MS / 1_000
            )
            assert code == 0, out + err
        yield kafka
    gc.collect()  # what is said of connections is to be said while it is known why


@pytest.fixture
def saga(secured: SecuredKafka, tmp_path: Path) -> Saga:
    """A command of somebody's: its exit code, and what it wrote to each stream."""

    def run(role: str, *arguments: str, stdin: str | None = None, **more: str) -> tuple[int, str, str]:
        environment = {"SAGA_TOPICS__PREFIX": PREFIX, "SAGA_DATA_DIR": str(tmp_path), "SAGA_LOG_FORMAT": "json"}
        return run_warm(
            arguments, tmp_path, environment | environment_of(secured, role) | more, stdin, PATIENCE_MS / 1_000
        )

    return run


# --- everybody does their work ------------------------------------------------------------------


@pytest.fixture
async def world(secured: SecuredKafka, tmp_path: Path) -> AsyncIterator[SecuredWorld]:
    world = SecuredWorld(secured, tmp_path)
    yield world
    await world.stop()


async def test_orders_are_carried_out_and_undone_by_users_who_may_do_no_more_than_that(
    secured: SecuredKafka, world: SecuredWorld, saga: Saga
) -> None:
    await world.start()
    await world.order("order-1")
    await world.order("order-2", customer_id="declined")
    async with SagaClient(kafka=settings_of(secured, "client"), prefix=PREFIX) as sagas:
        assert (await sagas.run(order("order-3"), saga_type="order")).state == "COMPLETED"
    outcomes = await world.ended(3)
    world.books.check(outcomes)

    code, out, _err = saga("operator", "doctor", "-o", "json")
    found = {line["check"]: line["verdict"] for line in json.loads(out)}
    assert "rights" not in found, out
    assert {found[check] for check in ("broker", "topics", "topic settings", "clock")} == {"ok"}, out
    assert code in {0, 1, 6}  # the machine's disk and the like are not this test's
    assert saga("operator", "dlq", "list", "-o", "json")[:2] == (0, "[]\n")
    code, out, err = saga("operator", "tail", "--topic", f"{PREFIX}order.events", "--no-follow")
    assert code == 0, err
    for process in world.processes.values():
        assert process.terminate() == 0, process.output()[-2_000:]

    said = "".join(process.output() for process in world.processes.values())
    for secret in (*USERS.values(), secured.token_file("inventory").read_text().strip(), "PRIVATE KEY"):
        assert secret not in said
    assert "not_authorised" not in said
    assert "lacks the right" not in said


# --- and nothing else ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", [role for role in WAYS if role != "nobody"])
async def test_the_broker_allows_each_role_just_what_the_command_prints(secured: SecuredKafka, role: str) -> None:
    registry = Registry(load_definitions(["kafka_saga.orchestrator.sagas.order"]))
    principals = read_principals([f"{role}={PRINCIPALS[role]}"], registry)
    granted = {acl for acl in acls_of(principals, registry, TOPICS, f"{PREFIX}orchestrator") if acl.resource == "topic"}
    expected = {(acl.name, acl.operation) for acl in granted}
    expected |= {(name, "Describe") for name, operation in expected if operation in {"Read", "Write"}}
    every = sorted(await list_topics(secured.settings("USERS", ADMIN)))
    assert len(every) == 16
    assert kafkas_word(secured, role, every) == expected


async def refused_publish(settings: KafkaSettings, topic: str) -> PublishRefusedError:
    producer = Producer(settings)
    try:
        with pytest.raises(PublishRefusedError) as caught:
            await producer.publish([Message(topic, b"order-1", b"{}")])
    finally:
        await producer.stop()
    return caught.value


@pytest.mark.parametrize(
    ("role", "topic"),
    [
        ("payment", "inventory.replies"),  # a service answers for another
        ("inventory", "payment.replies"),
        ("payment", "inventory.commands"),  # a service commands another
        ("orders", "order.requests"),
        ("orders", "order.events"),
        ("orchestrator", "payment.replies"),
        ("orchestrator", "order.requests"),
        ("client", "order.events"),
        ("client", "payment.commands"),
        ("operator", "order.events"),
        ("nobody", "order.requests"),
        ("nobody", "no.such.topic"),
    ],
)
async def test_who_writes_what_is_not_theirs_is_told_topic_right_and_principal(
    secured: SecuredKafka, role: str, topic: str
) -> None:
    found = await refused_publish(settings_of(secured, role), PREFIX + topic)
    assert found.reason == "not_authorised"
    assert found.exit_code == 4
    assert f"{PRINCIPALS[role]} lacks the right Write on topic {PREFIX}{topic}" in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("role", "topic"),
    [
        ("payment", "inventory.commands"),
        ("client", "payment.commands"),
        ("orders", "payment.replies"),
        ("nobody", "order.events"),
    ],
)
async def test_who_reads_what_is_not_theirs_is_told_so(secured: SecuredKafka, role: str, topic: str) -> None:
    consumer = Consumer(settings_of(secured, role), [PREFIX + topic], group="any")

    async def read() -> None:
        await consumer.start({})
        await consumer.poll(5_000, 1)

    try:
        with pytest.raises(NotAllowedError) as caught:
            await read()
    finally:
        await consumer.stop()
    assert str(caught.value).startswith(f"{PRINCIPALS[role]} lacks the right Read on topic {PREFIX}{topic}: have it ")


async def test_a_service_can_neither_use_anothers_group_nor_make_topics(secured: SecuredKafka) -> None:
    settings = settings_of(secured, "payment")
    cluster = Cluster(settings)
    try:
        with pytest.raises(NotAllowedError, match=r"User:CN=payment lacks the right Read on group shop\.inventory"):
            await cluster.commit(f"{PREFIX}inventory", {TopicPartition(f"{PREFIX}payment.commands", 0): 0}, "")
    finally:
        await cluster.close()
    (report,) = await create_topics(settings, [TopicSpec(f"{PREFIX}payment.extra", 1)])
    assert (report.outcome, report.detail) == (
        "refused",
        "User:CN=payment lacks the right Create on topic shop.payment.extra",
    )


class Reader:
    """The owner of a group member's partitions."""

    def __init__(self) -> None:
        self.held: frozenset[TopicPartition] = frozenset()

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.held = partitions
        return {}

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.held -= partitions


@pytest.mark.parametrize(("group", "joins"), [("payment", True), ("inventory", False)])
async def test_workers_of_a_service_join_its_group_and_no_other(
    secured: SecuredKafka, group: str, *, joins: bool
) -> None:
    reader = Reader()
    member = GroupConsumer(
        settings_of(secured, "payment"),
        [TOPICS.commands("payment")],
        group=PREFIX + group,
        member="payment-1",
        owner=reader,
    )

    async def take_part() -> None:
        await member.start()
        while not reader.held:
            await member.poll(200, 1)
        await member.leave()

    try:
        if joins:
            await asyncio.wait_for(take_part(), PATIENCE_MS / 1_000)
        else:
            with pytest.raises(NotAllowedError, match=r"User:CN=payment lacks the right Read on group shop\.inventory"):
                await take_part()
    finally:
        await member.stop()


# --- what a user sees ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "arguments", "said"),
    [
        ("nobody", "orchestrator", "lacks the right Create on topic shop.order.requests"),
        ("nobody", "orchestrator --no-create-topics", "lacks the right Read on topic shop.inventory.replies"),
        ("nobody", "participant payment", "lacks the right Read on topic shop.payment.commands"),
        ("nobody", "submit order --file -", "lacks the right Write on topic shop.order.requests"),
        ("nobody", "tail --topic shop.order.events", "lacks the right Read on topic shop.order.events"),
        ("nobody", "topics acls --apply", "lacks the right Alter on the cluster"),
        ("orders", "participant payment", "lacks the right Read on topic shop.payment.commands"),
        ("client", "orchestrator --no-create-topics", "lacks the right Read on topic shop.inventory.replies"),
        ("orchestrator", "orchestrator", "lacks the right Read on group other"),
    ],
)
def test_a_command_without_a_right_ends_with_one_line_and_exit_code_4(
    saga: Saga, role: str, arguments: str, said: str
) -> None:
    code, out, err = saga(role, *arguments.split(), stdin=json.dumps(order("order-9")), SAGA_GROUP="other")
    last = err.splitlines()[-1]
    assert code == 4, err
    assert f"{PRINCIPALS[role]} {said}" in last
    assert [line for line in err.splitlines() if '"level":"error"' in line] == []
    assert "Traceback" not in err + out
    assert USERS["nobody"] not in err + out


def test_doctor_tells_what_it_may_not_see_from_what_is_missing(saga: Saga) -> None:
    _code, out, _err = saga("client", "doctor", "-o", "json")
    rights = [line["found"] for line in json.loads(out) if line["check"] == "rights"]
    assert any(line.startswith("User:client lacks the right Describe on topic ") for line in rights), out
    assert any("lacks the right Read on group shop.orchestrator" in line for line in rights), out
    assert not any("missing" in line["found"] for line in json.loads(out)), out


# --- what is renewed on disk ---------------------------------------------------------------------


async def publishes(producer: Producer, topic: str) -> bool:
    """Whether a message is taken."""
    try:
        await producer.publish([Message(topic, b"k", b"{}")])
    except (BrokerUnavailableError, PublishRefusedError):
        return False
    return True


async def after_sessions_end(producer: Producer, topic: str) -> None:
    """Use connections beyond the time after which the broker ends them."""
    until = CLOCK.monotonic_ms() + 2 * SESSION_MS
    while CLOCK.monotonic_ms() < until or not await publishes(producer, topic):
        assert CLOCK.monotonic_ms() < until + PATIENCE_MS
        await CLOCK.sleep(200)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_connection_that_the_broker_ends_is_made_again(secured: SecuredKafka, mechanism: str) -> None:
    topic = TOPICS.requests("order")
    producer = Producer(secured.settings("BRIEF", "client", sasl_mechanism=mechanism))
    await after_sessions_end(producer, topic)
    await producer.stop()


async def test_a_password_that_is_changed_there_and_on_disk_is_used_from_the_next_connection_on(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("before\n")
    change_password(secured, "rotating", "before")
    settings = secured.settings("BRIEF", ADMIN, sasl_username="rotating", sasl_password=None, sasl_password_file=file)
    async with one_client(settings) as client:
        assert await seen(client) == set()
        change_password(secured, "rotating", "after")
        await comes_to_see(client, None)  # the session has ended, and the old password is none any more
        file.write_text("after\n")
        await comes_to_see(client, set())
        file.unlink()
        await CLOCK.sleep(SESSION_MS)
        await comes_to_see(client, set())  # by what stood there last
    with pytest.raises(ConfigError, match=r"sasl_password_file .* cannot be read: No such file"):
        await list_topics(settings)


async def test_a_token_is_replaced_before_it_runs_out(secured: SecuredKafka, tmp_path: Path) -> None:
    file, own = tmp_path / "token", {f"{PREFIX}inventory.{end}" for end in ("commands", "replies")}
    own |= {f"dlq.{name}" for name in own}
    file.write_text(secured.token("inventory", valid_s=4))
    async with one_client(secured.settings("TOKENS", "inventory", sasl_oauth_token_file=file)) as client:
        assert await seen(client) == own
        file.write_text(secured.token("stranger"))
        await comes_to_see(client, set())  # the broker has ended the session with the first token


async def test_certificates_key_and_authority_are_those_on_disk(secured: SecuredKafka, tmp_path: Path) -> None:
    own, folder = {f"{PREFIX}payment.{end}" for end in ("commands", "replies")}, secured.authority.folder
    own |= {f"dlq.{name}" for name in own}
    files = {end: tmp_path / f"client.{end}" for end in ("crt", "key", "ca")}

    def put(user: str, authority: Path) -> None:
        for end in ("crt", "key"):
            shutil.copy(folder / f"{user}.{end}", files[end])
        shutil.copy(authority, files["ca"])

    put("nobody", secured.authority.certificate)
    paths = {"ssl_certfile": "crt", "ssl_keyfile": "key", "ssl_cafile": "ca"}
    settings = secured.settings("RELAYED", "nobody", **{name: str(files[end]) for name, end in paths.items()})
    relay = Relay(secured.broker.listeners["RELAYED"].port)
    async with relay.open(secured.relay_port), one_client(settings) as client:
        assert await seen(client) == set()
        put("payment", secured.authority.certificate)
        await relay.cut()
        await comes_to_see(client, own)
        put("payment", Authority(tmp_path / "other").certificate)
        await relay.cut()
        await comes_to_see(client, None)  # the broker's certificate is of an authority that is trusted no more
        files["ca"].write_text("half written")
        shutil.copy(folder / "nobody.key", files["key"])  # the certificate is not there yet
        put("payment", secured.authority.certificate)
        await comes_to_see(client, own)
