"""The shop that the README prints, for pages that build on it."""

from __future__ import annotations

from tests.examples.console import blocks_of
from tests.integration.processes import ROOT

README = ROOT / "README.md"
SHOP_FLAGS = ("--app", "shop", "--participant", "shop:stock", "--participant", "shop:payment")
"""Of the `saga up` that serves it."""


def readmes_shop() -> str:
    """The program `shop.py`."""
    [program] = [block for block in blocks_of(README, "python") if block.startswith("# shop.py\n")]
    return program
