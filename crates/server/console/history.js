// The history: a search for what was open, changed, refused and administered, and its results page by page.

import { address, list, request } from "./api.js";
import { announce, bytes, count, duration, h, time, timeElement } from "./dom.js";
import { dialog, facts } from "./parts.js";
import { Table } from "./table.js";

const PAGE = 200;
const ANSWER_MAX = 5000;
const SHOWN_MAX = 50000;

/** The kinds of entries to search for. Gaps belong to each: the missing entries may be of any kind. */
const KINDS = [
  ["", "Everything"],
  ["open", "Opened"],
  ["deleted", "Deleted"],
  ["renamed", "Renamed"],
  ["refused,logon_refused", "Refused"],
  ["session", "Sessions"],
  ["act", "Acts of administrators"],
];

/** The spans of time: their names in the address, and what they are called. A number is that of seconds until now. */
const SPANS = [
  ["", "Any time"],
  ["3600", "The last hour"],
  ["86400", "The last 24 hours"],
  ["604800", "The last 7 days"],
  ["at", "At a moment"],
  ["between", "From … until"],
];

const WORDS = { open: "opened", logon_refused: "logon refused", session: "logged on", act: "administration", gap: "not recorded" };

const NAMES = ["path", "share", "user", "client", "kinds", "span", "at", "since", "until"];

/** The address of a search on the page of the history. */
export const history_of = (search) => address("#/history", search);

/** The page of the history. */
export class History {
  #user;
  #search = {};
  #number = 0;
  #earlier;

  constructor(user) {
    this.#user = user;
    const field = (name, label, properties) => this.#labelled(name, label, h("input", { autocomplete: "off", spellcheck: "false", ...properties }));
    const choice = (name, label, options) => this.#labelled(name, label, h("select", {}, options.map(([value, text]) => h("option", { value }, text))));
    const moment = (name, label) => field(name, label, { type: "datetime-local", step: "1", max: "9999-12-31T23:59:59" });
    this.fields = {
      path: field("path", "File or directory", { type: "search", class: "path", placeholder: "plans\\draft.odt or /srv/data/plans" }),
      share: choice("share", "Share", [["", "Any"]]),
      user: field("user", "User", { type: "search" }),
      client: field("client", "Client", { type: "search" }),
      kinds: choice("kinds", "What", KINDS),
      span: choice("span", "When", SPANS),
      at: moment("at", "At"),
      since: moment("since", "From"),
      until: moment("until", "Until"),
    };
    this.fields.user.parentElement.hidden = !user.sees_others;
    this.fields.span.addEventListener("change", () => this.#show_moments());
    // The key "/" leads to the field with this number.
    this.fields.path.id = "filter";
    this.fields.path.previousElementSibling.setAttribute("for", "filter");
    this.failed = h("p", { class: "failed", role: "alert" });
    this.form = h("form", { class: "search", role: "search", "aria-label": "History", onsubmit: (event) => (event.preventDefault(), this.#submit()) },
      Object.values(this.fields).map((it) => it.parentElement),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => this.#go({}) }, "Clear"),
        h("button", { type: "submit", class: "main" }, "Search")));
    this.total = h("span", { class: "total", role: "status" });
    this.notes = h("div", { class: "notes" });
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.#read_earlier() }, "Earlier entries");
    this.table = new Table({
      caption: "History",
      key: (entry) => `${entry.kind}-${entry.id}`,
      empty: "",
      order: { column: 0, down: true },
      open: (entry) => this.#open(entry),
      row_class: (entry) => (["gap", "refused", "logon_refused"].includes(entry.kind) ? `bad ${entry.kind}` : ""),
      columns: [
        { label: "Time", text: (entry) => time(entry.at), order: (entry) => `${entry.at} ${String(entry.id).padStart(20, "0")}` },
        { label: "What", text: what, class: "what" },
        { label: "Path", text: where, class: "path" },
        { label: "By", text: (entry) => entry.user },
        { label: "Client", text: (entry) => entry.computer, wide: true },
        { label: "Details", text: details, wide: true, class: "details" },
      ],
    });
    this.element = h("section", { class: "list history", "aria-labelledby": "heading" },
      h("header", {}, h("h1", { id: "heading" }, "History"), this.total),
      this.form, this.failed, this.notes, this.table.scroller, h("p", { class: "more" }, this.more));
  }

  #labelled(name, label, control) {
    control.id = `search-${name}`;
    h("div", { class: `field ${name}` }, h("label", { for: control.id }, label), control);
    return control;
  }

  begin() {
    list("/v1/shares", {}, {}).then(({ items }) => {
      const names = items.filter((share) => share.kind === "disk").map((share) => share.name);
      const known = [...this.fields.share.options].map((option) => option.value.toLowerCase());
      this.fields.share.append(...names.filter((name) => !known.includes(name.toLowerCase())).map((name) => h("option", { value: name }, name)));
      this.#fill();
    }).catch(() => {});
  }

  end() {}

  /** Shows the search of this address. */
  show(parameters) {
    this.#search = Object.fromEntries(NAMES.map((name) => [name, parameters.get(name) ?? ""]));
    if (!SPANS.some(([value]) => value === this.#search.span)) this.#search.span = "";
    if (this.#search.at) this.#search.span = "at";
    else if (this.#search.since || this.#search.until) this.#search.span = "between";
    this.#fill();
    this.#read();
  }

  #fill() {
    const { share } = this.fields;
    const wanted = this.#search.share ?? "";
    const found = [...share.options].find((option) => option.value.toLowerCase() === wanted.toLowerCase());
    if (!found) share.append(h("option", { value: wanted }, wanted));
    for (const name of NAMES) {
      const value = this.#search[name] ?? "";
      this.fields[name].value = ["at", "since", "until"].includes(name) ? local(value) : value;
    }
    if (found) share.value = found.value;
    this.#show_moments();
  }

  #show_moments() {
    const span = this.fields.span.value;
    this.fields.at.parentElement.hidden = span !== "at";
    this.fields.since.parentElement.hidden = this.fields.until.parentElement.hidden = span !== "between";
  }

  #submit() {
    const search = Object.fromEntries(NAMES.map((name) => [name, this.fields[name].value.trim()]));
    if (search.span !== "at") search.at = "";
    if (search.span !== "between") search.since = search.until = "";
    for (const name of ["at", "since", "until"]) search[name] = search[name] && new Date(search[name]).toISOString();
    if (search.span === "at" && !search.at) {
      this.failed.textContent = "Choose the moment.";
      this.fields.at.focus();
      return;
    }
    if (["at", "between"].includes(search.span)) search.span = "";
    this.#go(search);
  }

  #go(search) {
    const to = history_of(search);
    // The same search again reads what has happened since.
    if (location.hash === to) this.show(new URLSearchParams(to.split("?")[1]));
    else location.hash = to;
  }

  /** The parameters of a request for this search. */
  #asked() {
    const { path, share, user, client, kinds, span, at, since, until } = this.#search;
    const seconds = Number(span);
    return {
      path, share, user, client,
      kinds: kinds && `${kinds},gap`,
      at,
      since: seconds ? new Date(Date.now() - seconds * 1000).toISOString() : since,
      until,
    };
  }

  async #read() {
    const number = ++this.#number;
    this.failed.textContent = "";
    this.total.textContent = "Searching…";
    const asked = this.#asked();
    try {
      const answer = await request("GET", address("/v1/history", { ...asked, limit: PAGE }));
      if (number !== this.#number) return;
      this.table.empty = "The history has nothing that matches.";
      this.table.scroller.scrollTop = 0;
      this.table.set(answer.items);
      this.#show_notes(answer);
      this.#show_state(asked, answer);
    } catch (error) {
      if (number !== this.#number) return;
      this.failed.textContent = error.text ?? String(error);
      this.total.textContent = "";
      this.table.empty = "";
      this.table.set([]);
      this.notes.replaceChildren();
      this.more.hidden = true;
    }
  }

  /** Reads the entries before those that are shown: from the time of the first one on, as others can have the same. */
  async #read_earlier() {
    const number = this.#number;
    const asked = { ...this.#earlier.asked, until: this.#earlier.from };
    this.more.disabled = true;
    try {
      const before = this.table.size;
      let answer = await request("GET", address("/v1/history", { ...asked, limit: PAGE }));
      if (number !== this.#number) return;
      this.table.put(answer.items);
      if (this.table.size === before && answer.has_earlier) {
        answer = await request("GET", address("/v1/history", { ...asked, limit: ANSWER_MAX }));
        if (number !== this.#number) return;
        this.table.put(answer.items);
      }
      this.#show_state(asked, { ...answer, has_earlier: answer.has_earlier && this.table.size > before });
      announce(`${count(this.table.size - before)} more entries.`);
    } catch (error) {
      announce(error.text ?? String(error), "bad");
    } finally {
      this.more.disabled = false;
    }
  }

  #show_state(asked, { items, has_earlier }) {
    const size = this.table.size;
    this.total.textContent = has_earlier ? `the latest ${count(size)}` : count(size);
    const from = items.map((entry) => entry.at).sort()[0];
    this.#earlier = { asked, from };
    this.more.hidden = !has_earlier || !from;
    if (size >= SHOWN_MAX) {
      this.more.hidden = true;
      announce("The list is long. Search for less to see what is earlier.", "bad");
    }
  }

  #show_notes({ names, begins, left_out, failure }) {
    const note = (kind, ...content) => h("p", { class: `note ${kind}` }, ...content);
    const called = (name) => [h("code", {}, name.path), ` on ${name.share}`];
    this.notes.replaceChildren(...[
      failure && note("bad", `Nothing is recorded at present: ${failure}`),
      left_out ? note("bad", `${count(left_out)} ${left_out === 1 ? "entry" : "entries"} could not be recorded since the server started. Rows “${WORDS.gap}” show where.`) : "",
      ...names.map((name) => (!name.later && name.until
        ? note("", "It was called ", ...called(name), " until ", timeElement(name.until), ".")
        : name.until && name.since
          ? note("", "It was called ", ...called(name), " from ", timeElement(name.since), " until ", timeElement(name.until), ".")
          : name.since
            ? note("", "It has been called ", ...called(name), " since ", timeElement(name.since), ".")
            : note("", "It was also called ", ...called(name), "."))),
      note("soft", begins ? ["The history begins at ", timeElement(begins), ". "] : "", this.#user.sees_everything ? "" : this.#user.sees_others
        ? "You see the entries of your shares, and your own." : "You see your own entries."),
    ].flat().filter(Boolean));
    this.notes.querySelectorAll(".note").forEach((it) => (it.hidden = !it.textContent.trim()));
  }

  #open(entry) {
    const link = (text, search) => h("a", { class: "button", href: history_of(search), onclick: () => element.close() }, text);
    const holder = [entry.holder_user, entry.holder_computer].filter(Boolean).join(" at ");
    const lasted = entry.ended_at && (Date.parse(entry.ended_at) - Date.parse(entry.at)) / 1000;
    const spans = ["open", "session", "gap"].includes(entry.kind);
    const element = dialog(capital(what(entry)),
      facts([
        ["Time", timeElement(entry.at)], ["Until", spans ? (timeElement(entry.ended_at) || "it lasts") : undefined],
        ["For", spans && entry.ended_at ? duration(lasted) : undefined],
        ["Share", entry.share], ["Path", entry.path && h("code", {}, entry.path)], ["New path", entry.new_path && h("code", {}, entry.new_path)],
        ["User", entry.user], [entry.kind === "act" ? "From" : "Client", entry.computer],
        ["Act", entry.act], ["On", entry.object], ["Outcome", entry.outcome],
        [entry.kind === "refused" ? "Wanted" : "Access", entry.access?.names?.join(" ")],
        ["Read", bytes(entry.bytes_read)], ["Written", bytes(entry.bytes_written)],
        ["Reason", worded(entry.reason)], ["In the way", holder], ["With the open", entry.holder_file_id],
        ["Missing entries", count(entry.missing)], ["Session", entry.session_id], ["Open", entry.file_id],
      ]),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        entry.user && this.#user.sees_others && entry.kind !== "logon_refused" ? link("History of this user", { user: entry.user }) : "",
        entry.path && entry.share ? link("History of this file", { path: entry.path, share: entry.share }) : ""));
  }
}

const worded = (reason) => reason?.replaceAll("_", " ");

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const what = (entry) => WORDS[entry.kind] ?? entry.kind;

const where = (entry) => (entry.share === undefined || entry.share === null ? entry.object ?? "" : [entry.share, entry.path].filter(Boolean).join("\\"));

/** The rest of an entry in a few words. */
function details(entry) {
  const ended = () => (entry.ended_at ? `until ${time(entry.ended_at)}${entry.reason ? ` (${worded(entry.reason)})` : ""}` : undefined);
  switch (entry.kind) {
    case "open":
      return [ended() ?? "still open", entry.bytes_read && `${bytes(entry.bytes_read)} read`, entry.bytes_written && `${bytes(entry.bytes_written)} written`]
        .filter(Boolean).join(", ");
    case "session":
      return ended() ?? "still connected";
    case "renamed":
      return `to ${entry.new_path ?? ""}`;
    case "refused": {
      const holder = [entry.holder_user, entry.holder_computer].filter(Boolean).join(" at ");
      return [worded(entry.reason), holder && `in the way: ${holder}`].filter(Boolean).join("; ");
    }
    case "act":
      return [entry.act, entry.outcome].filter(Boolean).join(": ");
    case "gap":
      return [`${count(entry.missing)} ${entry.missing === 1 ? "entry is" : "entries are"} missing`, ended()].filter(Boolean).join(", ");
    default:
      return worded(entry.reason) ?? "";
  }
}

/** A time in the form of an input field, in the time zone of the browser. */
function local(text) {
  const at = text ? new Date(text) : undefined;
  if (!at || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}
