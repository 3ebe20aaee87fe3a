// The first page: figures, charts, and what happens at the moment.

import { address, request } from "./api.js";
import { Chart } from "./charts.js";
import { bytes, count, duration, h, timeElement } from "./dom.js";
import { live } from "./live.js";
import { begin_drain, drain_line } from "./maintenance.js";
import { may_drain } from "./rights.js";

const INTERVAL_MS = 2000;
const EVENTS_MAX = 60;

/** The words for kinds of events. */
const KINDS = {
  connection_up: "connected",
  connection_down: "disconnected",
  session_up: "logged on",
  session_down: "logged off",
  tree_up: "uses share",
  tree_down: "left share",
  opened: "opened",
  closed: "closed",
  orphaned: "lost its connection",
  reclaimed: "came back",
  refused: "refused",
  break_sent: "asked to give up caching",
  break_timed_out: "did not answer",
  share_added: "share added",
  share_removed: "share removed",
  renamed: "renamed",
  deleted: "deleted",
  close_announced: "will be closed",
  close_cancelled: "close cancelled",
  drain_begun: "drain begun",
  drain_done: "drained",
  drain_ended: "drain ended",
  lost: "events were missed",
};

/** The figures of the server, and how they change. */
export class Overview {
  #timer;
  #before;
  #events = [];
  #user;
  #drains = "[]";

  constructor(user) {
    this.#user = user;
    this.tiles = h("dl", { class: "tiles" });
    const per_second = (value) => `${bytes(value)}/s`;
    this.charts = [
      new Chart({ title: "Throughput", series: ["received", "sent"], shown: per_second }),
      new Chart({ title: "In use", series: ["open files", "sessions"], shown: (value) => count(Math.round(value)) }),
      new Chart({ title: "Per second", series: ["files opened", "refusals"], shown: (value) => value.toFixed(value < 10 ? 1 : 0) }),
    ];
    this.drains = h("ul", { class: "drains", "aria-label": "Drains", hidden: true });
    this.feed = h("ol", { class: "feed", "aria-label": "Latest events", tabindex: "0" });
    this.quiet = h("p", { class: "nothing" }, "Nothing has happened since this page was opened.");
    this.element = h("section", { class: "overview", "aria-labelledby": "heading" },
      h("header", {}, h("h1", { id: "heading" }, "Overview"),
        may_drain(user, {}) ? h("button", { type: "button", "data-act": "drain", onclick: () => begin_drain({}, () => this.#look(true)) }, "Drain the server…") : ""),
      this.tiles, this.drains,
      user.sees_everything ? h("div", { class: "charts" }, this.charts.map((chart) => chart.element)) : "",
      user.sees_others ? h("section", { "aria-labelledby": "latest" },
        h("h2", { id: "latest" }, "Latest events"), this.quiet, this.feed) : "");
    this.on_event = (event) => this.#happened(event.detail);
  }

  /** Shows the page. Once shown, it goes on gathering until it is stopped, so that the charts have no gaps. */
  begin() {
    this.#look(false);
    if (this.#timer) return;
    live.addEventListener("event", this.on_event);
    this.#timer = setInterval(() => this.#look(true), INTERVAL_MS);
  }

  end() {}

  stop() {
    live.removeEventListener("event", this.on_event);
    clearInterval(this.#timer);
  }

  async #look(automatic) {
    try {
      if (this.#user.sees_others) {
        const { items } = await request("GET", "/v1/drains", { automatic });
        // A button that has the focus stays if nothing has changed.
        const shown = JSON.stringify(items);
        if (shown !== this.#drains) {
          this.#drains = shown;
          this.drains.hidden = !items.length;
          this.drains.replaceChildren(...items.map((drain) => drain_line(this.#user, drain, () => this.#look(true))));
        }
      }
      if (this.#user.sees_everything) {
        const [server, statistics] = await Promise.all([
          request("GET", "/v1/server", { automatic }),
          request("GET", "/v1/statistics", { automatic }),
        ]);
        this.#show(server, statistics);
      } else {
        const own = this.#user.sees_others ? {} : { mine: true };
        const [files, sessions] = await Promise.all(["/v1/files", "/v1/sessions"].map((path) =>
          request("GET", address(path, { ...own, limit: 2000 }), { automatic })));
        const number = (page) => count(page.items.length) + (page.next ? "+" : "");
        this.#tiles([["Sessions", number(sessions)], ["Open files", number(files)]]);
      }
    } catch {
      // The state of the connection is shown above; the next look may succeed.
    }
  }

  #show(server, statistics) {
    const started = server.started_at ? (Date.now() - Date.parse(server.started_at)) / 1000 : undefined;
    this.#tiles([
      ["Sessions", count(server.sessions)],
      ["Open files", count(server.files)],
      ["Shares", count(server.shares)],
      ["Connections", count(server.connections)],
      ["Wrong passwords", count(statistics.password_violations)],
      ["Access denied", count(statistics.permission_violations)],
      ["Running for", duration(started)],
    ]);
    const now = performance.now();
    const before = this.#before;
    this.refused ??= 0;
    // Requests that come soon after each other say nothing about a rate.
    if (before && now - before.now < INTERVAL_MS / 2) return;
    this.#before = { now, statistics, refused: this.refused };
    if (!before) return;
    const seconds = (now - before.now) / 1000;
    const rate = (name) => (statistics[name] - before.statistics[name]) / seconds;
    this.charts[0].add([rate("bytes_received"), rate("bytes_sent")]);
    this.charts[1].add([server.files ?? 0, server.sessions ?? 0]);
    this.charts[2].add([rate("files_opened"), (this.refused - before.refused) / seconds]);
  }

  #tiles(pairs) {
    this.tiles.replaceChildren(...pairs.map(([name, value]) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value))));
  }

  #happened(event) {
    if (event.kind === "refused") this.refused = (this.refused ?? 0) + 1;
    if (event.kind.startsWith("drain_")) this.#look(true);
    this.#events.unshift(event);
    this.#events.length = Math.min(this.#events.length, EVENTS_MAX);
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = undefined;
      this.quiet.hidden = true;
      this.feed.replaceChildren(...this.#events.map((it) => line(it)));
    });
  }
}

function line(event) {
  const where = [event.share, event.path].filter(Boolean).join("\\");
  return h("li", { class: `event ${event.kind}` },
    timeElement(event.at),
    h("span", { class: "kind" }, KINDS[event.kind] ?? event.kind),
    h("span", { class: "where", title: where }, where),
    h("span", { class: "who" }, [event.user, event.computer].filter(Boolean).join(" at ")),
    event.reason && event.reason !== "client_close" ? h("span", { class: "reason" }, event.reason.replaceAll("_", " ")) : "");
}
