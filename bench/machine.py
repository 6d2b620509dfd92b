"""What the operating system knows of a process (Linux's /proc), and of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since its start."""

    cpu_s: float
    rss_mb: float

    @classmethod
    def of(cls, pid: int) -> Usage | None:
        """Of the process `pid`, all its threads together; None where it is gone.

        With the CPU of its children, also of those that have ended: PostgreSQL has one for each connection.
        """
        try:
            fields = [int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:]]
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        ticks = sum(fields[10:14])  # user and system, its own and those of children that it has waited for
        alive = [cls.of(int(child)) for child in children]
        return cls(
            cpu_s=ticks / _TICKS_PER_S + sum(usage.cpu_s for usage in alive if usage is not None),
            rss_mb=fields[20] * _PAGE_BYTES / 1e6,
        )


@dataclass(frozen=True, slots=True)
class MachineTime:
    """Seconds that all cores together have been busy, and have had, since the machine's start."""

    busy_s: float
    total_s: float

    @classmethod
    def now(cls) -> MachineTime:
        fields = [int(field) for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
        total = sum(fields)  # user, nice, system, idle, iowait, irq, softirq, steal
        return cls((total - fields[3] - fields[4]) / _TICKS_PER_S, total / _TICKS_PER_S)

    def others(self, later: MachineTime, ours_s: float) -> float:
        """The share of the machine that processes of others used between now and `later`: noise."""
        total = later.total_s - self.total_s
        return max(0.0, (later.busy_s - self.busy_s - ours_s) / total) if total > 0 else 0.0


def usages(processes: dict[str, int]) -> dict[str, Usage]:
    """Of those of `processes` (pid by name) that are still there."""
    found = {name: Usage.of(pid) for name, pid in processes.items()}
    return {name: usage for name, usage in found.items() if usage is not None}


def cpu_ms_each(before: dict[str, Usage], after: dict[str, Usage], count: int) -> dict[str, float]:
    """CPU milliseconds per saga, by process; several of one role (`orders#2`) together."""
    used: dict[str, float] = {}
    for name, began in before.items():
        if name in after:
            role = name.partition("#")[0]
            used[role] = used.get(role, 0.0) + (after[name].cpu_s - began.cpu_s) * 1000 / count
    return {role: round(each, 4) for role, each in used.items()}


def tree_bytes(directory: Path) -> int:
    """The bytes that the files below `directory` take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def describe_machine() -> dict[str, Any]:
    """Where this was measured, and with what."""
    memory = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    kafka_jars = sorted((ROOT / "deploy/kafka/target/jars").glob("kafka-server-[0-9]*.jar"))
    kafka = kafka_jars[0].stem.removeprefix("kafka-server-") if kafka_jars else "another's"
    return {
        "commit": commit(),
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gb": round(memory / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kafka": kafka,
        **{name: version(name) for name in ("aiokafka", "aiosqlite", "orjson", "pydantic")},
        "load_average": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """The commit that is measured, with a `+` where files differ from it; `unknown` without git or a repository."""
    if shutil.which("git") is None:
        return "unknown"
    head = _git("rev-parse", "--short", "HEAD")
    return head + ("+" if _git("status", "--porcelain") else "") if head else "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
