// A workflow from the cradle to the grave from Node, with the official NATS client alone.
//
//   npm ci && NATS_URL=nats://127.0.0.1:4222 node run.js
//
// Leaves nothing behind and exits other than 0 as soon as an answer is not what it should be.
import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Fleet, FleetError } from "./fleet.js";

const definition = (name) => ({
  name,
  description: "An order is picked item by item, packed and shipped.",
  initial_place: "received",
  places: [{ id: "received" }, { id: "picking" }, { id: "picked" }, { id: "packed" }, { id: "shipped" }],
  transitions: [
    // One token for each element of data.items …
    { id: "split", inputs: ["received"], outputs: [{ place: "picking", each: "data.items" }] },
    { id: "pick", from: "picking", to: "picked" },
    // … and one again when all of them are picked.
    { id: "pack", inputs: [{ place: "picked", count: "all" }], outputs: ["packed"] },
    { id: "ship", from: "packed", to: "shipped" },
  ],
  schema: { type: "object", required: ["customer"] },
});

/** Asserts that a promise is refused with a code of errors.json. */
async function refused(promise, code) {
  await assert.rejects(promise, (err) => err instanceof FleetError && err.code === code, `want ${code}`);
  console.log(`refused as it should be: ${code}`);
}

const nc = await connect({ servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222", name: "node example" });
const fleet = new Fleet(nc);
const name = `node_example_${Date.now()}_${process.pid}`;
let workflow;

try {
  workflow = await fleet.change("breaker.workflow.create", { definition: definition(name) });
  console.log(`deployed ${workflow.name} as ${workflow.id} in ${workflow.stream}`);

  // An ordered consumer sees every event of the workflow once and in order, also those from
  // before it came and those that happen while the connection is down. A core subscription
  // would see messages that the stream may yet refuse.
  const consumer = await jetstream(nc).consumers.get(workflow.stream, {
    filter_subjects: [`workflows.${workflow.id}.events.transitions.>`, `workflows.${workflow.id}.events.lifecycle.*.created`],
  });
  const events = await consumer.consume();
  const watching = (async () => {
    const seen = [];
    for await (const message of events) {
      const event = message.json();
      seen.push({ sequence: message.seq, ...event });
      console.log(`  event ${message.seq}: ${event.event_type} ${event.transition_id ?? ""} -> ${event.instance.status}`);
      if (event.completes) {
        break;
      }
    }
    return seen;
  })();

  // The answer to the first attempt is lost: nobody waits for it. The retry gets it.
  const order = { workflow_id: name, data: { customer: "Ada", items: [{ sku: "pen" }, { sku: "ink" }, { sku: "pad" }], note: null } };
  const requestId = randomUUID();
  nc.publish("breaker.token.create", JSON.stringify({ ...order, triggered_by: fleet.by, request_id: requestId }));
  const token = await fleet.change("breaker.token.create", order, requestId);
  const again = await fleet.change("breaker.token.create", order, requestId);
  assert.equal(again.id, token.id, "a repeated request is the same change");
  assert.deepEqual(Object.keys(token.data).sort(), ["customer", "items"], "members that are null are removed");
  await refused(fleet.change("breaker.token.create", { ...order, data: { customer: "Eve" } }, requestId), "request_id_reused");
  await refused(fleet.ask("breaker.token.create", { workflow: name }), "unknown_field");

  const split = await fleet.change("breaker.transition.fire", { token_id: token.id, transition_id: "split" });
  assert.deepEqual(split.tokens.map((t) => t.data.item.sku), ["pen", "ink", "pad"]);
  const [first, ...others] = split.tokens;
  assert.equal(first.data.item_index, 0);

  // The id leads to its workflow and its instance: the last eight digits are the workflow's
  // first, and the four before them count the tokens of the instance.
  assert.equal(first.id.slice(28), workflow.id.slice(0, 8));
  assert.equal(`${first.id.slice(0, 24)}0000${first.id.slice(28)}`, first.instance_id);

  await refused(fleet.change("breaker.transition.fire", { instance_id: token.instance_id, transition_id: "pack" }), "transition_not_enabled");

  // Five copies of one request at once: still one firing.
  const pick = { token_id: first.id, transition_id: "pick", data: { picked_by: "Bo" }, arrival_sequence: first.arrival_sequence };
  const pickId = randomUUID();
  const picks = await Promise.all(Array.from({ length: 5 }, () => fleet.change("breaker.transition.fire", pick, pickId)));
  assert.equal(new Set(picks.map((p) => p.instance.nats_sequence)).size, 1, "one request_id is one firing");

  // The others at once: commands on one instance take their turns.
  await Promise.all(others.map((t) => fleet.change("breaker.transition.fire", { token_id: t.id, transition_id: "pick" })));

  // The view of the marking, not before it has come to what we know.
  const { nats_sequence } = await fleet.ask("breaker.instance.get", { instance_id: token.instance_id });
  const picked = await fleet.ask("breaker.token.list", { workflow_id: name, place: "picked", min_sequence: nats_sequence });
  assert.equal(picked.tokens.length, 3);

  const packed = await fleet.change("breaker.transition.fire", { instance_id: token.instance_id, transition_id: "pack" });
  assert.equal(packed.token.place, "packed");
  await refused(fleet.change("breaker.transition.fire", { token_id: first.id, transition_id: "pick" }), "token_ended");
  await refused(
    fleet.change("breaker.token.update", { token_id: packed.token.id, data: { late: true }, expected_sequence: nats_sequence }),
    "sequence_mismatch",
  );

  const { transitions } = await fleet.ask("breaker.transition.available", { token_id: packed.token.id });
  assert.deepEqual(transitions.map((t) => [t.transition_id, t.enabled]), [["ship", true]]);
  const shipped = await fleet.change("breaker.transition.fire", { token_id: packed.token.id, transition_id: "ship" });
  assert.equal(shipped.instance.status, "completed");

  const then = await fleet.ask("breaker.instance.get", { instance_id: token.instance_id, as_of: split.instance.nats_sequence });
  assert.equal(then.tokens.length, 3, "the past can still be read");

  const { records } = await fleet.ask("breaker.token.history", { token_id: shipped.token.id });
  assert.equal(records[0].transition_id, "create");
  assert.equal(records.at(-1).transition_id, "ship");

  const seen = await watching;
  assert.deepEqual(
    seen.map((e) => e.transition_id ?? e.event_type),
    ["token_created", "split", "pick", "pick", "pick", "pack", "ship"],
    "every change is one event, in order",
  );
  assert.equal(seen.at(-1).sequence, shipped.instance.nats_sequence);
  await events.close();
  console.log("done: nothing is left behind");
} finally {
  if (workflow) {
    await fleet.change("breaker.workflow.delete", { workflow_id: workflow.id, confirm: workflow.name });
  }
  await nc.drain();
}
