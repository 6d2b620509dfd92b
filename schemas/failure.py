"""The body of a reply whose outcome is `failure` or `retry`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kafka_saga.runtime.limits import ERROR_TEXT_LENGTH_MAX


class Failure(BaseModel):
    """Why a command was refused, or could not be done now."""

    model_config = ConfigDict(frozen=True)

    error: str = Field(description=f"For people; the first {ERROR_TEXT_LENGTH_MAX:,} characters are kept")
