"""Templates: everything is escaped, and a name that nobody gave is an error."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from kafka_saga.orchestrator.dashboard import marks, vocabulary, wording
from kafka_saga.orchestrator.dashboard.statics import url_of
from kafka_saga.runtime.clock import rfc3339


@cache
def environment() -> Environment:
    """The templates of this package, and what they may call."""
    made = Environment(
        loader=PackageLoader("kafka_saga.orchestrator.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(
        static=url_of,
        icon=marks.icon,
        badge=marks.badge,
        shape=marks.shape,
        status=marks.status,
        path_strip=marks.path_strip,
        moment=marks.moment,
        iso_moment=marks.iso_moment,
        since=marks.since,
        until=marks.until,
        saga_look=vocabulary.saga_look,
        step_look=vocabulary.step_look,
        result_look=vocabulary.result_look,
    )
    made.filters.update(
        length=wording.length, lasting=wording.length, count=len, age=wording.age, number=wording.number
    )
    made.filters.update(rfc3339=rfc3339, utc=wording.utc)
    return made


def render(template: str, **context: Any) -> str:
    """The text of a template."""
    return environment().get_template(template).render(context)
