from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NewType, TypeVar

import asyncpg
import pytest
import sqlalchemy.orm
from pydantic import BaseModel, RootModel
from sqlalchemy.ext.asyncio import AsyncSession

from kafka_saga import Participant, Transaction
from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.transaction import CommandContext
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.ids import Phase
from tests.participants.shop import Call, Called, Do, Done, Undo, make_shop


class Listed(RootModel[list[int]]):
    pass


def test_types_on_the_wire_are_the_models_names_with_a_small_first_letter() -> None:
    shop = make_shop()
    assert sorted(shop.handlers) == ["call", "do", "refund", "uncall", "undo"]
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


async def with_a_yield(_command: Do, _tx: Transaction):  # type: ignore[no-untyped-def]  # noqa: ANN201
    yield Done(text="")


async def with_three_arguments(_command: Do, _tx: Transaction, _more: int) -> Done:
    return Done(text="")


async def in_the_wrong_order(_tx: Transaction, _command: Do) -> Done:
    return Done(text="")


async def with_a_key(_command: Do, _key: str) -> Done:
    return Done(text="")


async def with_a_broken_annotation(_command: Do, _tx: Transaction) -> "Done[":  # type: ignore  # noqa: F722, PGH003
    return Done(text="")


async def with_a_transaction(_command: Call, _tx: Transaction) -> Called:
    return Called(key="")


async def for_a_union(_command: Do | Call, _tx: Transaction) -> Done:
    return Done(text="")


async def for_any_model(_command: BaseModel, _tx: Any) -> Done:
    return Done(text="")


async def without_annotations_of_parameters(_command, _tx) -> Done:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return Done(text="")


async def with_a_number(_command: Do, _tx: int) -> Done:
    return Done(text="")


class Handlers:
    async def method(self, _command: Do, _tx: Transaction) -> Done:
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
        (not_async, r"must be an `async def` function: write `async def not_async\(command: Do, tx: Transaction\)"),
        (partial(good), "must be an `async def` function"),
        (Done, "must be an `async def` function"),
        (None, "must be an `async def` function"),
        (with_a_yield, "must not `yield`"),
        (with_three_arguments, r"must take \(command, tx\)"),
        (in_the_wrong_order, "is registered for Do, but takes a Transaction"),
        (
            with_a_key,
            r"takes a str, but it runs in a transaction, and gets a Transaction, an .*: write `async def with_a_key",
        ),
        (with_a_number, "with_a_number takes an int, but it runs in a transaction"),
        (with_a_broken_annotation, "an annotation of with_a_broken_annotation cannot be read"),
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
    with pytest.raises(DefinitionError, match=r"handlers for do: good \(.*test_handlers.py:\d+\) and for_a_union \("):
        shop.compensation(Do)(for_a_union)


@pytest.mark.parametrize("name", ["", "Shop", "a shop", "x" * 65, None, 5])
def test_a_service_needs_a_name_that_topics_can_have(name: Any) -> None:
    with pytest.raises(DefinitionError, match="a service's name"):
        Participant(name)


def test_a_service_is_not_called_as_dead_letters_are() -> None:
    with pytest.raises(DefinitionError, match="begins the topics of dead letters"):
        Participant("dlq")


@pytest.mark.parametrize(
    "function", [good, for_a_union, for_any_model, without_annotations_of_parameters, Handlers().method]
)
def test_what_can_be_a_handler_is_registered(function: Any) -> None:
    shop = Participant("shop")
    shop.action(Do)(function)
    assert shop.handlers["do"].reply_model is Done


def test_a_call_to_the_outside_gets_no_transaction() -> None:
    with pytest.raises(DefinitionError, match=r"takes a Transaction, but it runs outside .*idempotency_key: str"):
        Participant("shop").external_action(Call)(with_a_transaction)


@pytest.mark.parametrize("timeout_ms", ["5s", 2.5, 0, -1, True, None])
def test_a_time_that_is_none_is_refused(timeout_ms: Any) -> None:
    with pytest.raises(DefinitionError, match=f"timeout_ms is a whole number .*{timeout_ms!r}"):
        Participant("shop").external_action(Call, timeout_ms=timeout_ms)


def store_without_async(_command: Call, _reply: Called, _tx: Transaction) -> None:
    pass


async def store_without_reply(_command: Call, _tx: Transaction) -> None:
    pass


@pytest.mark.parametrize("store", [store_without_async, store_without_reply])
def test_a_store_function_that_cannot_be_one_is_refused(store: Any) -> None:
    with pytest.raises(
        DefinitionError, match=rf"{store.__name__} must .*write `async def store\(command, reply, tx: Transaction\)"
    ):
        Participant("shop").external_action(Call, store=store)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (good, r"write @shop.action\(TheCommand\) above good"),
        (Do(), "takes the class Do itself"),
        (Listed, "a class derived from BaseModel"),
        ("Do", "a class derived from BaseModel; 'Do' is none"),
        (dict, "a class derived from BaseModel; <class 'dict'> is none"),
        (None, "a class derived from BaseModel; None is none"),
    ],
)
def test_a_decorator_without_its_command_is_refused(given: Any, remedy: str) -> None:
    with pytest.raises(DefinitionError, match=remedy):
        Participant("shop").action(given)


async def takes_a_connection(_command: Do, connection: asyncpg.Connection) -> Done:
    return Done(text=str(connection))


async def takes_a_session_too(_command: Undo, session: AsyncSession, context: CommandContext) -> None:
    session.info["saga"] = context.saga_id


NamedSession = NewType("NamedSession", AsyncSession)
Given = TypeVar("Given", bound=AsyncSession)


async def takes_a_named_session(_command: Do, session: NamedSession) -> Done:
    raise AssertionError(session)


async def takes_whatever_is_a_session(_command: Do, session: Given) -> Done:
    raise AssertionError(session)


@pytest.mark.parametrize("function", [takes_a_named_session, takes_whatever_is_a_session])
def test_another_name_of_a_type_chooses_as_the_type_does_R79(function: Callable[..., Awaitable[Done]]) -> None:
    shop = Participant("shop")
    shop.action(Do)(function)  # type: ignore[type-var] # a coroutine function
    assert shop.kind is Kind.SESSION


async def takes_no_kind_of_ours(_command: Do, session: sqlalchemy.orm.Session) -> Done:
    return Done(text=str(session))


def test_the_second_parameter_says_what_handlers_are_given_R79() -> None:
    shop = Participant("shop")
    shop.action(Do)(takes_a_connection)
    assert shop.kind is Kind.CONNECTION
    shop = Participant("shop")
    shop.compensation(Undo)(takes_a_session_too)
    assert (shop.kind, shop.handlers["undo"].takes_context) == (Kind.SESSION, True)


def test_handlers_of_one_participant_are_all_given_the_same_R79() -> None:
    shop = Participant("shop")
    shop.action(Do)(takes_a_connection)
    said = (
        r"takes_a_session_too takes an AsyncSession, and the other handlers take an asyncpg.Connection.*"
        r"write `async def takes_a_session_too\(command: Undo, connection: asyncpg.Connection\)"
    )
    with pytest.raises(DefinitionError, match=said):
        shop.compensation(Undo)(takes_a_session_too)


def test_another_type_is_refused_with_the_line_to_write_R79() -> None:
    said = r"takes a Session.*write `async def takes_no_kind_of_ours\(command: Do, session: AsyncSession\)"
    with pytest.raises(DefinitionError, match=said):
        Participant("shop").action(Do)(takes_no_kind_of_ours)
