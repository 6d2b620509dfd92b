from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from kafka_saga import Participant, Transaction
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.ids import Phase
from tests.participants.shop import Call, Called, Do, Done, make_shop


class Listed(RootModel[list[int]]):
    pass


def test_types_on_the_wire_are_the_models_names_with_a_small_first_letter() -> None:
    shop = make_shop()
    assert sorted(shop.handlers) == ["call", "do", "uncall", "undo"]
    assert shop.handlers["do"].reply_type == "done"
    assert shop.handlers["undo"].reply_type == "undo.success"
    assert (shop.handlers["do"].phase, shop.handlers["undo"].phase) == (Phase.FORWARD, Phase.COMPENSATE)
    assert (shop.handlers["call"].is_external, shop.handlers["do"].is_external) == (True, False)


async def good(_command: Do, _tx: Transaction) -> Done:
    return Done(text="")


async def without_return(_command: Do, _tx: Transaction):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return None


async def with_two_replies(_command: Do, _tx: Transaction) -> Done | Called:
    return Done(text="")


async def with_a_list(_command: Do, _tx: Transaction) -> Listed:
    return Listed([])


async def with_a_dict(_command: Do, _tx: Transaction) -> dict[str, Any]:
    return {}


async def for_another(_command: Call, _tx: Transaction) -> Done:
    return Done(text="")


async def with_one_argument(_command: Do) -> Done:
    return Done(text="")


async def with_an_unknown_name(_command: Do, _tx: Transaction) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
    return None


def not_async(_command: Do, _tx: Transaction) -> Done:
    return Done(text="")


@pytest.mark.parametrize(
    ("function", "remedy"),
    [
        (without_return, "needs a return annotation"),
        (with_two_replies, "must return one pydantic model"),
        (with_a_list, "must return one pydantic model"),
        (with_a_dict, "must return one pydantic model"),
        (for_another, "is registered for Do"),
        (with_one_argument, r"must take \(command, tx\)"),
        (with_an_unknown_name, "import it at run time"),
        (not_async, "must be `async def`"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused_when_it_is_registered(function: Any, remedy: str) -> None:
    shop = Participant("shop")
    with pytest.raises(DefinitionError, match=remedy):
        shop.action(Do)(function)
    assert shop.handlers == {}


def test_a_command_has_one_handler() -> None:
    shop = Participant("shop")
    assert shop.action(Do)(good) is good
    with pytest.raises(DefinitionError, match="two handlers for do: good and good"):
        shop.compensation(Do)(good)


@pytest.mark.parametrize("model", [dict, "Do", Listed, None])
def test_a_command_is_a_model(model: Any) -> None:
    with pytest.raises(DefinitionError, match="is a pydantic model class"):
        Participant("shop").action(model)


@pytest.mark.parametrize("name", ["", "Shop", "a shop", "x" * 65])
def test_a_service_needs_a_name_that_topics_can_have(name: str) -> None:
    with pytest.raises(DefinitionError, match="a service's name"):
        Participant(name)


def test_a_service_is_not_called_as_dead_letters_are() -> None:
    with pytest.raises(DefinitionError, match="begins the topics of dead letters"):
        Participant("dlq")


def test_the_function_that_stores_a_calls_outcome_is_checked_too() -> None:
    async def store(_command: BaseModel) -> None:
        return None

    with pytest.raises(DefinitionError, match=r"must take \(command, reply, tx\)"):
        Participant("shop").external_action(Call, store=store)
