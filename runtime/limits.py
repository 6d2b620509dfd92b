"""Every maximum, in one place, each with its reason. Units are in the names.

A limit that is passed is a clear error or a dead letter, never a crash and never silence.
"""

from __future__ import annotations

from typing import Final

# --- messages -------------------------------------------------------------------------------------
PAYLOAD_BYTES_MAX: Final = 256 * 1024
"""A quarter of Kafka's default `max.message.bytes`: a message with its headers always fits a batch."""

JSON_DEPTH_MAX: Final = 32
"""Deeper documents are attacks or accidents; parsers of other languages stop between 20 and 1,000."""

HEADERS_MAX: Final = 64
HEADERS_BYTES_MAX: Final = 16 * 1024
"""We send 8 headers of 250 bytes; tracing and gateways add a few. Beyond that a record is hostile."""

ID_LENGTH_MAX: Final = 128
"""Saga ids stand in keys, headers, command ids, logs and URLs; a command id stays under 512 bytes."""

ERROR_TEXT_LENGTH_MAX: Final = 2_000
"""A saga's error is for people; the stack stays in the participant's log."""

STACK_FRAMES_MAX: Final = 40
STACK_DEPTH_MAX: Final = 8
"""Frames of one exception, and exceptions that led to it or are inside it: a thousand of a recursion say no more."""

STACKS_REMEMBERED_MAX: Final = 1_000
"""Commands whose stack is known to stand in the log: as many as are in flight at once, and 200 KB at most."""

DEAD_LETTER_VALUE_BYTES_MAX: Final = 64 * 1024
"""What is kept of a record so large that its dead letter would pass the broker's own limit."""

DEAD_LETTER_WHOLE_BYTES_MAX: Final = 768 * 1024
"""Dead letters up to here are kept whole: three quarters of the broker's default limit, for added headers."""

DEAD_LETTER_REMNANT_BYTES_MAX: Final = 1024
"""What is kept of the key and of the value where the dead letter topic refused more: enough to know what it was."""

DEAD_LETTER_REPLAYS_MAX: Final = 2
"""A letter that came back twice comes back a third time: something must be mended first (`--force` overrules)."""

DEAD_LETTERS_PER_RUN_MAX: Final = 100_000
"""Dead letters that one redrive or discard takes: what it knows of them, not they themselves, is kept in memory."""

REPLAY_BATCH_LETTERS_MAX: Final = 100
REPLAY_BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""Letters published before they are marked as handled: what a redrive that is killed may send once more."""

BATCH_DECOMPRESSED_BYTES_MAX: Final = 8 * 1024 * 1024
"""One batch as it was before it was compressed: eight times what producers put into one at their defaults (1 MB)."""

POLL_DECOMPRESSED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Everything that one poll decompresses: what 2,000 honest records hardly reach, and a hostile fetch passes at once."""

PUBLISH_BATCH_BYTES_MAX: Final = 768 * 1024
"""One record batch; the broker's default limit is 1,048,588 bytes and we stay clearly below it."""

# --- sagas ----------------------------------------------------------------------------------------
SAGA_DATA_BYTES_MAX: Final = 1024 * 1024
"""Request and replies together: they are rewritten with every step, so size is paid again and again."""

VERSION_MAX: Final = 2**31 - 1
"""Of a definition: room for dates as versions (20261129), and a number that every store and client can hold."""

STEPS_MAX: Final = 64
"""A saga of more steps is a workflow in disguise; the record and the log stay readable."""

ATTEMPTS_MAX: Final = 20
"""Sends of one command before a person must look: with the backoff capped at 60 s about a quarter of an hour."""

LOG_ROWS_MAX: Final = 1_000
"""Rows of one saga's log beyond which what changes nothing adds none: a service that answers rubbish for ever."""

BACKOFF_MS_MAX: Final = 60_000
"""Nobody notices a repaired service later than a minute after its repair."""

TIMEOUT_MS_MAX: Final = 30 * 24 * 3_600_000
"""Thirty days: the longest human step anyone should hold other services' reservations for."""

# --- engine ---------------------------------------------------------------------------------------
BATCH_RECORDS_MAX: Final = 2_000
"""One transaction: large enough to spread an fsync thinly, small enough to commit in a fraction of a second."""

POLL_RECORDS_MAX: Final = 500
"""Records taken from Kafka at once: half of the window. Were a whole flood one batch, the orchestrator and the
services would take turns with it and leave cores idle; of far smaller ones each pays for a commit of its own."""

IN_FLIGHT_MAX: Final = 1_000
"""Sagas admitted at once (R20): their commands queue for well under a second at a participant."""

IN_FLIGHT_MIN: Final = 16
"""Admission never shrinks below this: a slow service still gets work, and its recovery is noticed."""

HELD_MAX: Final = 50_000
"""Held sagas beyond this many count as running (R20): a service that is paused for days must not fill our disk."""

PENDING_MAX: Final = 1_000
"""Sagas accepted before there is room for them: beyond half of this request partitions stay paused (they keep them
better, and each costs less that can begin at once), and what one more poll brings fits too."""

SAGAS_FOLLOWED_MAX: Final = 20_000
"""Unfinished sagas whose ends `saga up` tells: a megabyte of keys; of what waits beyond it some ends are not told."""

OUTBOX_MESSAGES_MAX: Final = 50_000
"""Unpublished messages; beyond it intake pauses, so that an unreachable broker cannot fill the disk."""

ACTS_PER_BATCH_MAX: Final = 500
"""Operator acts taken at once; a bulk act of thousands is spread over batches and never starves replies."""

ACT_TEXT_LENGTH_MAX: Final = 500
"""Who acts, why, and an act's id: people read them in tables and in the saga's error."""

BULK_UNSETTLED_MAX: Final = 500
"""Acts of one bulk act that are under way at once: half the admission window, so that a thousand repaired sagas do
not queue before the service that was just repaired (R20)."""

SAGA_RETENTION_MS: Final = 30 * 24 * 3_600_000
"""How long finished sagas are kept: a month's questions ("what became of my order?") can still be answered."""

PURGED_RETENTION_MS: Final = 30 * 24 * 3_600_000
"""How long the identity of a purged saga is kept (R29): four times Kafka's default retention of a request."""

PURGE_ROWS_MAX: Final = 200
"""Sagas looked at in one step of a purge while nothing comes: ten milliseconds, which one request may have to wait."""

PURGE_ROWS_BUSY_MAX: Final = 40
"""The same while something comes: two or three milliseconds, most of them the commit."""

WAL_BYTES_MAX: Final = 1024 * 1024 * 1024
"""A write-ahead log that a forgotten reader keeps from starting again; beyond it no new sagas are accepted."""

FENCE_RETENTION_MS: Final = 30 * 24 * 3_600_000
"""How long a participant remembers what it did (R16); beyond any redelivery that is still possible."""

CHECKED_BYTES_MAX: Final = 256 * 1024 * 1024
"""A database up to this size is checked at every start, in less than half a second; a larger one after a crash."""

# --- looking after it -------------------------------------------------------------------------------
COUNTED_ROWS_MAX: Final = 50_000
"""Rows that a question of the doctor's counts: as many as are ever held; beyond it "50,000" says enough."""

OUTBOX_BATCHES_READ_MAX: Final = 50
"""Oldest outbox rows whose topics the doctor names: each may hold the messages of 2,000 records."""

LETTERS_READ_MAX: Final = 5_000
"""Dead letters that the doctor and `saga explain` read: a second or two; `saga dlq count` reads all."""

EXAMINED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Store files up to this size have every page read by the doctor, in a quarter of a second; larger ones when asked."""

TOPIC_RETENTION_MS_MIN: Final = 24 * 3_600_000
"""A night and the morning after: an outage that nobody saw until then must not have lost messages."""

DISK_FREE_BYTES_WANTED: Final = 1024 * 1024 * 1024
"""What a write-ahead log may grow to before the orchestrator accepts no new sagas."""

DISK_FREE_BYTES_MIN: Final = 128 * 1024 * 1024
"""Below it a full disk, which ends every process that writes, is near."""

EXPLAIN_TIMEOUT_MS: Final = 3_000
"""How long `saga explain` waits for what Kafka knows: the store's own answer is worth having without it."""

PAGE_WINDOW_ROWS: Final = 20_000
"""Sagas that one question of a list looks at: some twenty milliseconds of a reader, whatever the filter."""

PAGE_WORK_MS_MAX: Final = 100
"""After this a page of a list is handed out as it is, with where to go on: half of what a person takes for at once."""

# --- over HTTP --------------------------------------------------------------------------------------
HTTP_READERS_MAX: Final = 4
"""Readers of the store that requests share: on SQLite each is a thread, on PostgreSQL a session."""

HTTP_READER_AGE_MS_MAX: Final = 60_000
"""A reader is opened anew after this: a file that was put back in a restore is another file."""

HTTP_CONNECTIONS_MAX: Final = 500
"""Connections that are served at once; each takes a file, of which a process has 1,024 by default."""

HTTP_HEAD_TIMEOUT_MS: Final = 10_000
"""For the head of a request to come whole: browsers and programs send it in one piece."""

HTTP_READER_TIMEOUT_MS: Final = 30_000
"""For the reader of an answer to take some of it; a browser that sleeps comes back by itself."""

HTTP_BODY_BYTES_MAX: Final = 1024 * 1024
"""The body of a request: four of the largest payloads, or a thousand ids."""

HTTP_BODY_TIMEOUT_MS: Final = 15_000
"""For a body to come whole: 70 KB a second at the worst."""

HTTP_LOGIN_BYTES_MAX: Final = 8 * 1024
"""What somebody may send before anybody knows who it is."""

HTTP_FORM_FIELDS_MAX: Final = 2_000
"""Fields of a form: a bulk act's list of ids is one of them."""

HTTP_TOKEN_LENGTH_MIN: Final = 16
HTTP_TOKEN_LENGTH_MAX: Final = 512
"""Shorter ones are guessed; a longer one is a file given by mistake."""

HTTP_BUCKETS_MAX: Final = 10_000
"""Users whose requests are counted; beyond it those who asked longest ago are forgotten, and start anew."""

HTTP_FAILURES_PER_SECOND: Final = 0.2
HTTP_FAILURES_BURST: Final = 20
"""Wrong tokens from one address: twenty, and then one each five seconds. A token of 16 characters outlasts that."""

HTTP_STREAMS_MAX: Final = 200
HTTP_STREAMS_OF_ONE_MAX: Final = 50
"""Pages that are kept up to date at once, of all and of one user; each holds a connection."""

HTTP_STOP_TIMEOUT_MS: Final = 3_000
"""How long a request that is being answered keeps the process from ending."""

# --- waiting --------------------------------------------------------------------------------------
SESSION_TIMEOUT_MS: Final = 10_000
HEARTBEAT_INTERVAL_MS: Final = 3_000
REVOKE_TIMEOUT_MS: Final = 3_000
"""How long a rebalance waits for a member to finish what it has in hand; what it then still writes is refused (R60)."""

PUBLISH_TIMEOUT_MS: Final = 10_000
"""After this a producer is abandoned and everything unacknowledged is sent again by a new one."""

HOLD_MS_MAX: Final = 600_000
"""For how long a topic that takes nothing is waited for: time for a person to create it, or to give the right."""

HELD_MESSAGES_MAX: Final = 50_000
"""Messages that wait for topics that take nothing; beyond it the oldest of the topic with most of them are given up."""

SKEW_INTERVAL_MS: Final = 60_000
SKEW_MS_WARNED: Final = 5_000
"""A clock this far from Kafka's is no longer one that a time server sets."""

REQUEST_TIMEOUT_MS: Final = 10_000
CONNECT_TIMEOUT_MS: Final = 10_000
PROBE_TIMEOUT_MS: Final = 3_000
"""Each question of a probe, which finds out why a connection failed: somebody may be waiting for the answer."""

BROKER_WAIT_BACKOFF_MS_MAX: Final = 5_000
"""Between two attempts of a process that waits for Kafka to come: nobody notices the rest of five seconds."""

HANDLER_TIMEOUT_MS: Final = 2_000
"""A handler inside a transaction holds up its whole batch; what takes longer belongs outside (R17)."""

HANDLER_TIMEOUT_MS_MAX: Final = 60_000
"""Of one handler: for as long every other command of its service waits, and few steps wait that long for a reply."""

HANDLER_LOCK_TIMEOUT_MS: Final = 100
"""A row that somebody else holds for longer is a conflict and not a wait: deadlocks take a second to be found (R78)."""

COMMANDS_PER_TRANSACTION_MAX: Final = 60
"""On PostgreSQL, where each has a savepoint: from 64 on every other session's snapshots go to the disk. 500 of them in
one transaction would cost 6 % less each."""

SOLE_MS: Final = 10_000
"""After a conflict over business rows a worker's batches run one at a time in its service, for this long (R78)."""

WORKER_NAME_WAIT_MS: Final = 5_000
"""How long a start waits for the session of the last process of its name to end."""

PORTION_MS_MAX: Final = 250
"""Of a batch's handlers: what has taken this long is committed and answered before the next handler runs, so that a
slow one costs those behind it its own time, and those before it none. A flood's batch takes a fifth of it."""

EXTERNAL_CALLS_MAX: Final = 32
"""Calls to the outside that one participant has open at once."""

EXTERNAL_PENDING_MAX: Final = 1_000
"""External calls begun or queued; beyond it a participant reads no more commands, so that memory is bounded."""

EXTERNAL_TIMEOUT_MS: Final = 30_000
"""One call to the outside; card processors promise an answer, if any, within half a minute."""

POSTGRES_CONNECT_TIMEOUT_MS: Final = 10_000
"""A server that has not answered by then is away: whoever waits for it says so and tries again."""

POSTGRES_ANSWER_TIMEOUT_MS: Final = 15_000
"""Longer than the server lets a statement run: whoever has no answer by then has lost the connection."""

POSTGRES_CLOSE_TIMEOUT_MS: Final = 2_000
"""How long a session's end is waited for: nothing depends on it."""

POSTGRES_BESIDE_STATEMENT_TIMEOUT_MS: Final = 30_000
"""For whoever works beside the replicas: time to count tens of millions of sagas, and not to hold their vacuum up."""

POSTGRES_BESIDE_LOCK_TIMEOUT_MS: Final = 2_000
"""A row that the replicas hold for longer is waited for by trying again."""

POSTGRES_KEY_SLACK_MS: Final = 60_000
"""Keys are given before transactions commit, by several machines: a saga may lie so far before its neighbour (R75)."""

MOVED_ROWS_MAX: Final = 2_000
"""Rows of one transaction while a store is moved: some megabytes."""

REPLICA_WATCH_MS: Final = 2_000
"""A beat comes every second: in this time one of a replica that lives is seen (R61)."""

MIGRATION_LOCK_TIMEOUT_MS: Final = 2_000
MIGRATION_TRIES_MAX: Final = 15
"""A change of a table waits for its readers, and all others behind it: briefly, and for half a minute in all."""

BEAT_MS: Final = 1_000
LEASE_MS: Final = 5_000
"""A replica says so often that it lives; one whose beat has stood still for so long is declared dead (R61). One that
does not reach the store for so long leaves its partitions to others (R60)."""

HEARTBEAT_MS: Final = 500
HEARTBEAT_NOTE_MS: Final = 2_000
HEARTBEAT_SILENCE_MS_MAX: Final = 10_000
UNANSWERED_MS_MAX: Final = 10_000
OUTBOX_AGE_MS_MAX: Final = 30_000
READY_LOOK_TIMEOUT_MS: Final = 1_000
SCRAPE_READ_TIMEOUT_MS: Final = 1_000
ADMIN_CONNECTIONS_MAX: Final = 32
"""Five notes missed: the process is gone. What waits for 30 s to be published is an outage. A probe has one."""

TIMERS_PER_BATCH_MAX: Final = 500
"""Timers that replicas fire in one batch: of what several may write, less is lost by a conflict (R71)."""

CLIENT_WINDOW_MS: Final = 300_000
CLIENT_OUTCOME_TIMEOUT_MS: Final = 60_000
"""How long a client knows of an end that nobody waited for (a page is loaded again), and waits where nobody says."""

CLIENT_LOOK_BACK_RECORDS_MAX: Final = 200_000
"""Events that a client reads at its start to learn of those: some seconds, whatever the window."""

CLIENT_ENDS_MAX: Final = 50_000
CLIENT_ENDS_BYTES_MAX: Final = 64 * 1024 * 1024
"""Ends that a client remembers: an event is half a kilobyte as a rule, and a quarter of a megabyte at most."""

CLIENT_REFUSALS_MAX: Final = 10_000
"""Dead letters of requests that a client remembers: a few megabytes; honest requests are checked before."""

CLIENT_WAITERS_MAX: Final = 100_000
"""Outcomes awaited at once: 100 MB of tasks in the caller's process; a service that has more has other troubles."""

CLIENT_STARTS_PER_BATCH_MAX: Final = 500
CLIENT_STARTS_WAITING_MAX: Final = 10_000
"""Requests of one publish, and those that wait for the next ones: who brings more waits until some are published."""

OUTBOX_RELAY_ROWS_MAX: Final = 200
"""Requests that a relay of clients' outboxes has in hand: 50 MB at most, and a transaction of some milliseconds."""

CLIENT_EVENT_IDS_MAX: Final = 10_000
"""Ids of events that a stream has passed on: a copy that comes within so many is noticed."""

STOP_TIMEOUT_MS: Final = 10_000
"""A stopping client that hangs (a broker that is away) is abandoned after this; the store is closed by then."""

CONFIG_FILE_BYTES_MAX: Final = 256 * 1024
"""A file of every setting there is takes 3 KB; a device or a pipe given by mistake must not be read for ever."""

TOLD_ERRORS_MAX: Final = 100_000
"""Reasons that a restore takes over from events: some 20 MB of memory; sagas beyond keep what the fence says."""


assert PAYLOAD_BYTES_MAX + HEADERS_BYTES_MAX < PUBLISH_BATCH_BYTES_MAX
assert DEAD_LETTER_REMNANT_BYTES_MAX < DEAD_LETTER_VALUE_BYTES_MAX
assert DEAD_LETTER_VALUE_BYTES_MAX < DEAD_LETTER_WHOLE_BYTES_MAX <= PUBLISH_BATCH_BYTES_MAX
assert PUBLISH_BATCH_BYTES_MAX < BATCH_DECOMPRESSED_BYTES_MAX < POLL_DECOMPRESSED_BYTES_MAX
assert POLL_RECORDS_MAX * 2 <= IN_FLIGHT_MAX
assert POLL_RECORDS_MAX <= BATCH_RECORDS_MAX
assert IN_FLIGHT_MIN < IN_FLIGHT_MAX <= PENDING_MAX
assert PENDING_MAX // 2 + POLL_RECORDS_MAX <= PENDING_MAX, "intake pauses at half, and a poll may come on top"
assert HEARTBEAT_INTERVAL_MS * 3 <= SESSION_TIMEOUT_MS
assert BEAT_MS * 5 <= LEASE_MS
assert HTTP_STREAMS_OF_ONE_MAX < HTTP_STREAMS_MAX < HTTP_CONNECTIONS_MAX, "streams leave connections to others"
assert PAYLOAD_BYTES_MAX * 4 <= HTTP_BODY_BYTES_MAX
assert REVOKE_TIMEOUT_MS < LEASE_MS < SESSION_TIMEOUT_MS
