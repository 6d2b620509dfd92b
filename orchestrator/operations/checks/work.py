"""Whether the work goes on: what waits in the store, of messages, sagas, timers and operators' acts."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.checks.finding import Finding, lasting, listed
from kafka_saga.orchestrator.store.vitals import Vitals
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.limits import COUNTED_ROWS_MAX
from kafka_saga.runtime.wording import counted

OUTBOX_AGE_MS_MAX = 15_000
"""Published messages leave the outbox within a second or two, and one attempt to publish has ten."""

OVERDUE_MS_MAX = 15_000
"""A due timer fires within a fraction of a second, once Kafka has answered where the replies end (R21)."""

ACT_AGE_MS_MAX = 10_000
"""Acts are taken every 200 ms."""

AHEAD_MS_MAX = 1_000
"""What is dated later than this in the future tells nothing about its age."""


def deserves_second_look(vitals: Vitals, now: int) -> bool:
    """Whether something looks as if it stood still: only a second look tells that from a clock that jumped."""
    outbox = vitals.outbox
    stands = outbox.oldest_id is not None and not -AHEAD_MS_MAX <= now - outbox.oldest_at <= OUTBOX_AGE_MS_MAX
    return stands or vitals.overdue.number > 0


def judge_outbox(
    first: Vitals, second: Vitals, now: int, *, runs: bool, closed: Mapping[str, str], kafka_answers: bool
) -> Finding:
    """Whether messages get published.

    Args:
        first: one look.
        second: another, moments later; the same where the first showed nothing unusual.
        now: this machine's clock, which may be off.
        runs: whether an orchestrator does.
        closed: topics that cannot take messages now, and why.
        kafka_answers: whether it does.

    """
    outbox = second.outbox
    if outbox.oldest_id is None:
        return Finding("ok", "outbox", "everything is published", "", {"messages": 0})
    age_ms = now - outbox.oldest_at
    ahead = age_ms < -AHEAD_MS_MAX
    age = f"dated {lasting(-age_ms)} in the future (a clock is off)" if ahead else f"waiting for {lasting(age_ms)}"
    topics = [f"{topic} {count:,}" + _because(closed.get(topic)) for topic, count in outbox.topics]
    found = f"{counted(outbox.messages, 'message')} not published, the oldest {age}: {listed(topics)}"
    details = {
        "messages": outbox.messages,
        "oldestAt": rfc3339(outbox.oldest_at),
        "ageMs": age_ms,
        "topics": dict(outbox.topics),
        "closedTopics": {topic: why for topic, why in closed.items() if topic in dict(outbox.topics)},
    }
    if not runs:
        return Finding("wrong", "outbox", found, "`saga orchestrator` publishes them; none runs", details)
    moves = outbox.oldest_id != first.outbox.oldest_id
    if moves or -AHEAD_MS_MAX <= age_ms <= OUTBOX_AGE_MS_MAX:
        return Finding("ok", "outbox", f"{counted(outbox.messages, 'message')} on the way", "", details)
    if details["closedTopics"]:
        advice = "`saga topics create` creates what is missing; a topic that takes nothing holds up what is for it"
    elif kafka_answers:
        advice = "the orchestrator's log says what fails (publish.refused, publish.unavailable): may it write there?"
    else:
        advice = "bring Kafka back: they go out by themselves, and nothing times out meanwhile"
    return Finding("wrong", "outbox", f"{found}; it does not move", advice, details)


def judge_sagas(vitals: Vitals, *, runs: bool) -> list[Finding]:
    """How many have not ended; who must act for those that wait for a person, or for an orchestrator."""
    states = {state.value: count for state, count in vitals.states.items()}
    found = ", ".join(f"{count:,} {state}" for state, count in states.items()) or "none is unfinished"
    under_way = sum(count for state, count in vitals.states.items() if state is not SagaState.PARKED)
    findings = []
    if under_way and not runs:
        waiting = f"{counted(under_way, 'saga')} under way and no orchestrator runs: {found}"
        findings.append(Finding("wrong", "sagas", waiting, "`saga orchestrator` goes on with them", states))
    elif not vitals.states.get(SagaState.PARKED):
        findings.append(Finding("ok", "sagas", found, "", states))
    if vitals.parked:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in vitals.parked.items())
        number = vitals.states.get(SagaState.PARKED, 0)
        of_the_oldest = f" (of the oldest {COUNTED_ROWS_MAX:,})" if number > COUNTED_ROWS_MAX else ""
        waiting = f"{counted(number, 'saga')} parked and waiting for a person: {reasons}{of_the_oldest}"
        advice = "`saga list --state parked`; `saga explain ID` says what helps"
        findings.append(Finding("warning", "parked", waiting, advice, {**states, "reasons": vitals.parked}))
    return findings


def judge_timers(first: Vitals, second: Vitals, now: int, *, runs: bool) -> Finding:
    """Whether timeouts and backoffs fire."""
    count, since = second.overdue
    if not count or since is None:
        return Finding("ok", "timers", "none is overdue", "", {"overdue": 0})
    found = f"{counted(count, 'timer')} overdue, the first for {lasting(now - since)}"
    details = {"overdue": count, "since": rfc3339(since)}
    if not runs:
        return Finding("note", "timers", found, "they fire once an orchestrator runs", details)
    if since != first.overdue.since:
        return Finding("ok", "timers", f"{counted(count, 'timer')} being worked off", "", details)
    advice = (
        "none fires while the outbox stands still or a reply topic is not read to its end: "
        "see outbox, topics, replies and transactions"
    )
    return Finding("wrong", "timers", found, advice, details)


def judge_acts(vitals: Vitals, now: int, *, runs: bool) -> list[Finding]:
    """Whether operators' acts are taken; nothing where none waits."""
    count, since = vitals.acts
    if not count or since is None or (runs and now - since <= ACT_AGE_MS_MAX):
        return []
    found = f"{counted(count, 'act')} of operators not taken, the first for {lasting(now - since)}"
    advice = "the orchestrator's log says what it is busy with" if runs else "`saga orchestrator` takes them"
    return [Finding("warning", "acts", found, f"{advice}; `saga acts` lists them", {"waiting": count})]


def judge_pauses(vitals: Vitals, held: Mapping[str, int]) -> list[Finding]:
    """What is paused, by whom, and how many sagas that holds: easily forgotten."""
    scopes: Collection[str] = vitals.pauses.keys()
    findings = []
    for scope in scopes:
        hold = vitals.pauses[scope].hold
        kind, _, name = scope.partition(":")
        found = f"{kind} {name} is paused by {hold.actor} since {rfc3339(hold.at)} ({hold.reason})"
        number = held.get(scope, 0)
        details = {"scope": scope, "actor": hold.actor, "since": rfc3339(hold.at), "held": number}
        more = f"; {counted(number, 'saga')} held"
        findings.append(Finding("note", "pauses", found + more, f"`saga resume --{kind} {name}` goes on", details))
    alone = held.get("operator", 0)
    if alone:
        found = f"{counted(alone, 'saga')} held by operators one by one"
        findings.append(Finding("note", "pauses", found, "`saga list --held`", {"scope": "operator", "held": alone}))
    return findings


def _because(why: str | None) -> str:
    return "" if why is None else f" ({why})"
