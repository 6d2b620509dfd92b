"""A saga of another type that waits for a service which does not exist: each one is a waiting timer (`--app`)."""

from __future__ import annotations

from pydantic import BaseModel

from kafka_saga.orchestrator.definition import Saga, Step

_HOUR_MS = 3_600_000


class ParcelRequested(BaseModel):
    """Somebody wants a parcel fetched."""

    parcel_id: str


class FetchParcel(BaseModel):
    """Fetch it."""

    parcel_id: str


class ReturnParcel(BaseModel):
    """Bring it back."""

    parcel_id: str


parcel_saga = Saga(
    "parcel",
    version=1,
    request=ParcelRequested,
    id_from="parcel_id",
    steps=[Step("fetch", service="courier", action=FetchParcel, compensation=ReturnParcel, timeout_ms=_HOUR_MS)],
)
