"""What was measured, kept on the disk part by part, so that a long run can be stopped and gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from bench.machine import ROOT, commit, describe_machine

RESULTS = ROOT / "bench" / "results"
_FILE = "results.json"


class Results:
    """Sections of named parts, in `results.json` of a directory of the run's own."""

    def __init__(self, directory: Path, content: dict[str, Any]) -> None:
        self.directory = directory
        self._content = content
        self._commit = commit()

    @classmethod
    def begin(cls, kind: str, parent: Path = RESULTS) -> Self:
        """Of a new run; `kind` is "full" or "short"."""
        began = datetime.now(UTC)
        directory = parent / began.strftime("%Y%m%d-%H%M%S")
        directory.mkdir(parents=True)
        head = {"kind": kind, "began_at": began.isoformat(timespec="seconds"), "machine": describe_machine()}
        return cls(directory, {**head, "sections": {}})

    @classmethod
    def resume(cls, kind: str, parent: Path = RESULTS) -> Self | None:
        """Of the newest run of this kind; None where there is none."""
        for path in sorted(parent.glob(f"*/{_FILE}"), reverse=True):
            content = json.loads(path.read_text())
            if content["kind"] == kind:
                return cls(path.parent, content)
        return None

    @property
    def machine(self) -> Mapping[str, Any]:
        machine: Mapping[str, Any] = self._content["machine"]
        return machine

    @property
    def sections(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Results by section and part."""
        sections: Mapping[str, Mapping[str, Mapping[str, Any]]] = self._content["sections"]
        return sections

    def has(self, section: str, part: str) -> bool:
        return part in self._content["sections"].get(section, {})

    def keep(self, section: str, part: str, result: Mapping[str, Any]) -> None:
        """Remember one part's result, on the disk at once; with the commit, which a resumed run may have changed."""
        about = {"commit": self._commit, "load_average": round(os.getloadavg()[0], 2)}
        self._content["sections"].setdefault(section, {})[part] = {**result, **about}
        path = self.directory / _FILE
        new = path.with_suffix(".new")
        new.write_text(json.dumps(self._content, indent=1) + "\n")
        new.replace(path)
