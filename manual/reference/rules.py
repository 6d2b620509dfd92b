"""The rules of the protocol in a sentence each, and the tests that cite them (`…_R21`)."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from manual.reference.tables import code, table

HEAD = """# Rules

Code, tests and pages cite rules of the protocol by number, such as R21. This is what each says, in a sentence, and the
tests whose names cite it; `make test PYTEST_ARGS='-k R21'` runs them.

"""

RULES = {
    1: "A saga's id is its request's `id_from` field, else the record's key; type and id together name it.",
    2: "A command's id is readable and the same for every re-send: type, id, step, phase, epoch.",
    3: "A request with a known id is a copy where the whole JSON is the same, and a `conflict` where it is not.",
    4: "Steps are known by their names; numbers are only for people.",
    5: "PENDING is accepted and not begun; there are six states, and a sentence for people.",
    6: "Of a reply the key, the command's id, an outcome and a JSON object are required, and nothing else.",
    7: "`success` and `failure` count whichever attempt they answer; `retry` only for the one in flight.",
    8: "Only a `failure` proves that nothing happened; every other end leaves a step in doubt: undone first.",
    9: "A step counts as executed when it succeeded, or when its undoing really undid something.",
    10: "A refusal and an exception that lasts through all retries end in the same record.",
    11: "A late reply changes nothing, unless the saga is parked and waits for it.",
    12: "A reply whose body cannot be read is a dead letter, and its attempt runs into the timeout.",
    13: "A reply topic belongs to one store, and a service answers only where it may.",
    14: "The fence: a command takes effect at most once, and an action that comes after its undoing is refused.",
    15: "A compensation takes of its own action's reply only what may be missing.",
    16: "A service that does not remember far enough back says so, and neither runs nor undoes anything.",
    17: "A call to the outside is written down first, and made again with the same key after a crash.",
    18: "A compensation that is refused, or whose attempts are spent, parks the saga; nothing is skipped.",
    19: "Before the pivot a saga can be undone; from it on it only goes forward.",
    20: "At most so many sagas run at once, fewer while commands grow old; replies and timers come first.",
    21: "Nothing times out before its command is published and the reply topics were read to their end afterwards.",
    22: "A file has one owner, and a consumer group belongs to one store.",
    23: "Positions are the store's, moved by comparison; Kafka's committed offsets are only hints.",
    24: "The lock of a store is on the file itself, whatever it is called.",
    25: "What an operator does is an input like a reply, decided by the same machine and kept with its outcome.",
    26: "The order of publication is a courtesy; the fence is the guarantee.",
    27: "Time is the store's and never goes backwards.",
    28: "The log of a saga, folded from its start, gives its state.",
    29: "What is known of purged sagas is kept for as long as their requests may come again.",
    30: "A version means one thing; a start that finds another, or lacks one that runs, is refused.",
    56: "What was not acknowledged never counts as published; each kind of refusal has one answer.",
    57: "Nothing of a user's code ends a process or costs another saga anything.",
    58: "A value that is read is written, and read again alike.",
    59: "A restore begins a new life of the store; what an earlier life said is not applied.",
    60: "Which replica reads what is decided by Kafka's consumer group.",
    61: "A replica lives as long as its beat moves; others judge that by their own clocks.",
    62: "Every transaction of a replica begins with its own life: a dead one writes nothing.",
    63: "Living and being a member of the group are two things.",
    64: "Replicas take the time from the database's clock.",
    65: "A batch is decided first and written in one round trip, compared by version.",
    66: "What a replica keeps in memory is only of what it owns, and is compared when it is written.",
    67: "A batch that meets another writer is done again in smaller and more careful steps.",
    68: "A commit whose outcome is not known is looked up before anything is done again.",
    69: "How far a reply topic was read is written with the batch that read it.",
    70: "With replicas a timer fires only when every partition, whoever reads it, was read to its end.",
    71: "The owner of a lane fires its timers.",
    72: "Each replica admits its part of what all together may have under way.",
    73: "What a dead replica left to be published goes to one heir.",
    74: "An act is taken by the replica that owns its saga.",
    75: "Old rows are deleted by one replica at a time.",
    76: "Tables are migrated beside running replicas; a program refuses tables that it is too old for.",
    77: "Among many workers the fence is a unique key and a row lock.",
    78: "Workers wait for each other's rows for a moment only, and then take turns.",
    79: "A handler gets what its parameter's type names, in the batch's transaction.",
}

_TESTS = Path(__file__).resolve().parents[2] / "tests"
_CITING = re.compile(r"def (test_\w*?(?:_[RI]\d+)+)\(")
SHOWN_MAX = 3
"""Tests that are named; more of them are counted."""


def page() -> str:
    """The page."""
    cited = citing()
    rows = [(f"R{number}", text, _named(cited.get(number, []))) for number, text in RULES.items()]
    return HEAD + table(["rule", "what it says", "tests"], rows)


def citing() -> dict[int, list[str]]:
    """The tests whose names cite a rule, by its number; in the order of the alphabet."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for path in _TESTS.rglob("test_*.py"):
        for name in _CITING.findall(path.read_text(encoding="utf-8")):
            for number in re.findall(r"_R(\d+)", name):
                found[int(number)].add(name)
    return {number: sorted(names) for number, names in found.items()}


def _named(tests: list[str]) -> str:
    more = f" and {len(tests) - SHOWN_MAX} more" if len(tests) > SHOWN_MAX else ""
    return ", ".join(map(code, tests[:SHOWN_MAX])) + more
