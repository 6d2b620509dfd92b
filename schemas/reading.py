"""How a message of somebody else's becomes a document of ours: read by its model, and kept as the model writes it.

What is kept is read again by every later command; so it is refused where it would not be read alike (R58).
"""

from __future__ import annotations

from pydantic import BaseModel

from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.schemas.codec import (
    JsonObject,
    Model,
    decode_model,
    decode_trusted,
    encode_model,
    misfit,
    to_document,
    told,
)
from kafka_saga.schemas.faithful import ChangedError, character_of, check_exact, refuse_change, written


def read_written(model: type[Model], value: bytes | None) -> bytes:
    """A record's value as `model` writes it.

    Raises:
        ContractError: it does not fit the model, or would not be read again alike.

    """
    return rewritten(model, decode_model(model, value), value or b"")


def rewritten(model: type[Model], made: Model, value: bytes) -> bytes:
    """`made`, which `model` read from `value`, as the model writes it.

    Raises:
        ContractError: it would not be read again alike.

    """
    plain, decimals = character_of(model)
    if plain:
        return encode_model(made)
    try:
        if decimals:
            check_exact(value)
        return written(made)
    except ContractError:
        raise
    except ChangedError as error:
        raise misfit(model, value, str(error)) from error
    except BaseException as error:  # a user's serializer may raise anything (R57)
        if is_pressed(error):
            raise
        raise misfit(model, value, told(error)) from error


def told_by_handler(made: BaseModel) -> bytes:
    """A handler's reply as JSON, which its reader will accept: what was assigned after validation was never judged.

    Raises:
        ContractError: it would be refused, or is too large or nested too deeply.
        ChangedError: it would not be read again as it is.
        PydanticSerializationError: it cannot be written at all.

    """
    body = written(made)
    refuse_change(made, decode_model(type(made), body))
    return body


def read_document(model: type[Model], value: bytes | None) -> JsonObject:
    """The same as a document.

    Raises:
        ContractError: as `read_written`.

    """
    if character_of(model).plain:
        return to_document(decode_model(model, value))
    document: JsonObject = decode_trusted(read_written(model, value))
    return document
