"""SQL as text: its statements and their first words, and its parameters in PostgreSQL's form.

No parser: it knows what may hide a word (comments, strings, quoted names, dollar quotes), and nothing else of SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kafka_saga.runtime.errors import UsageError

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*)
    |(?P<quoted>
        [eE]'(?:[^'\\]|\\.|'')*'?
        |'(?:[^']|'')*'?
        |"(?:[^"]|"")*"?
        |\$(?P<tag>[A-Za-z_][A-Za-z0-9_]*|)\$.*?(?:\$(?P=tag)\$|\Z)
    )
    |(?P<parameter>\?\d*|(?<![:\w]):[A-Za-z_]\w*)
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<end>;)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")

_CACHED_TEXTS_MAX = 1_000
"""A service's handlers have a few dozen statements; who puts values into the text itself must not fill the memory."""


_CONTROL = frozenset(
    {
        ("BEGIN", ""),
        ("START", "TRANSACTION"),
        ("COMMIT", ""),
        ("END", ""),
        ("ROLLBACK", ""),
        ("ABORT", ""),
        ("SAVEPOINT", ""),
        ("RELEASE", ""),
        ("PREPARE", "TRANSACTION"),
        ("DISCARD", ""),
        ("LISTEN", ""),
        ("UNLISTEN", ""),
    }
)
"""What ends the transaction, or is the connection's owner's to say."""

_LASTING = frozenset(
    {
        ("RESET", ""),
        ("PREPARE", ""),
        ("DEALLOCATE", ""),
        ("CREATE", "TEMP"),
        ("CREATE", "TEMPORARY"),
    }
)
"""What stays with the connection, and so meets whoever's command comes next; `SET` does, but for these forms:"""

_NOT_LASTING = frozenset({"LOCAL", "CONSTRAINTS", "TRANSACTION"})

NOT_YOURS = "the transaction belongs to the guard: raise Rejected, or any other exception, to undo it"

OTHERS_TOO = "it stays with the connection, and the handlers of other commands would meet it"


_OUR_TABLES = frozenset({"SAGA_FENCE", "SAGA_OFFSETS", "SAGA_META", "SAGA_MIGRATIONS"})
_CHANGES = frozenset(
    {"ALTER", "ANALYZE", "CLUSTER", "COMMENT", "COPY", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "LOCK", "MERGE"}
    | {"REVOKE", "TRUNCATE", "UPDATE", "VACUUM"}
)
_SESSION_LOCKS = frozenset(
    {"PG_ADVISORY_LOCK", "PG_ADVISORY_LOCK_SHARED", "PG_TRY_ADVISORY_LOCK", "PG_TRY_ADVISORY_LOCK_SHARED"}
    | {"PG_ADVISORY_UNLOCK", "PG_ADVISORY_UNLOCK_SHARED", "PG_ADVISORY_UNLOCK_ALL"}
)


class Numbered(NamedTuple):
    """A statement with `$1, $2, …`, and what each of them was called: its place, or its name."""

    text: str
    names: tuple[int | str, ...]


@lru_cache(_CACHED_TEXTS_MAX)
def first_words(text: str) -> tuple[tuple[str, str], ...]:
    """The first two words of each statement of `text`, in capitals; an empty text for one that is not there."""
    found: list[tuple[str, str]] = []
    words: list[str] = []
    is_empty = True
    for kind, token in _tokens(text):
        if kind == "end":
            if not is_empty:
                found.append(_two(words))
            words, is_empty = [], True
        elif kind != "comment" and not token.isspace():
            # What stands before the first word (a bracket) or between the two makes no difference to either.
            is_empty = False
            if kind == "word" and len(words) < 2:
                words.append(token.upper())
    if not is_empty:
        found.append(_two(words))
    return tuple(found)


@lru_cache(_CACHED_TEXTS_MAX)
def _words(text: str) -> frozenset[str]:
    """Every word and quoted name of `text`, in capitals."""
    return frozenset(
        token.strip('"').upper() for kind, token in _tokens(text) if kind == "word" or token.startswith('"')
    )


def check_statement(text: str) -> None:
    """Refuse what would end, leave or outlive the transaction, in every statement of `text`, or touch the guard's rows.

    Raises:
        UsageError: it would.

    """
    for first, second in first_words(text):
        if (first, "") in _CONTROL or (first, second) in _CONTROL:
            raise UsageError(NOT_YOURS)
        if first == "SET" and second not in _NOT_LASTING:
            raise UsageError(f"SET {second}: {OTHERS_TOO}: write `SET LOCAL`")
        if (first, "") in _LASTING or (first, second) in _LASTING:
            raise UsageError(f"{first} {second}: {OTHERS_TOO}: do without it")
    _check_words(_words(text))


def _check_words(words: frozenset[str]) -> None:
    if not words.isdisjoint(_OUR_TABLES) and not words.isdisjoint(_CHANGES):
        [table, *_] = sorted(words & _OUR_TABLES)
        raise UsageError(f"the table {table.lower()} is the guard's: handlers may read it, and no more")
    if not words.isdisjoint(_SESSION_LOCKS):
        raise UsageError(f"an advisory lock of the session: {OTHERS_TOO}: take pg_advisory_xact_lock")
    if "SET_CONFIG" in words and "TRUE" not in words:
        raise UsageError(f"set_config: {OTHERS_TOO}: write `set_config(name, value, true)`")


@lru_cache(_CACHED_TEXTS_MAX)
def numbered(text: str) -> Numbered:
    """`text` with PostgreSQL's parameters for `?`, `?1` and `:name`; one that has `$1` itself stays as it is."""
    parts: list[str] = []
    names: list[int | str] = []
    count = 0
    for kind, part in _tokens(text):
        if kind != "parameter":
            parts.append(part)
            continue
        count += part == "?"
        name: int | str = part[1:] if part[0] == ":" else int(part[1:] or count)
        if name not in names:
            names.append(name)
        parts.append(f"${names.index(name) + 1}")
    return Numbered("".join(parts), tuple(names))


def in_order(names: Sequence[int | str], params: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any]:
    """The values of `params` for `names`; as they are where the text had PostgreSQL's own parameters.

    Raises:
        LookupError: one is missing; it names it.

    """
    if not names:
        return tuple(params.values()) if isinstance(params, Mapping) else params
    if isinstance(params, Mapping):
        return [params[name] for name in names]  # type: ignore[index] # a place in a dict is missing, too
    if any(isinstance(name, str) for name in names):
        raise LookupError(
            f"the statement has the parameter :{next(n for n in names if isinstance(n, str))}: pass a dict"
        )
    if len(params) < max(int(name) for name in names):
        raise LookupError(
            f"the statement has {max(int(name) for name in names)} parameters, and {len(params)} are given"
        )
    return [params[int(name) - 1] for name in names]


def _two(words: list[str]) -> tuple[str, str]:
    first, second = [*words, "", ""][:2]
    return first, second


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None, "any character is a token"
        kind, end = match.lastgroup or "other", match.end()
        if kind == "tag":
            kind = "quoted"
        if match[0] == "/*":
            end = _end_of_comment(text, end)
        yield kind, text[at:end]
        at = end


def _end_of_comment(text: str, at: int) -> int:
    """PostgreSQL's comments may stand inside each other."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            return len(text)
        depth += 1 if edge[0] == "/*" else -1
        at = edge.end()
    return at
