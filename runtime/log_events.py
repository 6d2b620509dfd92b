"""Every event that our log lines name, the level they have, and what it means: docs/logs.md is made of this table.

Names are dotted and stable: alerts and searches may rely on them. A test finds every line of the source here, and every
row of the table in the source.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(NamedTuple):
    """One row.

    Attributes:
        name: what the line's `event` is.
        level: of the line.
        meaning: what has happened, and what to do where something is to be done.

    """

    name: str
    level: Level
    meaning: str


_TABLE: Final = """
admin.ready info Health and metrics are served at `url`.
config.variable_ignored warning A variable looks like a setting and is none: a typo, probably.
failpoint.armed warning A test told this process where to die.
health.note_not_written warning `saga health` cannot see this process: its data directory cannot be written.
bulk.stopped warning A bulk act ended before its list: `error` says why; what was sent stays.
count.failed warning Sagas could not be counted for the overview; it is tried again later.
http.acted info A request over HTTP changed something: who asked, how that is known, from where.
http.failed error A request ended in an error that is our fault.
http.live_failed warning Live pages get no news for now: the store does not answer.
http.login info Somebody logged in with a token.
http.login_failed warning A token was wrong.
http.ready info Dashboard and HTTP API are served at `url`.
http.refused info A request over HTTP was not let through: who asked, for what, from where.
outbox.refused error Kafka does not take requests from a service's outbox table; others go on.
outbox.relaying info The outbox table is read.
outbox.started info The relay of an outbox table works.
outbox.stopped info It has stopped.
outbox.waiting warning The relay waits for its database or for Kafka.
saga.requested info Somebody started a saga by the dashboard.
metrics.read_failed warning A scrape shows what was read before: the store or Kafka did not answer.
process.died_handling warning An earlier process died of this command, it seems; after several it is not run.
process.exit_ignored error A task or a callback of a handler tried to end the process.
process.task_died error A background task died, and the process ends: what of, its last line says.
traces.not_exported warning `OTEL_…` variables ask for traces, and they cannot be sent: `why` says what is missing.
orchestrator.ready info It works.
orchestrator.stopped info It has stopped, after the batch in hand; with what happened since the start, by name.
participant.faults warning Faults are injected on purpose (`SAGA_FAULT_…`).
participant.no_state_dir warning The note of what a process died of is kept elsewhere.
participant.prepare_failed error `prepare` of a service raised; the process ends.
participant.ready info It works.
participant.stopped info It has stopped, after the batch in hand.
act.decided info An operator's act was carried out, changed nothing, or was refused.
batch.not_written debug The database took nothing (`store.unavailable`, `store.full`); the batch is decided anew.
batch.committed debug A batch was written.
batch.conflict warning Another writer was first; the batch is decided anew. Many: a producer has another partitioner.
event.ignored debug A reply or a timer changes nothing: it is late, or a copy.
message.dead_lettered warning A message cannot be used and was set aside with its cause: `saga dlq list`.
pauses.changed info An operator paused something, or let it go on.
purge.conflict warning A purge met another writer and looks again.
purged.remembered_longer warning Purged ids are remembered for as long as the topic keeps requests.
recovery.parked warning Sagas of a version that no code has were parked.
recovery.republishing info What a process before left in the outbox is published; some of it for the second time.
reply.contradicts warning A service answers a step otherwise than before.
sagas.purged info Finished sagas were deleted.
timers.held warning No step times out for now: how far the reply topics reach is not known.
timers.released info Steps time out again.
replica.beat_failed warning A replica's beat did not reach the database.
replica.declared_dead warning A replica whose beat stood still is taken for dead; its work goes to others.
replica.joined info A replica takes part.
replica.left_group error This replica does not reach the database and has left its partitions to others.
replica.left_unsaid warning A replica could not say that it leaves; others will see that its beat stands still.
replica.life_over warning This replica was declared dead while it was away, and begins anew.
replica.not_back warning Kafka does not answer; the replica tries again to come back.
replica.owns info Which partitions and lanes are this replica's now.
store.answers_again info The database is back, or takes what is written again.
store.checking warning The database's pages are checked before it is used: its last owner was killed.
store.log_short_again info The write-ahead log was written from its start again.
store.log_too_long error The write-ahead log grows: something reads the file for too long, and must be ended.
store.full error The disk of the database's server is full: make room there. All waits until then; nothing is lost.
store.unavailable warning The database does not answer, or takes nothing: `why` says what waits. It is tried again.
batch.contended info Another worker is in the way; the batch is done again.
call.no_handler error A call that was begun cannot be continued: this program has no handler for it.
call.unreadable error A call that was begun cannot be continued: its body does not fit the model any more.
command.busy warning Others hold what the command needs; it is answered with `retry`.
command.handled debug A command was answered.
command.kills error The process has died of this command again and again: it is answered with `retry`, and not run.
command.retry warning A handler failed; the step is tried again. With the stack, once for each kind of failure.
command.transaction_lost warning A handler's SQL ended the transaction; it was undone, and is answered with `retry`.
command.unknown_type warning No handler for this type here; answered with `retry`, since a rollout may be under way.
fence.pruned info Rows older than the fence's retention were deleted.
handler.blocks warning A handler blocks the event loop, and nothing else is handled. With its stack.
worker.begins_again warning Another worker wrote; the batch is done again.
worker.offsets_not_written warning Positions are written with the next batch.
worker.reset_waits_for_publication warning A position was lost, and what was handled before is published first.
worker.revoked_unpublished warning Partitions were given away before all replies were out; who reads them next answers.
worker.stopped_unpublished warning It ends before all replies are out; they are sent after the next start.
worker.upkeep_put_off warning Old rows of the fence are deleted later.
clock.close_abandoned debug A connection that compared clocks did not close in time.
clock.not_compared debug Kafka did not tell its time.
clock.refused warning The broker refuses our time; records carry the broker's from here on.
clock.skewed warning This machine's clock and Kafka's differ: set one of them right.
commit_hints.failing warning Offsets for lag tools are not committed; nothing else depends on them.
consumer.broker_away warning No broker answers; it is tried until one does.
consumer.partition_goes_on info A partition can be read on.
consumer.partition_stuck warning A partition cannot be read on: `why` says if a transaction is open or a broker away.
consumer.partitions_added info A topic has more partitions now, and they are read.
consumer.partitions_gone error A topic was made anew with fewer partitions.
consumer.poll_cut_short warning What came unpacks to more than one poll may hold; the rest comes with the next.
consumer.poll_failed error Reading failed; the connection is made anew.
consumer.position_forgotten info A position was forgotten on purpose.
consumer.position_lost error Kafka has not kept what was to be read next: requests or replies are lost (`saga doctor`).
consumer.rebuilt warning The connection was made anew.
consumer.record_unreadable error A record's bytes cannot be read at all; it is set aside.
consumer.reset_delayed warning A lost position is looked up again with the next poll.
consumer.stop_abandoned warning A connection did not close in time.
consumer.unreadable_record_not_found error Reading fails, and each record by itself can be read.
group.assigned info Which partitions Kafka gave to this process.
group.claimed info The consumer group is this store's from now on.
group.left info This process has left its group.
group.not_left warning Kafka did not hear that this process leaves; it will see it.
group.revoked info Kafka took these partitions away.
group.taken_back warning Another process used this store's group; it is claimed anew.
group.taken_later warning Partitions are taken with one of the next polls: a position is not known yet.
kafka.abandoned_call_failed debug A call that nobody waited for any more failed.
credentials.kept warning A file of a password, certificate or key cannot be used; what stood there before is.
kafka.awaited warning Kafka does not answer; the process waits for it.
mark.unreadable warning A mark of what became of a dead letter cannot be read.
producer.batches_shrunk warning The topic takes smaller batches than ours.
producer.stop_abandoned warning A connection did not close in time.
publish.lost error A message cannot be sent, nor set aside; the line is all that is left of it.
publish.refused error A topic takes nothing: its messages wait, others go on (docs/operating.md).
publish.set_aside error A message that the topic refuses was set aside as a dead letter.
publish.topic_takes_again info The topic takes messages again.
publish.unavailable warning No broker takes messages; it is tried until one does.
publish.unsendable error A command cannot be sent, and its saga was told.
topic.created info A topic was created.
topic.not_created warning The broker does not let us create a topic.
topics.close_abandoned warning A connection did not close in time.
topics.created info Topics were created.
unreadable.batch_unknown warning A batch that cannot be read is searched for the record that is to blame.
widening.look_failed debug Kafka did not say which partitions there are.
"""


def page() -> str:
    """The table as docs/logs.md has it."""
    rows = [f"| `{event.name}` | {event.level} | {event.meaning} |" for event in log_events()]
    return "\n".join(["| Event | Level | What it means |", "|---|---|---|", *rows, ""])


def log_events() -> tuple[LogEvent, ...]:
    """The table."""
    found = []
    for line in _TABLE.strip().splitlines():
        name, level, meaning = line.split(" ", 2)
        assert level in {"debug", "info", "warning", "error"}, line
        found.append(LogEvent(name, level, meaning))  # type: ignore[arg-type] # just checked
    return tuple(found)
