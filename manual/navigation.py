"""The site's navigation, as mkdocs.yml has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from manual.complaint import ComplaintError

FOLDERS_OF_THEIR_OWN = ("decisions/",)
"""Pages that a page of theirs lists."""


def navigated(config: str) -> list[str]:
    """The pages that the navigation of `mkdocs.yml` names, in their order."""
    return list(_pages(yaml.load(config, Loader=yaml.SafeLoader)["nav"]))


def check_navigation(config: str, pages: list[str]) -> None:
    """Compare it with the pages there are; the site's generator looks at links only.

    Raises:
        ComplaintError: a page is named that is not there.

    """
    for page in navigated(config):
        if page not in pages:
            raise ComplaintError(f"mkdocs.yml: the navigation names {page}, which does not exist")


def unplaced(config: str, pages: list[str]) -> list[str]:
    """Pages that nobody finds."""
    named = set(navigated(config))
    return [page for page in pages if page not in named and not page.startswith(FOLDERS_OF_THEIR_OWN)]


def _pages(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    else:
        for one in part.values() if isinstance(part, dict) else part:
            yield from _pages(one)
