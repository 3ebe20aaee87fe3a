// The page of the requests by command.

import { request } from "./api.js";
import { announce, count, h, timeElement } from "./dom.js";
import { facts } from "./parts.js";
import { Table } from "./table.js";

const POLL_MS = 3000;

/** The time that a part of the measured requests stays within, in microseconds; `undefined` without requests. */
function within(command, part) {
  let reached = 0;
  for (const time of command.times ?? []) {
    reached += time.count;
    if (command.timed && reached >= command.timed * part) return time.microseconds_max ?? Infinity;
  }
  return undefined;
}

const milliseconds = (microseconds) => {
  if (microseconds === undefined) return "";
  if (microseconds === Infinity) return "more than 5 s";
  return microseconds < 1000 ? `${microseconds.toFixed(0)} µs` : `${(microseconds / 1000).toFixed(microseconds < 10000 ? 1 : 0)} ms`;
};

/** The page of the requests by command. */
export class Statistics {
  #timer;

  constructor() {
    this.facts = h("div", { class: "card" });
    const failed = (command) => command.denied + command.conflict + command.server_error + command.other + command.cancelled;
    const mean = (command) => (command.timed ? command.microseconds / command.timed : undefined);
    this.table = new Table({
      caption: "Requests by command",
      key: (command) => command.command,
      empty: "No requests yet.",
      order: { column: 1, down: true },
      columns: [
        { label: "Command", text: (command) => command.command.replaceAll("_", " ") },
        { label: "Done", text: (command) => command.success, number: true, cell: (command) => count(command.success) },
        { label: "Not found", text: (command) => command.not_found, number: true, cell: (command) => count(command.not_found), wide: true },
        { label: "Denied", text: (command) => command.denied, number: true, cell: (command) => count(command.denied), wide: true },
        { label: "In the way", text: (command) => command.conflict, number: true, cell: (command) => count(command.conflict), wide: true },
        { label: "Failed", text: failed, number: true, cell: (command) => count(failed(command)) },
        { label: "Mean", text: (command) => mean(command) ?? -1, number: true, cell: (command) => milliseconds(mean(command)) },
        { label: "Half within", text: (command) => within(command, 0.5) ?? -1, number: true, cell: (command) => milliseconds(within(command, 0.5)), wide: true },
        { label: "99 % within", text: (command) => within(command, 0.99) ?? -1, number: true, cell: (command) => milliseconds(within(command, 0.99)) },
      ],
    });
    this.element = h("section", { class: "list", "aria-labelledby": "heading" },
      h("h1", { id: "heading" }, "Statistics"), this.facts, this.table.scroller);
  }

  begin() {
    this.load(false);
    this.#timer = setInterval(() => document.hidden || this.load(true), POLL_MS);
  }

  end() {
    clearInterval(this.#timer);
  }

  async load(automatic) {
    try {
      const statistics = await request("GET", "/v1/statistics?detail=true", { automatic });
      this.table.set((statistics.requests ?? []).filter((command) => command.timed || command.success));
      const now = statistics.current ?? {};
      this.facts.replaceChildren(facts([
        ["Since", timeElement(statistics.since)],
        ["Locks", count(now.locks)], ["Requests that wait", count(now.waiting_requests)],
        ["Opens without their client", count(now.orphans)], ["Logons that wait", count(now.delayed_logons)],
        ["Opens refused", count(statistics.opens_refused)], ["Lock conflicts", count(statistics.lock_conflicts)],
        ["Breaks sent", count(statistics.breaks_sent)], ["Breaks without an answer", count(statistics.breaks_timed_out)],
        ["Credits granted", count(statistics.credits_granted)], ["Credits used", count(statistics.credits_charged)],
      ]));
    } catch (error) {
      if (!automatic) announce(error.text ?? String(error), "bad");
    }
  }
}
