"""What users test their sagas and participants with: no Kafka, no waiting.

given(order_saga, {...}).expect_command("payment", ChargePayment).fail("card declined")    # a saga as a story
async with await Harness.open(payment, prepare=prepare) as harness: ...                     # a service's handlers
"""

from kafka_saga.orchestrator.testing import Command, Story, expect_refused, given
from kafka_saga.participants.testing import Harness, body_of

__all__ = ["Command", "Harness", "Story", "body_of", "expect_refused", "given"]
