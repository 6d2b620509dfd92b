"""Definitions that somebody tried, most with one mistake: accepted, or refused with the place and the remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, RootModel, create_model

from kafka_saga import Retry, Saga, SagaData, Step, from_reply, from_request
from kafka_saga.errors import DefinitionError

MODEL: Any = create_model  # models of one field, made where they are used


class Req(BaseModel):
    order_id: str
    amount: int


class Res(BaseModel):
    order_id: str


class ResR(BaseModel):
    rid: str


class Rel(BaseModel):
    order_id: str
    rid: str | None = None


class Pay(BaseModel):
    order_id: str
    amount: int


class PayR(BaseModel):
    pid: str


class Ref(BaseModel):
    order_id: str
    pid: str | None = None


class Extra(BaseModel, extra="forbid"):
    order_id: str


class Alias(BaseModel):
    order_id: Annotated[str, Field(alias="orderId")]


class OptReq(BaseModel):
    order_id: str
    note: str | None = None


@dataclasses.dataclass
class DC:
    order_id: str


class Root(RootModel[list[int]]):
    pass


class lower(BaseModel):  # noqa: N801 -- the case
    order_id: str


async def later(_data: SagaData) -> str:
    return "x"


def R(name: str = "reserve", **options: Any) -> Step:
    fields: dict[str, Any] = {"service": "inv", "action": Res, "compensation": Rel, "reply": ResR}
    return Step(name, **{**fields, **options})


def P(name: str = "pay", **options: Any) -> Step:
    fields: dict[str, Any] = {"service": "pay", "action": Pay, "compensation": Ref, "reply": PayR}
    return Step(name, **{**fields, **options})


def saga(*steps: Any, t: Any = "order", **options: Any) -> Saga:
    return Saga(t, **{"version": 1, "request": Req, "id_from": "order_id", "steps": list(steps), **options})


def anything(build: Any, /, **options: Any) -> Any:
    """`Step` and `Saga` as somebody calls them who has no type checker."""
    return build(**options)


FINE: dict[str, Callable[[], Any]] = {
    "good": lambda: saga(R(), P()),
    "id_from None": lambda: saga(R(), id_from=None),
    "reply None": lambda: saga(R(reply=None)),
    "no reply": lambda: saga(Step("a", service="inv", action=Res, compensation=Rel)),
    "extra=forbid": lambda: saga(R(action=Extra)),
    "step name dash": lambda: saga(R("reserve-items")),
    "type = service name": lambda: saga(R(), t="inv"),
    "lowercase model": lambda: saga(R(action=lower)),
}

STEP = "saga 'order', step 'reserve'"
RES = f"{STEP}, action Res: the field 'order_id'"

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "field nobody provides": (
        lambda: saga(R(action=MODEL("Unk", order_id=str, nobody=str))),
        f"{STEP}, action Unk: nothing provides the field 'nobody': add it to the request or to an earlier reply",
    ),
    "type differs from request": (
        lambda: saga(R(action=MODEL("Ty", order_id=int))),
        f"{STEP}, action Ty: the field 'order_id' is int, but the request (Req) gives str: make them one type",
    ),
    "two provide": (
        lambda: saga(
            R(),
            P(reply=MODEL("R2", rid=str)),
            R("third", action=MODEL("Two", rid=str), compensation=None, pivot=True),
        ),
        "the field 'rid' is provided by the reply of step 'reserve' and by the reply of step 'pay': choose one",
    ),
    "two provide same by request+reply": (
        lambda: saga(R(reply=MODEL("RR", amount=int)), P()),
        "the field 'amount' is provided by the request (Req) and by the reply of step 'reserve': choose one",
    ),
    "duplicate step name": (lambda: saga(R(), P(name="reserve")), f"{STEP}: two steps have this name"),
    "comp requires own reply's field": (
        lambda: saga(R(), P(compensation=MODEL("Own", pid=str))),
        "the field 'pid' comes from the reply of its own action, which an in-doubt step does not have: make it",
    ),
    "comp requires later reply": (
        lambda: saga(R(compensation=MODEL("CC", pid=str)), P()),
        f"{STEP}, compensation CC: nothing provides the field 'pid'",
    ),
    "action requires later reply": (
        lambda: saga(R(action=MODEL("Own", pid=str)), P()),
        f"{STEP}, action Own: nothing provides the field 'pid'",
    ),
    "two pivots": (
        lambda: saga(R(compensation=None, pivot=True), P(compensation=None, pivot=True)),
        "'reserve' and 'pay' are both pivots; a saga has at most one",
    ),
    "no comp in the middle": (lambda: saga(R(compensation=None), P()), f"{STEP}: it has no compensation: give it one"),
    "comp after pivot": (
        lambda: saga(R(compensation=None, pivot=True), P()),
        "step 'pay': it comes after the pivot 'reserve', so its compensation would never run: drop it",
    ),
    "retry -1": (lambda: saga(R(retry=Retry(retries_max=-1))), f"{STEP}: retry: retries_max is -1; it must be 0 to 19"),
    "retry int": (
        lambda: saga(R(retry=3)),
        f"{STEP}: retry is 3; it must be a Retry: retry=Retry(retries_max=3), or left out",
    ),
    "retry None": (lambda: saga(R(retry=None)), f"{STEP}: retry is None; it must be a Retry"),
    "backoff neg": (
        lambda: saga(R(retry=Retry(backoff_ms=-5))),
        f"{STEP}: retry: backoff_ms is -5; it must be a whole number of milliseconds, 0 to backoff_ms_max (60000)",
    ),
    "retries '3'": (
        lambda: saga(R(retry=anything(Retry, retries_max="3"))),
        f"{STEP}: retry: retries_max is '3'; it must be a whole number, 0 to 19",
    ),
    "factor 0": (lambda: saga(R(retry=Retry(factor=0))), f"{STEP}: retry: factor is 0; it must be a number, 1 to 100"),
    "factor nan": (
        lambda: saga(R(retry=Retry(factor=float("nan")))),
        f"{STEP}: retry: factor is nan; it must be a number, 1 to 100",
    ),
    "timeout 0": (lambda: saga(R(timeout_ms=0)), f"{STEP}: timeout_ms is 0; it must be 1 to 2592000000"),
    "timeout 2.5": (
        lambda: saga(R(timeout_ms=2.5)),
        f"{STEP}: timeout_ms is 2.5; it must be a whole number of milliseconds, 1 to 2592000000",
    ),
    "timeout '5s'": (
        lambda: saga(R(timeout_ms="5s")),
        f"{STEP}: timeout_ms is '5s'; it must be a whole number of milliseconds",
    ),
    "timeout None": (lambda: saga(R(timeout_ms=None)), f"{STEP}: timeout_ms is None; it must be a whole number"),
    "timeout True": (lambda: saga(R(timeout_ms=True)), f"{STEP}: timeout_ms is True; it must be a whole number"),
    "version 0": (lambda: saga(R(), version=0), "saga 'order': version is 0; versions are counted from 1: version=1"),
    "version '1'": (lambda: saga(R(), version="1"), "saga 'order': version is '1'; versions are counted from 1"),
    "version 1.5": (lambda: saga(R(), version=1.5), "saga 'order': version is 1.5; versions are counted from 1"),
    "version too large": (lambda: saga(R(), version=10**30), "versions are counted from 1: version=1"),
    "version True": (lambda: saga(R(), version=True), "saga 'order': version is True; versions are counted from 1"),
    "no version": (
        lambda: anything(Saga, saga_type="order", request=Req, steps=[R()]),
        "Saga needs version=…",
    ),
    "same service+type clash": (
        lambda: saga(R(action=MODEL("Same", order_id=str)), R("second", action=MODEL("Same", amount=int), reply=None)),
        "step 'second': its command 'same' is another one than 'same' of step 'reserve'",
    ),
    "action = compensation model": (
        lambda: saga(R(action=Res, compensation=Res)),
        f"{STEP}: its command 'res' is both an action and a compensation",
    ),
    "action twice": (
        lambda: saga(R(), R("again")),
        "step 'again', compensation Rel: the field 'rid' is provided by the reply of step 'reserve' and by",
    ),
    "id_from missing": (
        lambda: saga(R(), id_from="orderid"),
        "saga 'order': id_from='orderid' is not a field of Req (order_id, amount)",
    ),
    "id_from int field": (
        lambda: saga(R(), id_from="amount"),
        "saga 'order': id_from='amount' is int, and a saga's id is text: make it str, choose another field, or leave",
    ),
    "request without id": (
        lambda: saga(R(), request=MODEL("ReqNoId", amount=int)),
        "saga 'order': id_from='order_id' is not a field of ReqNoId (amount)",
    ),
    "request no id, id_from None": (
        lambda: saga(R(action=Pay, compensation=None), request=MODEL("ReqNoId", amount=int), id_from=None),
        f"{STEP}, action Pay: nothing provides the field 'order_id'",
    ),
    "dataclass action": (lambda: saga(R(action=DC)), f"{STEP}, action DC: a message is a pydantic model: derive it"),
    "dict action": (lambda: saga(R(action=dict)), f"{STEP}, action dict: a message is a pydantic model"),
    "instance action": (
        lambda: saga(R(action=Res(order_id="x"))),
        f"{STEP}, action Res(order_id='x'): a message is a pydantic model",
    ),
    "string action": (
        lambda: saga(R(action="ReserveItems")),
        f"{STEP}, action 'ReserveItems': a message is a pydantic model",
    ),
    "None action": (lambda: saga(R(action=None)), f"{STEP}, action None: a message is a pydantic model"),
    "dataclass request": (lambda: saga(R(), request=DC), "saga 'order', request DC: a message is a pydantic model"),
    "RootModel": (lambda: saga(R(action=Root)), f"{STEP}, action Root: a message is one JSON object: derive it"),
    "alias": (
        lambda: saga(R(action=Alias)),
        f"{STEP}, action Alias: the field 'order_id' has an alias, but messages are filled by name: drop the alias",
    ),
    "optional -> required": (
        lambda: saga(R(action=MODEL("NeedNote", order_id=str, note=str), compensation=None), request=OptReq),
        "the field 'note' is str, but the request (OptReq) gives str | None: accept None (`note: str | None`), give it",
    ),
    "no steps": (saga, "saga 'order': 0 steps; a saga has 1 to 64"),
    "65 steps": (lambda: saga(*[R(f"s{i}") for i in range(65)]), "saga 'order': 65 steps; a saga has 1 to 64"),
    "step is dict": (
        lambda: saga({"name": "x"}),
        "saga 'order': steps[0] is a dict; give a list of steps: steps=[Step(",
    ),
    "steps is a Step": (
        lambda: anything(Saga, saga_type="order", version=1, request=Req, steps=R()),
        "saga 'order': steps is a Step; give a list of steps: steps=[Step(",
    ),
    "step name space": (lambda: saga(R("reserve items")), "step 'reserve items': the name must match ^[a-z]"),
    "step name slash": (lambda: saga(R("a/b")), "step 'a/b': the name must match ^[a-z]"),
    "step name upper": (lambda: saga(R("ReserveItems")), "step 'ReserveItems': the name must match ^[a-z]"),
    "step name unicode": (lambda: saga(R("résérve")), "step 'résérve': the name must match ^[a-z]"),
    "step name ''": (lambda: saga(R("")), "step '': the name must match ^[a-z]"),
    "step name None": (
        lambda: saga(anything(R, name=None)),
        "step 'None': the name must be text, not None: it must match",
    ),
    "service dot": (lambda: saga(R(service="inv.x")), f"{STEP}: service='inv.x' must match ^[a-z]"),
    "service None": (lambda: saga(R(service=None)), f"{STEP}: service=None must be text, not None"),
    "service typo kw": (
        lambda: anything(Step, name="a", servce="inv", action=Res),
        "Step has no argument 'servce': did you mean 'service'?",
    ),
    "type space": (lambda: saga(R(), t="my order"), "saga 'my order': the type must match ^[a-z]"),
    "type None": (lambda: saga(R(), t=None), "saga 'None': the type must be text, not None"),
    "type 'dlq'": (
        lambda: saga(R(), t="dlq"),
        "saga 'dlq': the type is 'dlq', which begins the topics of dead letters: choose",
    ),
    "service 'dlq'": (
        lambda: saga(R(service="dlq")),
        f"{STEP}: service is 'dlq', which begins the topics of dead letters: choose",
    ),
    "pivot+comp": (
        lambda: saga(R(pivot=True)),
        f"{STEP}: a pivot is never undone: drop its compensation, or pivot=True",
    ),
    "pivot+nothing": (
        lambda: saga(R(compensation=None, pivot=True, nothing_to_undo=True)),
        f"{STEP}: a pivot is never undone",
    ),
    "nothing+comp": (
        lambda: saga(R(nothing_to_undo=True)),
        f"{STEP}: it has a compensation and says nothing_to_undo: keep one of the two",
    ),
    "fields unknown name": (
        lambda: saga(R(action_fields={"ordr": from_request("order_id")})),
        f"{STEP}, action Res: action_fields names 'ordr', but the command has no such field (order_id)",
    ),
    "fields unknown src": (
        lambda: saga(R(action_fields={"order_id": from_request("ordr")})),
        f"{RES} is taken from 'request.ordr', but the request (Req) has no such field",
    ),
    "fields unknown step": (
        lambda: saga(R(action_fields={"order_id": from_reply("nope", "x")})),
        f"{RES} is taken from step 'nope', which does not come before it",
    ),
    "fields later step": (
        lambda: saga(R(action_fields={"order_id": from_reply("pay", "pid")}), P()),
        f"{RES} is taken from step 'pay', which does not come before it",
    ),
    "fields own reply required comp": (
        lambda: saga(
            R(compensation=MODEL("Two", rid=str), compensation_fields={"rid": from_reply("reserve", "rid")}),
        ),
        f"{STEP}, compensation Two: the field 'rid' comes from the reply of its own action",
    ),
    "fields str": (
        lambda: saga(R(action_fields={"order_id": "order_id"})),
        f"{RES} is taken from the text 'order_id': name its source, from_request('order_id') or from_reply('step', ",
    ),
    "fields lambda 0 args": (
        lambda: saga(R(action_fields={"order_id": lambda: "x"})),
        f"{RES} is taken from a function that cannot be called with one argument: write action_fields={{'order_id'",
    ),
    "fields async": (
        lambda: saga(R(action_fields={"order_id": later})),
        f"{RES} is taken from an async function, and is needed at once: write action_fields={{'order_id': lambda data",
    ),
    "compfields no comp": (
        lambda: saga(R(compensation=None, pivot=True, compensation_fields={"x": from_request("order_id")})),
        f"{STEP}: compensation_fields without a compensation",
    ),
}


@pytest.mark.parametrize("build", FINE.values(), ids=list(FINE))
def test_a_definition_that_can_work_is_accepted(build: Callable[[], Any]) -> None:
    assert isinstance(build(), Saga)


@pytest.mark.parametrize(("build", "says"), REFUSED.values(), ids=list(REFUSED))
def test_a_definition_that_can_only_fail_is_refused_with_the_remedy(build: Callable[[], Any], says: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        build()

    assert says in str(caught.value)
