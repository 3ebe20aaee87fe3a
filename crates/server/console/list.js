// A page with one list, which follows the server.

import { list, request, Refused } from "./api.js";
import { announce, count, h } from "./dom.js";
import { live } from "./live.js";
import { Table } from "./table.js";

const REFRESH_MS = 30000;
const GATHER_MS = 250;
const SINGLE_MAX = 25;

/** A page with one list. */
export class ListPage {
  #timer;
  #gathering;
  #loading = false;
  #events = [];

  constructor({ title, path, columns, order, empty, open, mine, kinds = [], one, actions = [], key }) {
    [this.path, this.mine, this.kinds, this.one] = [path, mine, kinds, one];
    this.total = h("span", { class: "total", role: "status" });
    this.filter = h("input", {
      type: "search",
      id: "filter",
      placeholder: "Filter  ( / )",
      "aria-label": `Filter ${title.toLowerCase()}`,
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.table.filter(this.filter.value),
    });
    this.table = new Table({
      caption: title, columns, order, empty, key,
      open: open && ((row) => open(row, this)),
      changed: (shown, all) => (this.total.textContent = shown === all ? count(all) : `${count(shown)} of ${count(all)}`),
    });
    this.element = h("section", { class: "list", "aria-labelledby": "heading" },
      h("header", {}, h("h1", { id: "heading" }, title), this.total, this.filter,
        actions.map(([text, act]) => h("button", { type: "button", onclick: () => act(this) }, text))),
      this.table.scroller);
    this.on_event = (event) => this.#happened(event.detail);
    this.on_poll = () => this.load(true);
  }

  begin() {
    live.addEventListener("event", this.on_event);
    live.addEventListener("poll", this.on_poll);
    this.load(false);
    this.#timer = setInterval(() => document.hidden || this.load(true), REFRESH_MS);
  }

  end() {
    live.removeEventListener("event", this.on_event);
    live.removeEventListener("poll", this.on_poll);
    clearInterval(this.#timer);
    clearTimeout(this.#gathering);
  }

  /** Reads the whole list again. */
  async load(automatic) {
    if (this.#loading) return;
    this.#loading = true;
    try {
      // The first page of a long list is shown while the rest is read.
      const progress = (items, after) => after && !this.table.size && this.table.set(items);
      const { items, more } = await list(this.path, this.mine ? { mine: true } : {}, { automatic, progress });
      this.table.set(items);
      if (more && !automatic) announce(`The list is longer; its first ${count(items.length)} entries are shown.`, "bad");
    } catch (error) {
      if (!automatic) announce(error.text ?? String(error), "bad");
    } finally {
      this.#loading = false;
    }
  }

  #happened(event) {
    if (!this.kinds.includes(event.kind) && event.kind !== "lost") return;
    this.#events.push(event);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#apply(this.#events.splice(0));
    }, GATHER_MS);
  }

  /** Applies events to the list: single entries are read one by one, many by reading the whole list. */
  async #apply(events) {
    const ids = new Set(events.map((event) => this.one?.id(event)).filter(Boolean));
    // A drain concerns any number of entries.
    const concerns_many = events.some((event) => event.kind === "lost" || event.kind.startsWith("drain_"));
    if (!this.one || ids.size > SINGLE_MAX || concerns_many) return this.load(true);
    const gone = new Set(events.filter((event) => this.one.ends.includes(event.kind)).map((event) => this.one.id(event)));
    this.table.remove([...gone]);
    const rows = await Promise.all([...ids].filter((id) => !gone.has(id)).map((id) =>
      request("GET", `${this.path}/${id}`, { automatic: true }).catch((error) => {
        if (error instanceof Refused && error.status === 404) this.table.remove([id]);
      })));
    const found = rows.filter(Boolean);
    if (found.length) this.table.put(found);
  }
}
