"""`<data dir>/broker`: where the embedded broker of a running `saga up` is, for commands in other terminals.

The process that wrote it holds a lock on it (`flock`) while the broker lives. A file that nobody holds was left
behind by a process that was killed: it is reported, and never believed.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import BrokerUnavailableError, StoreRefusedError, StoreUnavailableError

NAME = "broker"
_BYTES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class BrokerNote:
    """What the file says, and whether the process that wrote it still lives."""

    path: Path
    address: str
    alive: bool


class BrokerFile:
    """The file, for the one process that runs the embedded broker of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / NAME
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Create the file and hold its lock; it says nothing yet.

        Raises:
            StoreRefusedError: another `saga up` uses this directory.
            StoreUnavailableError: the file cannot be written.

        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreUnavailableError(f"cannot write {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreRefusedError(
                f"another `saga up` runs in {self.path.parent}: use that one, or choose another --data-dir"
            ) from error
        os.ftruncate(descriptor, 0)
        self._descriptor = descriptor

    def write(self, address: str) -> None:
        """Say where the broker is."""
        assert self._descriptor is not None, "acquire() comes first"
        text = f"{address}\n# The embedded broker of `saga up`, process {os.getpid()}, which removes this file.\n"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def remove(self) -> None:
        """Take the file away and give the lock back."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def read_broker_file(data_dir: Path) -> BrokerNote | None:
    """What the file of `data_dir` says; None where there is none, or nothing in it yet."""
    path = data_dir / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        lines = os.pread(descriptor, _BYTES_MAX, 0).decode(errors="replace").splitlines()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            alive = False
        except OSError:
            alive = True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return BrokerNote(path, lines[0].strip(), alive) if lines and lines[0].strip() else None


class DepartedBrokerError(BrokerUnavailableError):
    """The embedded broker is gone."""

    code = "broker_departed"
    retryable = False


class DepartedBroker(KafkaSettings):
    """The settings of an embedded broker whose process is gone: every use says so."""

    def client_options(self) -> dict[str, Any]:
        """Refuse.

        Raises:
            DepartedBrokerError: always, with what to do.

        """
        raise DepartedBrokerError(
            f"the embedded broker at {self.bootstrap_servers} is gone: its `saga up` was killed. "
            "Start `saga up` again, or name a Kafka with KAFKA_BOOTSTRAP_SERVERS"
        )
