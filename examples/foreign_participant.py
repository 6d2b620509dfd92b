# A payment service that knows docs/wire-contract.md and nothing of kafka-saga: plain aiokafka and sqlite3.
# Usage: python foreign_participant.py localhost:9092 payment.commands payment.db
import asyncio, json, sqlite3, sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

TABLES = """CREATE TABLE IF NOT EXISTS ledger (step, customer_id, amount);
CREATE TABLE IF NOT EXISTS answers (step, phase, epoch INTEGER, reply, PRIMARY KEY (step, phase));"""


def charge(db, step, body):
    if body["amount"] > 1_000_000:
        return {"outcome": "failure", "reason": "rejected", "body": {"error": "card declined: over the limit"}}
    db.execute("INSERT INTO ledger VALUES (?, ?, ?)", (step, body["customer_id"], body["amount"]))
    return {"outcome": "success", "body": {"charge_id": f"charge-{body['order_id']}"}}


def refund(db, step, body):  # found by its step: a step in doubt has no charge id to give
    db.execute("INSERT INTO ledger SELECT step, customer_id, -amount FROM ledger WHERE step = ?", (step,))
    return {"outcome": "success", "body": {}}


def answer(db, kind, command_id, value):
    step, phase, epoch = command_id.rsplit("/", 2)  # order/order-123/process_payment, forward, 1
    known = {p: (e, json.loads(r)) for _, p, e, r in db.execute("SELECT * FROM answers WHERE step = ?", (step,))}
    if phase == "forward" and "compensate" in known:  # it was undone, or given up, before this came
        return {"outcome": "failure", "reason": "fenced", "body": {"error": "the step was compensated"}}
    if phase in known and (int(epoch) <= known[phase][0] or known[phase][1]["outcome"] == "success"):
        return known[phase][1]  # a duplicate: the stored reply, and nothing runs
    if phase == "compensate" and ("forward" not in known or known["forward"][1]["outcome"] != "success"):
        reply = {"outcome": "success", "effect": "none", "body": {}}  # the tombstone that fences a late action
    else:
        reply = {"chargePayment": charge, "refundPayment": refund}[kind](db, step, json.loads(value))
    db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", (step, phase, int(epoch), json.dumps(reply)))
    return reply


async def main(servers, topic, database):
    db = sqlite3.connect(database, isolation_level=None)
    db.executescript(TABLES)
    settings = {"group_id": topic, "enable_auto_commit": False, "auto_offset_reset": "earliest"}
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, **settings)
    async with consumer, AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        print("ready", flush=True)
        async for command in consumer:
            headers = dict(command.headers)
            try:
                with db:  # one transaction: the charge and its answer, both or neither
                    db.execute("BEGIN IMMEDIATE")
                    reply = answer(db, headers["ce_type"].decode(), headers["ce_id"].decode(), command.value)
            except Exception as error:  # rolled back: nothing of the attempt remains, ask again
                reply = {"outcome": "retry", "body": {"error": repr(error)}}
            body = json.dumps(reply.pop("body")).encode()
            told = [("ce_causationid", headers["ce_id"]), ("ce_sagaattempt", headers["ce_sagaattempt"])]
            told += [(f"ce_saga{name}", text.encode()) for name, text in reply.items()]  # outcome, effect, reason
            await producer.send_and_wait(headers["ce_replyto"].decode(), body, command.key, headers=told)
            await consumer.commit()  # after the reply: a crash before this line means a duplicate, never a loss


asyncio.run(main(*sys.argv[1:]))
