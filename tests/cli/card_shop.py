"""A saga whose request and reply have sensitive fields, for `--app tests.cli.card_shop`."""

from __future__ import annotations

from pydantic import BaseModel, Field

from kafka_saga import Saga, Sensitive, Step, from_request


class Bought(BaseModel):
    order_id: str
    card: Sensitive[str]
    amount: int


class Charge(BaseModel):
    pan: str
    amount: int


class Charged(BaseModel):
    charge_id: str
    token: str = Field(json_schema_extra={"saga": "sensitive"})


class Refund(BaseModel):
    charge_id: str | None = None


class Ship(BaseModel):
    order_id: str


class Shipped(BaseModel):
    parcel: str


card_shop = Saga(
    "card_shop",
    version=1,
    request=Bought,
    id_from="order_id",
    steps=[
        Step(
            "pay",
            service="bank",
            action=Charge,
            compensation=Refund,
            reply=Charged,
            action_fields={"pan": from_request("card")},
        ),
        Step("ship", service="post", action=Ship, reply=Shipped, pivot=True),
    ],
)
