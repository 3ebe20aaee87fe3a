// A table with any number of rows, of which only the visible ones are elements of the page.

import { count, h } from "./dom.js";

const ROW_HEIGHT = 34;
const BEYOND = 12;

/**
 * A column: `label`, `text(row)` for the filter and the order, and optionally `cell(row)` for what is shown, `order(row)`
 * for another order, `number` to order by numbers, `wide` to leave it out on narrow screens.
 */
export class Table {
  #columns;
  #rows = new Map();
  #shown = [];
  #filter = "";
  #order;
  #current;
  #frame;
  #key;
  #open;
  #changed;
  #row_class;

  constructor({ caption, columns, key = (row) => row.id, open, order, empty = "There is nothing to show.", changed, row_class = () => "" }) {
    [this.#columns, this.#key, this.#open, this.#changed, this.#row_class] = [columns, key, open, changed, row_class];
    this.#order = order ?? { column: 0, down: false };
    this.empty = empty;
    this.body = h("tbody");
    this.head = h("tr", {}, columns.map((column, number) => this.#heading(column, number)));
    this.table = h("table", { "aria-label": caption }, h("thead", {}, this.head), this.body);
    this.nothing = h("p", { class: "nothing", hidden: true });
    this.scroller = h("div", { class: "scroller" }, this.table, this.nothing);
    this.scroller.addEventListener("scroll", () => this.#later());
    this.body.addEventListener("keydown", (event) => this.#key_down(event));
    this.#observer = new ResizeObserver(() => this.#later());
    this.#observer.observe(this.scroller);
  }

  #observer;

  /** Replaces all rows. */
  set(rows) {
    this.#rows = new Map(rows.map((row) => [this.#key(row), row]));
    this.#arrange();
  }

  /** Adds rows, or replaces those with the same key. */
  put(rows) {
    rows.forEach((row) => this.#rows.set(this.#key(row), row));
    this.#arrange();
  }

  /** Removes rows by their keys. */
  remove(keys) {
    if (keys.filter((key) => this.#rows.delete(key)).length) this.#arrange();
  }

  get size() {
    return this.#rows.size;
  }

  get shownSize() {
    return this.#shown.length;
  }

  /** Shows only rows that have all words of this text. */
  filter(text) {
    this.#filter = text.toLowerCase();
    this.scroller.scrollTop = 0;
    this.#arrange();
  }

  #heading(column, number) {
    const sort = () => {
      this.#order = { column: number, down: this.#order.column === number ? !this.#order.down : Boolean(column.number) };
      this.#arrange();
    };
    const button = h("button", { type: "button", class: "sort", onclick: sort }, column.label);
    return h("th", { scope: "col", class: this.#class_of(column) }, button);
  }

  #class_of(column) {
    return [column.number ? "number" : "", column.wide ? "wide" : "", column.class ?? ""].join(" ").trim();
  }

  #arrange() {
    const words = this.#filter.split(/\s+/).filter(Boolean);
    const texts = (row) => this.#columns.map((column) => String(column.text(row) ?? "")).join("\n").toLowerCase();
    let rows = [...this.#rows.values()];
    if (words.length) {
      rows = rows.filter((row) => {
        const text = texts(row);
        return words.every((word) => text.includes(word));
      });
    }
    const column = this.#columns[this.#order.column];
    const ordering = column.order ?? column.text;
    const sign = this.#order.down ? -1 : 1;
    if (column.number) {
      rows.sort((one, other) => sign * (Number(ordering(one) ?? -1) - Number(ordering(other) ?? -1)));
    } else {
      const keyed = rows.map((row) => [String(ordering(row) ?? "").toLowerCase(), row]);
      keyed.sort((one, other) => (one[0] < other[0] ? -sign : one[0] > other[0] ? sign : 0));
      rows = keyed.map((pair) => pair[1]);
    }
    this.#shown = rows;
    [...this.head.children].forEach((cell, number) => {
      const direction = this.#order.down ? "descending" : "ascending";
      cell.setAttribute("aria-sort", number === this.#order.column ? direction : "none");
    });
    this.table.setAttribute("aria-rowcount", String(rows.length + 1));
    this.nothing.hidden = rows.length > 0;
    this.nothing.textContent = this.#rows.size && words.length ? `None of ${count(this.#rows.size)} matches the filter.` : this.empty;
    this.#changed?.(rows.length, this.#rows.size);
    this.#later();
  }

  #later() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#draw();
    });
  }

  #draw() {
    const height = this.scroller.clientHeight || 600;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_HEIGHT) - BEYOND);
    const last = Math.min(this.#shown.length, first + Math.ceil(height / ROW_HEIGHT) + 2 * BEYOND);
    const focused = document.activeElement?.closest?.("tr[data-key]")?.dataset.key;
    const visible = this.#shown.slice(first, last);
    if (!visible.some((row) => String(this.#key(row)) === this.#current)) {
      this.#current = visible.length ? String(this.#key(visible[0])) : undefined;
    }
    const rows = visible.map((row, number) => this.#row(row, first + number));
    const space = (count) => {
      const row = h("tr", { class: "space", "aria-hidden": "true" }, h("td", { colspan: this.#columns.length }));
      row.style.height = `${count * ROW_HEIGHT}px`;
      return row;
    };
    this.body.replaceChildren(space(first), ...rows, space(this.#shown.length - last));
    if (focused) this.body.querySelector(`tr[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  #row(row, number) {
    const key = String(this.#key(row));
    const cells = this.#columns.map((column) => {
      const content = (column.cell ?? column.text)(row);
      const text = column.text(row);
      return h("td", { class: this.#class_of(column), title: column.number ? undefined : text }, content ?? "");
    });
    const open = this.#open && (() => this.#open(row));
    return h("tr", {
      "data-key": key,
      "aria-rowindex": number + 2,
      tabindex: key === this.#current ? "0" : "-1",
      class: `${open ? "opens" : ""} ${this.#row_class(row)}`.trim(),
      onclick: open,
      onfocus: () => this.#became_current(key),
    }, cells);
  }

  #became_current(key) {
    if (this.#current === key) return;
    this.body.querySelector('tr[tabindex="0"]')?.setAttribute("tabindex", "-1");
    this.#current = key;
    this.body.querySelector(`tr[data-key="${CSS.escape(key)}"]`)?.setAttribute("tabindex", "0");
  }

  #key_down(event) {
    const at = this.#shown.findIndex((row) => String(this.#key(row)) === this.#current);
    if (at < 0) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_HEIGHT) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -at, End: this.#shown.length };
    if (event.key in moves) {
      const to = Math.min(this.#shown.length - 1, Math.max(0, at + moves[event.key]));
      const top = to * ROW_HEIGHT;
      const head = this.head.offsetHeight;
      if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
      else if (top + ROW_HEIGHT + head > this.scroller.scrollTop + this.scroller.clientHeight) {
        this.scroller.scrollTop = top + ROW_HEIGHT + head - this.scroller.clientHeight;
      }
      this.#current = String(this.#key(this.#shown[to]));
      this.#draw();
      this.body.querySelector('tr[tabindex="0"]')?.focus({ preventScroll: true });
      event.preventDefault();
    } else if ((event.key === "Enter" || event.key === " ") && this.#open) {
      this.#open(this.#shown[at]);
      event.preventDefault();
    }
  }
}
