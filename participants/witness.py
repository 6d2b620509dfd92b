"""Which command was handled when the process died: what kills it again and again is not run any more (R57).

No exception tells of a process that is gone: a native library crashed, no memory was left, something called
`os._exit`. A page of memory that the kernel keeps in a file does tell, and costs no write to the disk. Without it the
command is read again at each start, and everybody behind it waits for a process that cannot live.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from struct import Struct
from typing import Final

from kafka_saga.runtime.errors import BrokenStoreError
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.codec import decode_trusted, encode

_log = log("witness")

DEATHS_MAX: Final = 2
"""Once may be chance, since everybody is killed some day."""

_PAGE_BYTES: Final = 16 * 1024
_LENGTH: Final = Struct("<H")
_ID_AT: Final = _LENGTH.size
_DEATHS_AT: Final = 4 * 1024
_REMEMBERED_MAX: Final = 8


class Nobody:
    """Where nobody looks: in a user's tests, and in the simulator, whose processes are all one."""

    def begins(self, command_id: str) -> None:
        """It is handled now."""

    def ended(self) -> None:
        """Nothing is handled now."""

    def refuses(self, command_id: str) -> bool:  # noqa: ARG002 -- as a witness has it
        """Whether the process has died of it too often."""
        return False


class Witness(Nobody):
    """The page beside one database. Its owner says what it is at."""

    def __init__(self, database: Path) -> None:
        """Look at what the last process was at when it ended, and remember it.

        Raises:
            BrokenStoreError: the file cannot be written.

        """
        path = database.with_name(f"{database.name}.handling")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.ftruncate(descriptor, _PAGE_BYTES)
                self._page = mmap.mmap(descriptor, _PAGE_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise BrokenStoreError(f"{path} cannot be written: {error.strerror}") from error
        self.deaths: dict[str, int] = {}
        """How often the process died of each command since it last stopped as it was told."""
        self._look()

    def begins(self, command_id: str) -> None:
        data = command_id.encode()
        self._page[_ID_AT : _ID_AT + len(data)] = data
        _LENGTH.pack_into(self._page, 0, len(data))

    def ended(self) -> None:
        _LENGTH.pack_into(self._page, 0, 0)

    def refuses(self, command_id: str) -> bool:
        return bool(self.deaths) and self.deaths.get(command_id, 0) >= DEATHS_MAX

    def close(self) -> None:
        """Let go of the file; what stands in it stays."""
        self._page.close()

    def forgive(self) -> None:
        """The process stops as it was told: whoever starts it next may have mended what killed it."""
        self._note({})

    def _look(self) -> None:
        (length,) = _LENGTH.unpack_from(self._page, 0)
        try:
            died_of = self._page[_ID_AT : _ID_AT + length].decode()
            deaths: dict[str, int] = decode_trusted(self._page[_DEATHS_AT:].rstrip(b"\0") or b"{}")
        except ValueError:  # the machine stopped in the middle of it
            died_of, deaths = "", {}
        if died_of:
            times = deaths.pop(died_of, 0) + 1
            deaths = dict([*deaths.items(), (died_of, times)][-_REMEMBERED_MAX:])
            _log.warning("process.died_handling", command_id=died_of, times=times, refused=times >= DEATHS_MAX)
        self._note(deaths)
        self.ended()

    def _note(self, deaths: dict[str, int]) -> None:
        self.deaths = deaths
        self._page[_DEATHS_AT:] = encode(deaths).ljust(_PAGE_BYTES - _DEATHS_AT, b"\0")
