"""Ways of breaking what is done with messages that no topic takes (R56): see `breakages`."""

from __future__ import annotations

from tests.simulation.breaking import Mutant

_OWNERSHIP = "orchestrator/engine/ownership.py"

REFUSALS = (
    Mutant(
        "a timer fires for a command that waits for its topic",
        _OWNERSHIP,
        "        if topic in parts.publisher.held_topics:\n            return parts.store.now()",
        "        if False:\n            return 0",
        "R21|I4|I10",
        {"orders": 30, "spread_ms": 60_000, "refusals": 6},
    ),
    Mutant(
        "what is held counts as published",
        "messaging/outlet.py",
        "        parcel.owed += 1\n        hold.items.append((parcel, message))",
        "        return",
        "I14|I19|R3|R21|R26",
        {"orders": 30, "spread_ms": 60_000, "refusals": 6},
    ),
    Mutant(
        "a command that was said not to be sent stays in its row",
        "orchestrator/engine/publish.py",
        "        return {row: parcel.left for",
        "        return {} if rows else {row: parcel.left for",
        "R56|I5|I4",
        {
            "orders": 80,
            "spread_ms": 60_000,
            "refusals": 12,
            "latency_ms_max": 500,
            "crash": [["orchestrator.hint.before", 0.05], ["orchestrator.poll.after", 0.01]],
        },
    ),
    Mutant(
        "that the way out was blocked is heeded only after what is held was tried again",
        "orchestrator/engine/publish.py",
        "                self._heed_interruption()\n            if self._outlet.holds:",
        "            if self._outlet.holds:",
        "R21|I4|I10",
        {
            "orders": 80,
            "spread_ms": 60_000,
            "refusals": 12,
            "latency_ms_max": 500,
            "crash": [["orchestrator.hint.before", 0.2]],
        },
    ),
    Mutant(
        "a participant forgets the replies that wait for their topic",
        "messaging/outlet.py",
        "            if messages:\n                await self._sender.publish(messages)\n        except",
        "            pass\n        except",
        "I14|I19|R3|R21|R26|R56",
        {"orders": 40, "spread_ms": 60_000, "refusals": 8},
    ),
    Mutant(
        "a topic that takes nothing holds back the others",
        "messaging/outlet.py",
        "            except BrokerUnavailableError as error:\n                if self",
        "            except (BrokerUnavailableError, PublishRefusedError) as error:\n                if self",
        "R56",
        {"orders": 40, "spread_ms": 60_000, "refusals": 8},
    ),
    Mutant(
        "a saga does not hear that its command was not sent",
        "messaging/outlet.py",
        "            self.unsent.append(Unsent(",
        "            (Unsent(",
        "I14|I18",
        {"orders": 40, "spread_ms": 60_000, "refusals": 8},
    ),
)
