"""What a run says at its end; where several processes share it, each has something to say."""

from __future__ import annotations

from typing import Final

import pytest

REMARKS: Final = pytest.StashKey[list[str]]()
"""Lines, kept with the configuration of the process that adds to them."""
