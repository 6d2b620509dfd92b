"""Which Chromium the tests drive, and why there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_PLACES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
"""The sandbox cannot be had as root in a container; the pages are our own."""


class NoBrowserError(Exception):
    """There is no Chromium, and this says where it was looked for."""


def find_chromium(environ: Mapping[str, str] = os.environ) -> str:
    """The executable: `SAGA_TEST_CHROMIUM`, or the first that is where distributions put it.

    Raises:
        NoBrowserError: there is none.

    """
    named = environ.get("SAGA_TEST_CHROMIUM")
    places = [named] if named else [*_PLACES, *filter(None, [shutil.which("chromium")])]
    for place in places:
        if Path(place).exists():
            return place
    raise NoBrowserError(f"no Chromium at {', '.join(places)}: install Debian's `chromium`, or set SAGA_TEST_CHROMIUM")
