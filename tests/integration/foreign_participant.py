"""A participant of the orders service that knows the wire contract and nothing of ours: plain aiokafka.

python foreign_participant.py BOOTSTRAP_SERVERS COMMANDS_TOPIC DATABASE
"""

import asyncio
import json
import sqlite3
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


def handle(db, saga_id, step, phase, body):
    """What a command comes to: outcome, effect, and the reply's body. One row per step is inbox and fence."""
    row = db.execute("SELECT status FROM orders WHERE saga_id = ? AND step = ?", (saga_id, step)).fetchone()
    if phase == "forward":
        if row and row[0] == "cancelled":
            return "failure", "done", {"error": "it was cancelled before it came"}
        if body["amount"] > 1_000_000:
            return "failure", "done", {"error": "too expensive for us"}
        db.execute("INSERT INTO orders VALUES (?, ?, 'created') ON CONFLICT DO NOTHING", (saga_id, step))
        return "success", "done", {"order_number": f"FOREIGN-{saga_id}"}
    db.execute("INSERT INTO orders VALUES (?, ?, 'cancelled') ON CONFLICT DO UPDATE SET status = 'cancelled'",
               (saga_id, step))  # fmt: skip
    return "success", "done" if row else "none", {}


async def main(servers, topic, database, group=None):
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("CREATE TABLE IF NOT EXISTS orders (saga_id, step, status, PRIMARY KEY (saga_id, step))")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, group_id=group or topic, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    await consumer.start()
    await producer.start()
    print("ready", flush=True)
    async for command in consumer:
        headers = dict(command.headers)
        command_id = headers["ce_id"].decode()
        _, saga_id, step, phase, _ = command_id.split("/")
        outcome, effect, body = handle(db, saga_id, step, phase, json.loads(command.value))
        await producer.send_and_wait(
            headers["ce_replyto"].decode(),
            key=command.key,
            value=json.dumps(body).encode(),
            headers=[
                ("ce_causationid", command_id.encode()),
                ("ce_sagaoutcome", outcome.encode()),
                ("ce_sagaeffect", effect.encode()),
            ],
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
