// A payment service that knows docs/wire-contract.md and nothing of kafka-saga: kafkajs, and SQLite in WebAssembly.
// Usage: node participant.js localhost:9092 payment.commands payment.db
import { rmSync } from "node:fs";
import { Kafka, Partitioners, logLevel } from "kafkajs";
import sqlite from "node-sqlite3-wasm";

const [servers, commands, database] = process.argv.slice(2);
// This build locks with a folder, which a killed process leaves behind. One process per database, so it is ours.
rmSync(`${database}.lock`, { recursive: true, force: true });
const db = new sqlite.Database(database);
db.exec(`CREATE TABLE IF NOT EXISTS ledger (step, customer_id, amount);
  CREATE TABLE IF NOT EXISTS answers (step, phase, epoch INTEGER, reply, PRIMARY KEY (step, phase));`);

function charge(step, body) {
  if (body.amount > 1_000_000) {
    return { outcome: "failure", reason: "rejected", body: { error: "card declined: over the limit" } };
  }
  db.run("INSERT INTO ledger VALUES (?, ?, ?)", [step, body.customer_id, body.amount]);
  return { outcome: "success", body: { charge_id: `charge-${body.order_id}` } };
}

// Found by its step: a step in doubt has no charge id to give.
function refund(step) {
  db.run("INSERT INTO ledger SELECT step, customer_id, -amount FROM ledger WHERE step = ?", [step]);
  return { outcome: "success", body: {} };
}

function answer(run, commandId, value) {
  const parts = commandId.split("/"); // order / order-123 / process_payment / forward / 1
  const [step, phase, epoch] = [parts.slice(0, 3).join("/"), parts[3], Number(parts[4])];
  const known = {};
  for (const row of db.all("SELECT phase, epoch, reply FROM answers WHERE step = ?", [step])) {
    known[row.phase] = { epoch: row.epoch, reply: JSON.parse(row.reply) };
  }
  if (phase === "forward" && known.compensate) { // it was undone, or given up, before this came
    return { outcome: "failure", reason: "fenced", body: { error: "the step was compensated" } };
  }
  if (known[phase] && (epoch <= known[phase].epoch || known[phase].reply.outcome === "success")) {
    return known[phase].reply; // a duplicate: the stored reply, and nothing runs
  }
  const reply = phase === "compensate" && known.forward?.reply.outcome !== "success"
    ? { outcome: "success", effect: "none", body: {} } // the tombstone that fences a late action
    : run(step, JSON.parse(value));
  db.run("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", [step, phase, epoch, JSON.stringify(reply)]);
  return reply;
}

function handle(headers, value) {
  try {
    db.exec("BEGIN IMMEDIATE"); // one transaction: the charge and its answer, both or neither
    const reply = answer({ chargePayment: charge, refundPayment: refund }[headers.ce_type], headers.ce_id, value);
    db.exec("COMMIT");
    return reply;
  } catch (error) { // rolled back: nothing of the attempt remains, ask again
    if (db.inTransaction) db.exec("ROLLBACK");
    return { outcome: "retry", body: { error: String(error) } };
  }
}

const kafka = new Kafka({ clientId: "payment", brokers: servers.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
const consumer = kafka.consumer({ groupId: commands, sessionTimeout: 10_000 });
consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || process.exit(1)); // not a silent idler
await Promise.all([producer.connect(), consumer.connect()]);
await consumer.subscribe({ topic: commands, fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ topic, partition, message }) => {
    const headers = Object.fromEntries(Object.entries(message.headers).map(([name, text]) => [name, text.toString()]));
    const { body, ...told } = handle(headers, message.value.toString());
    const replied = { ce_causationid: headers.ce_id, ce_sagaattempt: headers.ce_sagaattempt };
    for (const name in told) replied[`ce_saga${name}`] = told[name];
    const reply = { key: message.key, value: JSON.stringify(body), headers: replied };
    await producer.send({ topic: headers.ce_replyto, acks: -1, messages: [reply] });
    // After the reply: a crash before this line means a duplicate, never a loss.
    await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }]);
  },
});
console.log("ready");
