"""Names of parametrized cases that are the same in every process: the run's workers compare them."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def shown(value: object) -> str:
    """`value` as text, without the addresses of functions and objects in it."""
    return _ADDRESS.sub("", str(value))
