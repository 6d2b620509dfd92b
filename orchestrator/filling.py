"""How a command is filled from what its saga knows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from kafka_saga.orchestrator.sources import FieldSource, SagaData, Source, fields_by_name
from kafka_saga.runtime.errors import ContractError, DefinitionError
from kafka_saga.runtime.keyboard import is_pressed
from kafka_saga.schemas.codec import check_numbers, describe, encode, encode_model, told, validate
from kafka_saga.schemas.faithful import ChangedError, character_of, written
from kafka_saga.schemas.fit import reads_null


class Filling:
    """One command of a step, and where its fields come from.

    Args:
        model: the command.
        sources: of its fields, settled.
        own: the step's name; in doubt, it has no reply.

    """

    def __init__(self, model: type[BaseModel], sources: Mapping[str, FieldSource], *, own: str) -> None:
        self.sources = sources
        self._model = model
        self._is_plain = character_of(model).plain
        self._asks_functions = any(not isinstance(source, Source) for source in sources.values())
        self._bytes_mode = model.model_config.get("val_json_bytes", "utf8")
        fields = fields_by_name(model)
        self._given_none = {
            name
            for name, source in sources.items()
            if fields[name].required or (reads_null(fields[name].node, for_certain=True) and not _is_of(source, own))
        }
        """The fields that are told of None. The others keep their default, as one whose step in doubt has no reply."""

    def fill(self, data: SagaData) -> bytes:
        """The command's body, as JSON.

        Raises:
            DefinitionError: a field function failed, or the fields do not fit the command.

        """
        model = self._model
        fields: dict[str, Any] = {}
        try:
            for name, source in self.sources.items():
                value = source.read(data) if isinstance(source, Source) else source(data)
                if value is not None or name in self._given_none:
                    fields[name] = value
            made = validate(model, self._encode(fields) if self._asks_functions else encode(fields))
            return encode_model(made) if self._is_plain else written(made)
        except ValidationError as error:
            raise DefinitionError(f"{model.__name__} cannot be filled: {describe(error)}") from error
        except (ContractError, ChangedError) as error:
            raise DefinitionError(f"{model.__name__} cannot be filled: {error}") from error
        except BaseException as error:  # user code may raise anything: it parks its own saga only (R57)
            if is_pressed(error):
                raise
            raise DefinitionError(f"{model.__name__} cannot be filled: {told(error)}") from error

    def _encode(self, fields: Mapping[str, Any]) -> bytes:
        """What functions return may be anything that has a JSON form: a Decimal, a model, a set, a time span."""
        for name, value in fields.items():
            if inspect.iscoroutine(value):
                value.close()
                raise TypeError(f"the function of '{name}' returned a coroutine, and must return the value itself")
            if hasattr(value, "get_secret_value"):
                raise TypeError(f"the function of '{name}' returned a secret, which is never written: give its value")
        encoded = to_json(fields, by_alias=True, inf_nan_mode="constants", bytes_mode=self._bytes_mode)
        check_numbers(encoded)
        return encoded


def _is_of(source: FieldSource, step: str) -> bool:
    return isinstance(source, Source) and source.step == step
