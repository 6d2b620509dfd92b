"""`<data dir>/broker`: where the embedded broker of a running `saga up` is, for commands in other terminals.

A note that no living process holds is reported, and never believed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import BrokerUnavailableError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.held_note import HeldNote, Note, read_note

NAME = "broker"


class BrokerFile:
    """The file, for the one process that runs the embedded broker of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._note = HeldNote(data_dir / NAME)

    def acquire(self) -> None:
        """Create the file and hold its lock; it says nothing yet.

        Raises:
            StoreRefusedError: another `saga up` uses this directory.
            StoreUnavailableError: the file cannot be written.

        """
        path = self._note.path
        try:
            self._note.take()
        except BlockingIOError as error:
            raise StoreRefusedError(
                f"another `saga up` runs in {path.parent}: use that one, or choose another --data-dir"
            ) from error
        except OSError as error:
            raise StoreUnavailableError(f"cannot write {path}: {error.strerror}") from error

    def write(self, address: str) -> None:
        """Say where the broker is."""
        self._note.write(address, f"The embedded broker of `saga up`, process {os.getpid()}, which removes this file.")

    def remove(self) -> None:
        """Take the file away and give the lock back."""
        self._note.remove()


def read_broker_file(data_dir: Path) -> Note | None:
    """What the file of `data_dir` says; None where there is none, or nothing in it yet."""
    return read_note(data_dir / NAME)


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
