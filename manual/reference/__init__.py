"""The reference: pages that are made of the code, the same for the same code, one module for each."""

from __future__ import annotations

from collections.abc import Callable

from manual.reference import (
    command_line,
    errors,
    headers,
    log_events,
    metrics,
    python_api,
    rules,
    settings,
)

PAGES: dict[str, Callable[[], str]] = {
    "reference/python-api.md": python_api.page,
    "reference/command-line.md": command_line.page,
    "reference/settings.md": settings.page,
    "reference/headers.md": headers.page,
    "reference/metrics.md": metrics.page,
    "reference/log-events.md": log_events.page,
    "reference/errors.md": errors.page,
    "reference/rules.md": rules.page,
}
"""Where a page is on the site, and what makes it."""


def reference_pages() -> dict[str, str]:
    """Every generated page, by its path."""
    return {name: make() for name, make in PAGES.items()}
