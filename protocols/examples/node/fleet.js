// What a client in any language needs: ask, tell errors apart, and repeat safely.
import { RequestError, TimeoutError } from "@nats-io/transport-node";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

/** An error reply: code is one of errors.json, status its class. */
export class FleetError extends Error {
  constructor(status, { code, message, details }) {
    super(message);
    this.name = "FleetError";
    this.status = status;
    this.code = code;
    this.details = details ?? {};
  }
}

/** Whether the same request may be sent again: what may have failed only for the moment. */
function temporary(err) {
  if (err instanceof FleetError) {
    return err.code === "conflict" || [429, 503, 504].includes(err.status);
  }
  return err instanceof TimeoutError || (err instanceof RequestError && err.isNoResponders());
}

export class Fleet {
  constructor(nc, { timeout = 5_000, attempts = 6, by = "node@example.com" } = {}) {
    this.nc = nc;
    this.timeout = timeout;
    this.attempts = attempts;
    this.by = by;
  }

  /** Sends one request; an error reply becomes a FleetError. */
  async ask(subject, body = {}, timeout = this.timeout) {
    const reply = await this.nc.request(subject, JSON.stringify(body), { timeout });
    const status = reply.headers?.get("Nats-Service-Error-Code");
    if (status) {
      throw new FleetError(Number(status), reply.json());
    }
    return reply.json();
  }

  /**
   * Changes something. Every attempt carries the same request_id, so however many of them
   * arrive, the change happens once: that is what makes repeating safe after a time-out,
   * when nobody knows whether the first attempt was carried out.
   */
  async change(subject, body, requestId = randomUUID()) {
    const request = { ...body, triggered_by: this.by, request_id: requestId };
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.ask(subject, request);
      } catch (err) {
        if (attempt === this.attempts || !temporary(err)) {
          throw err;
        }
        await pause(Math.random() * 100 * 2 ** attempt);
      }
    }
  }
}
