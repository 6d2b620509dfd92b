"""A shipped service: its participant, its tables, and what they start with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kafka_saga.participants.handlers import Participant
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.sqlite import SqlConnection, transaction
from kafka_saga.schemas.codec import describe


class SeedAccount(BaseModel):
    """A customer's account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer_id: str = Field(min_length=1, max_length=128)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    balance: int = Field(ge=0, description="Minor units (cents)")


class Seed(BaseModel):
    """What the services' databases start with; rows that are there already stay as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stock: dict[str, int] = Field(default_factory=dict, description="Quantity by sku")
    accounts: list[SeedAccount] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Service:
    """One of the services of the order saga."""

    participant: Participant
    fill: Callable[[SqlConnection, Seed], Awaitable[None]] | None = None
    """Inserts what the seed has for this service, where it is missing."""

    @property
    def schema(self) -> str:
        """The SQL of its tables; running it again changes nothing."""
        return (
            resources.files("kafka_saga.participants.services")
            .joinpath(f"sql/{self.participant.name}.sql")
            .read_text(encoding="utf-8")
        )

    async def prepare(self, connection: SqlConnection, seed: Seed | None = None) -> None:
        """Create the tables where they are missing, and fill them; `seed` is the shipped one when not given."""
        await connection.run_script(self.schema)
        if self.fill is not None:
            async with transaction(connection):
                await self.fill(connection, seed or read_seed())


def read_seed(path: Path | None = None) -> Seed:
    """The seed in the JSON file at `path`, or the shipped one.

    Raises:
        ConfigError: the file cannot be read, or is no seed.

    """
    source = path or resources.files("kafka_saga.participants.services").joinpath("seed.json")
    try:
        return Seed.model_validate_json(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the seed file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the seed file {path} is not written in UTF-8") from error
    except ValidationError as error:
        raise ConfigError(f"the seed file {path} is not right: {describe(error)}") from error
