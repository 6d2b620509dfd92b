"""What is shown of a dead letter whose value is sensitive: causes of earlier versions quote it."""

from __future__ import annotations

import pytest

from kafka_saga.messaging import dead_letters
from kafka_saga.messaging.dead_letters import dead_letter
from kafka_saga.orchestrator.operations.dead_letters.letters import summary
from kafka_saga.orchestrator.operations.kafka.messages import describe, id_fields
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.sensitive import MASK
from kafka_saga.schemas.topics import TopicNames
from tests.cli.card_shop import card_shop
from tests.engine.world import Kept
from tests.operations.dead_letters.letters import Poison

CARD = "5999888877776666"
BOUGHT = {"order_id": "o-1", "card": CARD, "amount": 1}


@pytest.mark.parametrize("reveals", [False, True])
@pytest.mark.parametrize("structured", [False, True])
def test_a_cause_that_quotes_the_value_is_masked_as_the_value_is(reveals: bool, structured: bool) -> None:
    fields = id_fields(Registry([card_shop], {}), TopicNames(), reveals=reveals)
    value = encode({"specversion": "1.0", "id": "1", "data": BOUGHT} if structured else BOUGHT)
    headers = ((("content-type", b"application/cloudevents+json"),) if structured else ()) + (("ce_id", b"42"),)
    poison = Poison("card_shop.requests", 7, value=value, headers=headers)
    message = f"the value does not fit Bought: card: card {CARD} is not known"
    letter = dead_letter(poison, cause="bad_schema", message=message, stage="decode", group="g", at_ms=1)
    record = Kept(letter.topic, 0, 0, letter.key, letter.value, letter.headers)

    told = [summary(record, {}, fields)["message"], describe(record, fields)["headers"][dead_letters.MESSAGE]]
    shown = encode([summary(record, {}, fields), describe(record, fields)]).decode()

    assert told == [message if reveals else message.replace(CARD, MASK)] * 2
    assert (CARD in shown) is reveals
    assert "bad_schema" in shown
