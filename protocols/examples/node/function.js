// A function of kind nats: it counts the words of a text, and says how far it has come.
//
//   npm ci
//   NATS_URL=nats://127.0.0.1:4222 node function.js
//
// Elsewhere, once: make it known to the fleet, and call it.
//
//   nats req breaker.function.create '{"id": "word_count", "kind": "nats"}'
//   nats req breaker.function.invoke '{"id": "word_count", "input": {"text": "two words"}}'
//
// Whoever answers requests on functions.{id} is the function. Start it as often as you like,
// also on other machines: the copies share the work.
import { connect, headers } from "@nats-io/transport-node";
import { setImmediate as turn } from "node:timers/promises";

const subject = "functions.word_count";

/** How many words are counted between two signs of progress. */
const stretch = 10_000;

/** What the function will not do: nobody need try it again. */
class Refusal extends Error {}

/** The request's input: JSON, a mapping's result or the token's data. */
function input(request) {
  let value;
  try {
    value = request.json();
  } catch {
    throw new Refusal("the input is no JSON");
  }
  if (typeof value?.text !== "string") {
    throw new Refusal('the input is no {"text": "…"}');
  }
  return value;
}

/** The work itself. It calls progress now and then, and lets others have their turn. */
async function count({ text }, progress) {
  let words = 0;
  for (const _ of text.matchAll(/\S+/g)) {
    if (++words % stretch === 0) {
      progress(`${words} words so far`);
      await turn();
    }
  }
  return { words };
}

/** A message to the reply subject that is not the reply: "I am still at it". Without one, or the
 * reply, within the function's timeout (30 s by default) the runner gives up and tries again. */
function sayProgress(request, text) {
  const h = headers();
  h.set("Breaker-Progress", text);
  request.respond("", { headers: h });
}

/** An error reply. 408, 425, 429 and from 500 on: try again later, as the function's retry
 * policy says. Any other 4xx: don't; the run has failed, and on_failure fires. */
function refuse(request, status, message) {
  const h = headers();
  h.set("Nats-Service-Error-Code", String(status));
  h.set("Nats-Service-Error", message.replaceAll(/[\r\n]+/g, " ")); // A header is one line.
  request.respond("", { headers: h });
}

/** Writes one line that a program can read, too. */
const log = (message, more) => console.log(JSON.stringify({ message, ...more }));

async function answer(request) {
  // The key is the same in every attempt at one piece of work: a function may be called again
  // after a crash or a time-out, when it has done the work already. Counting twice does no harm.
  // Where it would (a payment, a mail), pass the key on, or keep it beside the effect.
  const about = {
    key: request.headers?.get("Idempotency-Key"),
    attempt: Number(request.headers?.get("Breaker-Attempt")) || 1,
    // W3C trace context, for OpenTelemetry: version-trace-span-flags. Absent when nobody traces.
    trace: request.headers?.get("traceparent").split("-")[1],
  };
  try {
    const output = await count(input(request), (text) => sayProgress(request, text));
    request.respond(JSON.stringify(output)); // The reply is the output, as JSON.
    log("counted", { ...about, ...output });
  } catch (err) {
    refuse(request, err instanceof Refusal ? 422 : 500, err.message);
    log("refused", { ...about, reason: err.message });
  }
}

const nc = await connect({
  servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222",
  name: "word_count",
  maxReconnectAttempts: -1, // A server that is away comes back.
});

// In a queue group, each request goes to one copy only.
const requests = nc.subscribe(subject, { queue: "word_count" });
await nc.flush(); // From here on the server knows.
log("answers", { subject });

// Asked to stop, take no more requests, and end those that are at work: the loop below ends.
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => requests.drain());
}

const atWork = new Set();
for await (const request of requests) {
  const work = answer(request).finally(() => atWork.delete(work));
  atWork.add(work);
}
await Promise.all(atWork);
await nc.drain(); // Sends what is still to be sent, and closes.
log("stopped");
