"""The maxima of who looks on and waits over HTTP, each with its reason, as in `limits`."""

from __future__ import annotations

from typing import Final

LIVE_CLIENTS_MAX: Final = 100
"""Streams that are open at once: more people than ever look at one system, and far from all connections."""

LIVE_WAITERS_MAX: Final = 16
"""Acts that are waited for over HTTP at once: each has a reader of its own."""

LIVE_WAIT_MS_MAX: Final = 60_000
"""How long one request may wait for something to happen: proxies give up after that."""

IDEMPOTENCY_KEYS_KEPT: Final = 10_000
"""Keys of starts whose requests are remembered: hours of a usual day, in a megabyte."""

LIVE_SILENCE_MS_MAX: Final = 15_000
"""A stream says at least so often that it lives: proxies end what is silent for half a minute."""

GAUGE_AGE_MS_MAX: Final = 1_000
"""Figures are taken anew after this: many screens that ask every second cost as much as one."""

HTTP_SESSIONS_MAX: Final = 10_000
"""Logouts that are remembered, in 150 bytes each, until their sessions would have ended; beyond it the first goes."""

HTTP_CLOCK_SKEW_MS_MAX: Final = 300_000
"""How far the clocks of servers that share sessions may differ; more is a broken clock."""

LAG_AGE_MS_MAX: Final = 5_000
"""Lag is asked of Kafka anew after this, for all pages that are open: some requests to each of its brokers."""

LAG_PATIENCE_MS: Final = 2_000
"""How long the page that is about lag waits for its first reading; after that it says that Kafka is being asked."""

TREND_STEP_MS: Final = 5_000
TREND_MOMENTS_MAX: Final = 180
"""Rates are noted so often, for so many steps: a quarter of an hour, in some kilobytes."""

LIVE_LOOK_MS: Final = 500
LIVE_LOOK_SHARE: Final = 50
"""How often the store is looked at for all of them, and that it takes no more than one part in so many of the time."""

LIVE_MS_MAX: Final = 5_000
"""What says *Live* is no older than this, whatever a look takes: on a busy machine it mostly waits."""

LIVE_CHANGES_KEPT: Final = 2_000
"""Changes that whoever comes back is still told of: minutes of a usual day, a second of a flood; 2 MB."""

CHANGES_PER_LOOK_MAX: Final = 200
"""Changed sagas that one look tells of: more go by faster than anybody reads; that they did is told."""

MESSAGES_SEARCHED_MAX: Final = 200_000
"""Records that one question for a saga's messages looks through: a few seconds; Kafka has no index of sagas."""

LETTERS_LOOKED_AT_MAX: Final = 2_000
"""Dead letters that one look goes through: enough to see what is wrong, read within a second by the first look."""

LETTERS_LOOK_MS_MAX: Final = 60
"""After this a look hands out what it has found, with where to go on; a page takes two or three looks."""

LETTERS_AT_ONCE_MAX: Final = 500
"""Records that are asked for at once: a few milliseconds of the process that also carries sagas out."""

LETTERS_KEPT_MAX: Final = 5_000
"""Of the newest letters so many are kept between two looks, as a list shows them: some ten megabytes."""

LETTERS_CURSOR_LENGTH_MAX: Final = 6_000
"""An offset of each partition with letters; beyond some hundreds of partitions a list must be of one topic."""

SHELF_AGE_MS_MAX: Final = 500
SHELF_IDLE_MS_MAX: Final = 60_000
"""How often Kafka is asked for new letters while somebody looks; after how long without a look all is let go."""

PREFIXED_SAGAS_MAX: Final = 300
"""Sagas with one beginning of their ids that are looked up one by one for what else is asked of them: 20 to 100 ms."""

READ_AGAIN_ROWS: Final = 200
MASKED_WINDOW_ROWS: Final = 2_000
"""Where what is shown of errors decides, each saga that is found is masked first: a tenth of a millisecond each."""

COUNTED_LIST_MAX: Final = 1_000
COUNTED_LIST_MS_MAX: Final = 40
"""As many sagas of a list are counted, and for so long: above it "1,000+" says enough, and the page comes at once."""

FAILURE_GROUPS_MAX: Final = 2_000
"""Different words of errors that one look groups: the commonest; of the others only the number of sagas is known."""

FAILURE_LINES_MAX: Final = 500
"""Lines of failures that a page has, and as many sagas are asked for what is hidden of theirs: more is no overview."""
