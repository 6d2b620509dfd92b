"""How numbers of things, lengths of time, and text from strangers are written for people."""

from __future__ import annotations

import re

_SOUNDS_LIKE_A_CONSONANT = re.compile(r"u(ni|s|ui|ri|rl|tc)|eu|one", re.IGNORECASE)
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))}


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 saga`, `2,000 sagas`; `plural` where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def with_article(name: str) -> str:
    """`a str`, `an int`, `an AsyncSession`, `a UUID`: a class's name or another noun, as it is spoken."""
    is_vowel = name[:1].lower() in {*"aeiou"} and not _SOUNDS_LIKE_A_CONSONANT.match(name)
    return f"{'an' if is_vowel else 'a'} {name}"


def duration(length_ms: int) -> str:
    """A length of time: `45 ms`, `2.31 s`, `4 min`, `3 h`, `12 d`."""
    if length_ms < 1_000:
        return f"{length_ms} ms"
    if length_ms < 60_000:
        return f"{length_ms / 1000:.2f} s"
    for unit, unit_ms, following in (("min", 60_000, 60), ("h", 3_600_000, 48), ("d", 86_400_000, 10**9)):
        if length_ms < unit_ms * following:
            return f"{length_ms // unit_ms} {unit}"
    return f"{length_ms} ms"


def plain(text: str) -> str:
    """`text` on one line, without characters that steer a terminal."""
    return text.translate(_CONTROLS)
