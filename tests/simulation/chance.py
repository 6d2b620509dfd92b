"""What goes wrong in one run: drawn once from the seed, so that runs differ in kind and not only in luck (swarm)."""

from __future__ import annotations

import random  # noqa: TID251 -- the one source of chance in a simulation
from dataclasses import dataclass

from runtime.failpoints import FAILPOINTS

OFTEN = (0.002, 0.01, 0.05)
SELDOM = (0.02, 0.1, 0.3)
"""How probable a crash is at a failpoint that is passed at every batch, and at one that is passed now and then."""

EVERY_BATCH = (".poll.", ".commit.", ".publish.", ".hint.", "publish.half")


@dataclass(frozen=True)
class Swarm:
    """The settings of one run. Probabilities are per occasion."""

    orders: int
    spread_ms: int
    fault_phase_ms: int
    crash: dict[str, float]
    lose_ack: float
    duplicate: float
    lose_message: float
    latency_ms_max: int
    outages: int
    outage_ms_max: int
    clock_jumps: int
    late_copies: float
    handler_faults: dict[str, dict[str, str]]
    replicas: int
    in_flight_max: int
    partitions: int
    duplicate_requests: float
    poison: int
    forged: int


def draw(seed: int) -> tuple[random.Random, Swarm]:
    """The chance and the settings of `seed`."""
    chance = random.Random(seed)
    crash = {point: chance.choice(_crash_rates(point)) for point in FAILPOINTS if chance.random() < 0.35}
    calm = chance.random() < 0.1
    handler_faults: dict[str, dict[str, str]] = {}
    commands = {
        "inventory": ("reserveItems", "releaseItems"),
        "payment": ("chargePayment", "refundPayment"),
        "orders": ("createOrder", "cancelOrder"),
    }
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
        handler_faults[service] = rules
    return chance, Swarm(
        orders=chance.choice([3, 10, 30, 80]),
        spread_ms=chance.choice([1, 5_000, 60_000]),
        fault_phase_ms=chance.choice([20_000, 60_000, 180_000]),
        crash={} if calm else crash,
        lose_ack=0 if calm else chance.choice([0, 0.02, 0.1]),
        duplicate=0 if calm else chance.choice([0, 0.05, 0.3]),
        lose_message=0 if calm else chance.choice([0, 0, 0.01, 0.05]),
        latency_ms_max=chance.choice([1, 20, 500]),
        outages=0 if calm else chance.choice([0, 0, 1, 2]),
        outage_ms_max=chance.choice([5_000, 60_000]),
        clock_jumps=0 if calm else chance.choice([0, 0, 1, 3]),
        late_copies=0 if calm else chance.choice([0, 0.05, 0.2]),
        handler_faults={service: {} for service in handler_faults} if calm else handler_faults,
        replicas=2 if chance.random() < 0.2 else 1,
        in_flight_max=chance.choice([1, 5, 1_000]),
        partitions=chance.choice([1, 4]),
        duplicate_requests=chance.choice([0, 0.2]),
        poison=chance.choice([0, 5]),
        forged=chance.choice([0, 5]),
    )


def _crash_rates(point: str) -> tuple[float, ...]:
    return OFTEN if any(part in point for part in EVERY_BATCH) else SELDOM
