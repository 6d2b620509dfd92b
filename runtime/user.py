"""Who runs this process."""

from __future__ import annotations

import getpass
import socket


def this_user() -> str:
    """`user@host`, for the record."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
