"""What goes wrong in one run: drawn once from the seed, so that runs differ in kind and not only in luck (swarm)."""

from __future__ import annotations

import random  # noqa: TID251 -- the one source of chance in a simulation
from dataclasses import dataclass, replace

from kafka_saga.runtime.failpoints import FAILPOINTS

OFTEN = (0.002, 0.01, 0.05)
SELDOM = (0.02, 0.1, 0.3)
AT_START = (0.1, 0.4, 0.7)
"""How probable a crash is: at a point passed with every batch, now and then, or once in a life (a crash loop)."""

EVERY_BATCH = (".poll.", ".commit.", ".publish.", ".hint.", "publish.half")


@dataclass(frozen=True)
class Swarm:
    """The settings of one run; the defaults are a world without faults. Probabilities are per occasion."""

    orders: int = 10
    spread_ms: int = 5_000
    fault_phase_ms: int = 20_000
    replicas: int = 1
    in_flight_max: int = 1_000
    partitions: int = 4
    latency_ms_max: int = 20
    rival_after_ms: int | None = None
    """Every owner has a rival with a database of its own, which starts so long after the first (R22)."""
    shared: int = 0
    """So many replicas share one store and one group (R60); 0: the store has one owner."""
    overlapping: bool = False
    """Every replica is given every partition, as no group does."""
    freezes: int = 0
    """How often a replica is stopped for a while, and goes on."""
    store_outages: int = 0
    """How often nobody reaches the database."""
    cuts: int = 0
    """How often one replica reaches either the database or Kafka, and not the other."""
    adopted: bool = False
    """The rivals adopt the groups before they start, so that it is the first owners who must stop."""
    external: bool = False
    """The payment service charges cards outside (R17)."""
    replay: bool = False
    """At the end everything is read again from the beginning (I16)."""

    crash: tuple[tuple[str, float], ...] = ()
    restart_ms: tuple[int, ...] = (50, 2_000, 15_000)
    """How long a dead process stays away; minutes make every timer due at once."""
    stops: int = 0
    """How often a process is asked to stop, and comes back."""
    commit_unknown: float = 0
    """A commit that raises, whether or not it was done."""
    store_busy: float = 0
    slow_commit: float = 0
    """How often a commit takes so long that its process does something else meanwhile."""

    lose_ack: float = 0
    duplicate: float = 0
    lose_message: float = 0
    late_copies: float = 0
    outages: int = 0
    outage_ms_max: int = 5_000
    rebalance: float = 0
    retentions: int = 0
    """How often the oldest commands and replies are removed, read or not."""
    recreations: int = 0
    """How often a topic of commands or replies is deleted and created anew."""
    growths: int = 0
    """How often partitions are added."""
    transactions: int = 0
    """How often a producer of somebody else's opens a transaction on a topic of replies, and ends it later."""
    leaderless: int = 0
    """How often a partition has no leader for a while."""
    refusals: int = 0
    """How often a topic takes nothing for a while (R56)."""

    restore: str = ""
    """A backup of everything is made in mid-run, and put back later: `all`, `orchestrator` or a service alone."""

    clock_jumps: int = 0
    handler_faults: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    spoils: float = 0
    """A handler whose SQL has the whole batch rolled back."""
    duplicate_requests: float = 0
    poison: int = 0
    forged: int = 0
    acts: int = 0
    """How often an operator does something, wise or not."""
    unpark: bool = False
    """After the faults an operator retries what is parked, until nothing is."""

    @property
    def loses_records(self) -> bool:
        """Whether a message that was stored, or should have been, may never be read."""
        return bool(self.lose_message or self.retentions or self.recreations)


def draw(seed: int) -> tuple[random.Random, Swarm]:
    """The chance and the settings of `seed`."""
    chance = random.Random(seed)
    faults = {} if chance.random() < 0.1 else {**_process_faults(chance), **_broker_faults(chance)}
    if faults:
        faults |= _partition_faults(random.Random(f"{seed} partitions"))
    if faults and chance.random() < 0.9:
        faults["handler_faults"] = tuple(_handler_faults(chance))
        # A chance of its own: the worlds of seeds that found something once stay as they were.
        faults["spoils"] = random.Random(f"{seed} spoils").choice([0, 0, 0, 0.15])
    swarm = Swarm(
        orders=chance.choice([3, 10, 30, 80]),
        spread_ms=chance.choice([1, 5_000, 60_000]),
        fault_phase_ms=chance.choice([20_000, 60_000, 180_000]),
        replicas=2 if chance.random() < 0.2 else 1,
        in_flight_max=chance.choice([1, 5, 1_000]),
        partitions=chance.choice([1, 4]),
        latency_ms_max=chance.choice([1, 20, 500]),
        external=chance.random() < 0.4,
        replay=chance.random() < 0.3,
        duplicate_requests=chance.choice([0, 0.2]),
        poison=chance.choice([0, 5]),
        forged=chance.choice([0, 5]),
        acts=chance.choice([0, 0, 3, 20]),
        unpark=chance.random() < 0.5,
        # By chance of its own: the worlds of seeds from before it stay what they were.
        refusals=random.Random(seed * 1_000 + 35).choice([0, 0, 2]) if faults else 0,
        **faults,  # type: ignore[arg-type] # names and kinds are those of Swarm
    )
    return chance, _with_restore(seed, _with_rivals(seed, swarm))


def draw_shared(seed: int) -> tuple[random.Random, Swarm]:
    """The world of `seed` once more, with replicas on one store, and what may happen to these."""
    chance, swarm = draw(seed)
    own = random.Random(f"replicas of {seed}")
    faults = bool(swarm.crash or swarm.stops or swarm.outages) or own.random() < 0.8
    # A backup is one owner's, and so are a rival's two databases. The server's clock is right.
    return chance, replace(
        swarm,
        replicas=2,
        shared=own.choice([1, 2, 2, 3, 3, 3]),
        overlapping=own.random() < 0.1,
        freezes=own.choice([0, 1, 3]) if faults else 0,
        store_outages=own.choice([0, 0, 1, 2]) if faults else 0,
        cuts=own.choice([0, 0, 1, 2]) if faults else 0,
        stops=own.choice([0, 2, 6]) if faults else 0,
        commit_unknown=own.choice([0, 0, 0.002, 0.01]) if faults else 0,
        store_busy=0,
        clock_jumps=0,
        rebalance=0,
        rival_after_ms=None,
        adopted=False,
        restore="",
    )


def _with_restore(seed: int, swarm: Swarm) -> Swarm:
    """In one of twenty worlds a backup is put back, under stock that is short; again by chance of its own."""
    chance = random.Random(f"restore of {seed}")
    if chance.random() >= 0.05 or swarm.rival_after_ms is not None:
        return swarm
    # Old messages must not come after the new life has begun, nor its readers go back to them: no Kafka does that
    # to who assigns partitions to himself. And calls to the outside are not promised.
    return replace(
        swarm,
        restore=chance.choice(["all", "orchestrator"]),
        orders=60,
        spread_ms=swarm.fault_phase_ms // 3,
        external=False,
        replay=False,
        rebalance=0,
        late_copies=0,
        lose_message=0,
        retentions=0,
        recreations=0,
    )


def _with_rivals(seed: int, swarm: Swarm) -> Swarm:
    """In one of ten worlds two databases want each group; chance of its own, so that the others stay as they are."""
    chance = random.Random(f"rivals of {seed}")
    if chance.random() >= 0.1:
        return swarm
    # Nobody knows before the end which store it is that operators and retention would have to look at.
    return replace(
        swarm,
        rival_after_ms=chance.choice([0, 0, 1, 30, 300, 600, 5_000]),
        replicas=1,
        acts=0,
        unpark=False,
        retentions=0,
    )


def _process_faults(chance: random.Random) -> dict[str, object]:
    return {
        "crash": tuple((point, chance.choice(_crash_rates(point))) for point in FAILPOINTS if chance.random() < 0.35),
        "restart_ms": chance.choice([(50,), (50, 2_000, 15_000), (50, 15_000, 120_000)]),
        "stops": chance.choice([0, 0, 2]),
        "commit_unknown": chance.choice([0, 0, 0.01, 0.05]),
        "store_busy": chance.choice([0, 0, 0, 0.02]),
        "slow_commit": chance.choice([0, 0.2, 1]),
        "clock_jumps": chance.choice([0, 0, 1, 3]),
    }


def _broker_faults(chance: random.Random) -> dict[str, object]:
    return {
        "lose_ack": chance.choice([0, 0.02, 0.1]),
        "duplicate": chance.choice([0, 0.05, 0.3]),
        "lose_message": chance.choice([0, 0, 0.01, 0.05]),
        "late_copies": chance.choice([0, 0.05, 0.2]),
        "outages": chance.choice([0, 0, 1, 2]),
        "outage_ms_max": chance.choice([5_000, 60_000]),
        "rebalance": chance.choice([0, 0, 0.005, 0.05]),
        "retentions": chance.choice([0, 0, 0, 3]),
        "recreations": chance.choice([0, 0, 0, 2]),
        "growths": chance.choice([0, 0, 0, 2]),
    }


def _partition_faults(chance: random.Random) -> dict[str, object]:
    """Drawn by themselves: seeds that were found before there were such faults keep their meaning."""
    return {"transactions": chance.choice([0, 0, 0, 2]), "leaderless": chance.choice([0, 0, 0, 2])}


def _handler_faults(chance: random.Random) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    commands = {
        "inventory": ("reserveItems", "releaseItems"),
        "payment": ("chargePayment", "refundPayment"),
        "orders": ("createOrder", "cancelOrder"),
    }
    faults: list[tuple[str, tuple[tuple[str, str], ...]]] = []
    for service, (action, undo) in commands.items():
        rules: dict[str, str] = {}
        if chance.random() < 0.5:
            rules["SAGA_FAULT_REJECT"] = f"{action}:every={chance.randint(2, 9)}:text=not today"
        if chance.random() < 0.5:
            rules["SAGA_FAULT_RAISE"] = f"{chance.choice([action, undo, '*'])}:every={chance.randint(2, 6)}:text=shaky"
        if chance.random() < 0.5:
            rules["SAGA_FAULT_LOSE"] = f"*:every={chance.randint(2, 7)}"
        if chance.random() < 0.4:
            late = chance.choice([3_000, 6_000, 12_000, 40_000])
            rules["SAGA_FAULT_LATE"] = f"{chance.choice([action, '*'])}:every={chance.randint(2, 7)}:ms={late}"
        faults.append((service, tuple(rules.items())))
    return faults


def _crash_rates(point: str) -> tuple[float, ...]:
    if ".start." in point:
        return AT_START
    return OFTEN if any(part in point for part in EVERY_BATCH) else SELDOM
