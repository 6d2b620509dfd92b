"""One way of breaking the code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Mutant(NamedTuple):
    """One thing to break: replace `old`, which stands once in `file`, by `new`; one of `invariants` must fail."""

    name: str
    file: str
    old: str
    new: str
    invariants: str
    settings: Mapping[str, Any] | None = None
    """The faults that bring it out, where most seeds have others too; None: whatever the seeds draw."""

    @property
    def is_stale(self) -> bool:
        """Whether its anchor is gone, or no longer the only one."""
        return (ROOT / self.file).read_text().count(self.old) != 1
