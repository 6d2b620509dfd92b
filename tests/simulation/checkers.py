"""The invariants (reliability I1-I24), each read from databases and topics, never from the engine's own opinion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchestrator.machine.folding import fold
from orchestrator.machine.saga import accepted
from orchestrator.sagas.order import order_saga
from orchestrator.store import rows
from orchestrator.store.statements import SQL
from schemas.codec import decode_trusted
from schemas.ids import SagaRef
from tests.simulation.world import World

EFFECTS = {
    "inventory": ("reservations", "releases", "held"),
    "payment": ("charges", "refunds", "charged"),
    "orders": ("orders", "cancellations", "created"),
}
"""Where each service keeps one row for each time its action ran, how often it was undone, and its standing state."""


def check(world: World) -> list[str]:
    """Every violation found, as `I3: what`."""
    found = [*world.liveness]
    for process in world.processes:
        found += [f"I21: a process of {process.role} died of {failure!r}" for failure in process.failures]
    for checker in CHECKERS:
        found += checker(world)
    return found


def _states(world: World) -> dict[str, str]:
    return dict(world.store.connection.execute("SELECT saga_id, state FROM sagas").fetchall())


def _ended(world: World) -> Iterator[str]:
    """I1, I2: every accepted order exists once and has ended; nobody parks where no fault lasts."""
    states = _states(world)
    for order in world.orders:
        if order not in states:
            yield f"I2: {order} was published and is unknown"
        elif states[order] == "PARKED":
            if not _may_park(world):
                yield f"I1: {order} is parked, and nothing failed for ever"
        elif states[order] not in ("COMPLETED", "COMPENSATED"):
            yield f"I1: {order} is {states[order]}"
    for order in states.keys() - world.orders.keys():
        yield f"I10: {order} was never ordered"


def _refused_compensations(world: World) -> Iterator[str]:
    """R18: no service of ours refuses to undo what it did, so no saga is parked for a refusal."""
    for saga_id, detail in world.store.connection.execute(
        "SELECT saga_id, detail FROM step_log JOIN sagas USING (saga_key) WHERE status = 'PARKED'"
    ):
        event = decode_trusted(detail)
        if event.get("outcome") == "failure" and event.get("phase") == "compensate":
            yield f"R18: {saga_id} is parked because a compensation was refused: {event['body']}"


def _may_park(world: World) -> bool:
    """A compensation that fails technically often enough, or whose messages vanish, is parked, as it should (R18)."""
    return bool(world.swarm.lose_message or any(world.swarm.handler_faults.values()) or world.crashes)


def _effects(world: World) -> Iterator[str]:
    """I3, I4, I8: each action's effect at most once, undone at most once, and as the saga's end says."""
    states = _states(world)
    for service, (table, undone, _standing) in EFFECTS.items():
        effects: Counter[str] = Counter()
        undos: Counter[str] = Counter()
        query = f"SELECT saga_id, {undone} FROM {table}"
        for saga_id, times in world.services[service].connection.execute(query):
            effects[saga_id] += 1
            undos[saga_id] += times
        for saga_id, state in states.items():
            if effects[saga_id] > 1 or undos[saga_id] > effects[saga_id]:
                yield f"I3: {service} did {saga_id} {effects[saga_id]}x and undid it {undos[saga_id]}x"
            standing = effects[saga_id] - undos[saga_id]
            if state == "COMPLETED" and standing != 1:
                yield f"I4: {saga_id} completed, but {service} has {standing} of it"
            if state == "COMPENSATED" and standing != 0:
                yield f"I4: {saga_id} is compensated, but {service} still has {standing} of it"
        for saga_id in effects.keys() - states.keys():
            yield f"I10: {service} did something for {saga_id}, which is no saga"


def _conservation(world: World) -> Iterator[str]:
    """I9: what is there and what was taken add up to what there was."""
    inventory = world.services["inventory"].connection
    held: Counter[str] = Counter()
    for (items,) in inventory.execute("SELECT items FROM reservations WHERE status = 'held'"):
        for item in decode_trusted(items):
            held[item["sku"]] += item["quantity"]
    for sku, initial, available in inventory.execute("SELECT sku, initial, available FROM stock"):
        if initial != available + held[sku]:
            yield f"I9: {sku}: {available} there and {held[sku]} held are not {initial}"
    payment = world.services["payment"].connection
    charged = dict(
        payment.execute("SELECT customer_id, sum(amount) FROM charges WHERE status = 'charged' GROUP BY 1").fetchall()
    )
    for customer, initial, balance in payment.execute("SELECT customer_id, initial, balance FROM accounts"):
        if initial != balance + charged.get(customer, 0):
            yield f"I9: {customer}: {balance} left and {charged.get(customer, 0)} charged are not {initial}"


def _log(world: World) -> Iterator[str]:
    """I11, I12: the log folded from zero gives the row, and its numbers have no gap."""
    connection = world.store.connection
    for saga_id in _states(world):
        [row] = connection.execute(SQL["find"], (saga_id, None, None)).fetchall()
        saga = rows.read_saga(row)
        log = [rows.read_log(entry) for entry in connection.execute(SQL["log"], (saga.row,))]
        if [entry.seq for entry in log] != list(range(1, saga.log_seq + 1)):
            yield f"I12: the log of {saga_id} has gaps"
            continue
        start = accepted(order_saga, SagaRef("order", saga_id), saga.request, saga.request_bytes, saga.created_at)
        try:
            folded = fold(order_saga, start, log)
        except ValueError as error:
            yield f"I11: {error}"
            continue
        if folded != saga:
            yield f"I11: the log of {saga_id} does not give its row: {folded} is not {saga}"


def _order_of_undoing(world: World) -> Iterator[str]:
    """I5, I6: what was executed and can be undone is undone, last first, one after the other."""
    connection = world.store.connection
    places = {step.name: place for place, step in enumerate(order_saga.steps)}
    for saga_id, state in _states(world).items():
        [row] = connection.execute(SQL["find"], (saga_id, None, None)).fetchall()
        saga = rows.read_saga(row)
        log = [rows.read_log(entry) for entry in connection.execute(SQL["log"], (saga.row,))]
        undone = [places[entry.step] for entry in log if entry.status in ("COMPENSATED", "NOTHING_TO_UNDO")]
        if undone != sorted(undone, reverse=True) or len(undone) != len(set(undone)):
            yield f"I6: {saga_id} undid its steps in the order {undone}"
        succeeded = {places[entry.step] for entry in log if entry.status == "SUCCESS"}
        if state == "COMPENSATED" and not succeeded <= set(undone):
            yield f"I5: {saga_id} succeeded in {succeeded} and undid {undone}"


def _commands(world: World) -> Iterator[str]:
    """I13, I14: one payload for each command id; every command that the log tells of is in its topic."""
    bodies: dict[str, bytes | None] = {}
    for service in EFFECTS:
        for record in world.broker.records(world.topics.commands(service)):
            command_id = dict(record.headers)["ce_id"].decode()
            if bodies.setdefault(command_id, record.value) != record.value:
                yield f"I13: {command_id} has two payloads"
    if not world.swarm.lose_message:
        for saga_id, step, status in world.store.connection.execute(
            "SELECT saga_id, step, status FROM step_log JOIN sagas USING (saga_key) "
            "WHERE status IN ('IN_PROGRESS', 'COMPENSATING') AND step <> ''"
        ):
            phase = "forward" if status == "IN_PROGRESS" else "compensate"
            if f"order/{saga_id}/{step}/{phase}/1" not in bodies:
                yield f"I14: {saga_id} says it sent {phase} of {step}, and nobody can have read it"


def _offsets(world: World) -> Iterator[str]:
    """I14, I15: nothing waits in the outbox; no offset is beyond its topic's end, none is behind it."""
    connection = world.store.connection
    for (messages,) in connection.execute("SELECT messages FROM outbox"):
        yield f"I14: {messages} messages were left in the outbox"
    stored = {(topic, partition): following for topic, partition, following in connection.execute(SQL["offsets"])}
    for topic in (world.topics.requests("order"), *(world.topics.replies_of(service) for service in EFFECTS)):
        for number, log in enumerate(world.broker.partitions(topic)):
            if stored.get((topic, number), 0) != len(log):
                yield f"I15: {topic}[{number}] was read to {stored.get((topic, number), 0)} of {len(log)}"


def _letters(world: World) -> Iterator[str]:
    """I19: poison and conflicts are set aside, each at least once, and nothing else is."""
    causes: dict[str, set[tuple[bytes, bytes]]] = {}
    for topic in list(world.broker.topics):
        if topic.startswith("dlq."):
            for record in world.broker.records(topic):
                headers = dict(record.headers)
                place = (headers["__dlq.errors.partition"], headers["__dlq.errors.offset"])
                causes.setdefault(f"{topic} {headers['__saga.errors.cause'].decode()}", set()).add(place)
    poison = sum(
        len(places)
        for name, places in causes.items()
        if name.startswith("dlq.order.requests") and "conflict" not in name
    )
    if poison != world.poison:
        yield f"I19: {world.poison} poison requests, {poison} dead letters: {_counts(causes)}"
    conflicts = len(causes.get("dlq.order.requests conflict", ()))
    if conflicts != world.conflicts:
        yield f"R3: {world.conflicts} conflicting requests, {conflicts} dead letters"
    others = {name for name in causes if not name.startswith("dlq.order.requests")} - {
        "dlq.inventory.replies wrong_topic",
        "dlq.inventory.replies unknown_saga",
    }
    if others:
        yield f"I19: dead letters that nobody provoked: {_counts(causes)}"


def _counts(causes: dict[str, set[tuple[bytes, bytes]]]) -> dict[str, int]:
    return {name: len(places) for name, places in causes.items()}


def _events(world: World) -> Iterator[str]:
    """R26: each version of a saga is told of at most once, and its end is told."""
    told: dict[str, dict[int, bytes]] = {}
    for record in world.broker.records(world.topics.events("order")):
        headers = dict(record.headers)
        saga_id = (record.key or b"").decode()
        kind = told.setdefault(saga_id, {}).setdefault(int(headers["ce_sequence"]), headers["ce_type"])
        if kind != headers["ce_type"]:
            yield f"R26: {saga_id} has two events of version {headers['ce_sequence'].decode()}"
    for saga_id, state in _states(world).items():
        last = max(told.get(saga_id, {0: b""}).items())[1].decode()
        if last != f"order.saga.{state.lower()}":
            yield f"R26: {saga_id} is {state}, and its last event is {last!r}"


CHECKERS = (
    _ended,
    _refused_compensations,
    _effects,
    _conservation,
    _log,
    _order_of_undoing,
    _commands,
    _offsets,
    _letters,
    _events,
)
