// The pages with lists, and what can be done with their entries.

import { address, list, request, Refused } from "./api.js";
import { announce, bytes, count, duration, h, time, timeElement } from "./dom.js";
import { live } from "./live.js";
import { Table } from "./table.js";

const REFRESH_MS = 30000;
const POLL_MS = 3000;
const GATHER_MS = 250;
const SINGLE_MAX = 25;

/** A page with one list. */
class ListPage {
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
    if (!this.one || ids.size > SINGLE_MAX || events.some((event) => event.kind === "lost")) return this.load(true);
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

/** A dialog with these parts. It is removed when it is closed. */
function dialog(title, ...parts) {
  const element = h("dialog", { "aria-labelledby": "dialog-title", onclose: () => element.remove() },
    h("h2", { id: "dialog-title" }, title), ...parts);
  document.body.append(element);
  element.showModal();
  return element;
}

/** Names and values, without those that are unknown. */
function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h("dl", { class: "facts" }, known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Asks before something is done, does it, and shows the outcome. */
function confirm({ title, text, danger, option, act, done }) {
  const box = option && h("input", { type: "checkbox", id: "option" });
  const failed = h("p", { class: "failed", role: "alert", hidden: true });
  const yes = h("button", { type: "submit", class: "danger" }, danger);
  const form = h("form", {
    async onsubmit(event) {
      event.preventDefault();
      yes.disabled = true;
      form.setAttribute("aria-busy", "true");
      try {
        const answer = await act(Boolean(box?.checked));
        element.close();
        announce(done(answer), answer?.outcome === "forced" ? "bad" : "good");
      } catch (error) {
        failed.hidden = false;
        failed.textContent = error.text ?? String(error);
        yes.disabled = false;
      }
      form.removeAttribute("aria-busy");
    },
  },
    h("p", {}, text),
    option && h("p", { class: "option" }, box, h("label", { for: "option" }, option)),
    failed,
    h("p", { class: "buttons" },
      h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Cancel"), yes));
  const element = dialog(title, form);
}

const OUTCOMES = {
  clean: "The client had nothing unwritten.",
  flushed: "The client had written back what it had cached.",
  forced: "What the client had cached and not written back is lost.",
};

/** What an open may do, in short. */
function access(file) {
  const names = file.access?.names ?? [];
  const words = [["read", /READ_DATA|LIST_DIRECTORY|EXECUTE/], ["write", /WRITE_DATA|APPEND_DATA|ADD_FILE/], ["delete", /^DELETE/]];
  const can = words.filter(([, pattern]) => names.some((name) => pattern.test(name))).map(([word]) => word);
  return can.length ? can.join(" ") : names.length ? "attributes" : "";
}

const caching = (file) => [file.lease, file.oplock].find((word) => word && word !== "none") ?? "";

/** The page of open files. */
export function files(user) {
  const close = (file, page) => confirm({
    title: "Close the file?",
    text: `${file.path}, which ${file.user || "somebody"} has opened${file.computer ? ` at ${file.computer}` : ""}. ` +
      "The client is first asked to write back what it has cached.",
    option: "Close at once, without asking the client; unwritten data is lost",
    danger: "Close file",
    act: (force) => request("DELETE", address(`/v1/files/${file.id}`, {
      force: force || undefined, expect_user: file.user || undefined, expect_path: file.path,
    })),
    done: (answer) => {
      page.table.remove([file.id]);
      return `Closed ${file.path}. ${OUTCOMES[answer?.outcome] ?? ""}`;
    },
  });
  const open = (file, page) => {
    const element = dialog("Open file",
      facts([
        ["Path", file.path], ["On the server", file.server_path], ["Share", file.share], ["User", file.user],
        ["Client", file.computer], ["Session", file.session_id], ["Access", file.access?.names?.join(" ")],
        ["Others may", file.share_access?.join(" ")], ["Caching", caching(file)], ["Locks", file.locks],
        ["Read", bytes(file.bytes_read)], ["Written", bytes(file.bytes_written)],
        ["Opened", timeElement(file.opened_at)], ["Idle", duration(file.idle_seconds)],
        ["Survives a lost connection", file.durable ? "yes" : undefined],
        ["Will be deleted", file.delete_pending ? "yes, when it is closed" : undefined], ["Number", file.id],
      ]),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        h("button", { type: "button", class: "danger", onclick: () => (element.close(), close(file, page)) }, "Close file…")));
  };
  return new ListPage({
    title: "Open files",
    path: "/v1/files",
    mine: !user.sees_others,
    empty: "No file is open.",
    kinds: ["opened", "closed", "reclaimed", "orphaned", "renamed"],
    one: { id: (event) => event.file_id, ends: ["closed"] },
    open,
    columns: [
      { label: "Path", text: (file) => file.path, class: "path" },
      { label: "User", text: (file) => file.user },
      { label: "Client", text: (file) => file.computer },
      { label: "Access", text: access, wide: true },
      { label: "Caching", text: caching, wide: true },
      { label: "Locks", text: (file) => file.locks, number: true, cell: (file) => count(file.locks || undefined), wide: true },
      { label: "Read", text: (file) => file.bytes_read, number: true, cell: (file) => bytes(file.bytes_read), wide: true },
      { label: "Written", text: (file) => file.bytes_written, number: true, cell: (file) => bytes(file.bytes_written), wide: true },
      { label: "Opened", text: (file) => file.opened_at, cell: (file) => time(file.opened_at), wide: true },
    ],
  });
}

/** The page of sessions. */
export function sessions(user) {
  const end = (session, page) => confirm({
    title: "End the session?",
    text: `${session.user || "An anonymous user"} at ${session.computer}, with ${count(session.opens ?? 0)} open files. ` +
      "They are closed at once; what the client has cached and not written back is lost.",
    danger: "End session",
    act: () => request("DELETE", `/v1/sessions/${session.id}`),
    done: (answer) => {
      page.table.remove([session.id]);
      return `Ended the session, and closed ${count(answer?.files ?? 0)} files.`;
    },
  });
  const open = (session, page) => {
    const element = dialog("Session",
      facts([
        ["User", session.user || (session.anonymous ? "anonymous" : "")], ["Domain", session.domain],
        ["Guest", session.guest ? "yes" : undefined], ["Client", session.computer], ["Client's name", session.computer_name],
        ["Program", session.client_type], ["Dialect", session.dialect],
        ["Protection", [session.signed ? `signed ${session.signing ?? ""}` : "", session.encrypted ? `encrypted ${session.cipher ?? ""}` : ""].filter(Boolean).join(", ") || "none"],
        ["Shares", session.shares?.map((share) => share.name).join(", ")], ["Open files", count(session.opens)],
        ["Since", timeElement(session.connected_at)], ["Idle", duration(session.idle_seconds)], ["Number", session.id],
      ]),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        user.ends_sessions || !user.sees_others
          ? h("button", { type: "button", class: "danger", onclick: () => (element.close(), end(session, page)) }, "End session…")
          : ""));
  };
  return new ListPage({
    title: "Sessions",
    path: "/v1/sessions",
    mine: !user.sees_others,
    empty: "Nobody is connected.",
    kinds: ["session_up", "session_down", "tree_up", "tree_down", "opened", "closed"],
    one: { id: (event) => event.session_id, ends: ["session_down"] },
    open,
    columns: [
      { label: "User", text: (session) => session.user || (session.anonymous ? "(anonymous)" : "") },
      { label: "Client", text: (session) => session.computer },
      { label: "Open files", text: (session) => session.opens, number: true, cell: (session) => count(session.opens) },
      { label: "Idle", text: (session) => session.idle_seconds, number: true, cell: (session) => duration(session.idle_seconds) },
      { label: "Since", text: (session) => session.connected_at, cell: (session) => time(session.connected_at), wide: true },
      { label: "Shares", text: (session) => session.shares?.map((share) => share.name).join(", "), wide: true },
      { label: "Dialect", text: (session) => session.dialect, wide: true },
      { label: "Protection", text: (session) => (session.encrypted ? "encrypted" : session.signed ? "signed" : "none"), wide: true },
    ],
  });
}

/** The page of shares. */
export function shares() {
  const grants = (share) => share.grants?.map((grant) => `${grant.group ? `@${grant.group}` : grant.user}: ${grant.denied ? "no " : ""}${grant.right}`).join(", ");
  const open = (share) => {
    const element = dialog(share.name,
      facts([
        ["Directory", share.path], ["Not available", share.away], ["Remark", share.comment], ["Kind", share.kind],
        ["In use by", count(share.uses)], ["At most", share.uses_max], ["Read only", share.read_only ? "yes" : undefined],
        ["Encryption", share.encrypt ? "required" : undefined], ["Offline caching", share.caching], ["Access", grants(share)],
      ]),
      h("p", { class: "buttons" }, h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back")));
  };
  return new ListPage({
    title: "Shares",
    path: "/v1/shares",
    key: (share) => share.name,
    empty: "There are no shares.",
    kinds: ["tree_up", "tree_down", "share_added", "share_removed"],
    open,
    columns: [
      { label: "Name", text: (share) => share.name },
      { label: "Directory", text: (share) => share.path ?? "" },
      { label: "In use by", text: (share) => share.uses, number: true, cell: (share) => count(share.uses) },
      { label: "Remark", text: (share) => share.comment, wide: true },
      { label: "Access", text: grants, wide: true },
      { label: "State", text: (share) => (share.away ? "not available" : share.read_only ? "read only" : ""), class: "state" },
    ],
  });
}

/** The page of accounts. */
export function users(user) {
  const state = (account) => (account.locked ? "locked" : account.enabled ? (account.must_change_password ? "must change password" : "") : "disabled");
  const change = (account, page, body, said) => request("PATCH", `/v1/users/${encodeURIComponent(account.name)}`, { body })
    .then((changed) => (page.table.put([changed]), announce(`${account.name}: ${said}`)))
    .catch((error) => announce(error.text ?? String(error), "bad"));
  const open = (account, page) => {
    const button = (text, body, said, kind) => h("button", {
      type: "button", class: kind, onclick: () => (element.close(), change(account, page, body, said)),
    }, text);
    const element = dialog(account.name,
      facts([
        ["State", state(account) || "may log on"], ["Locked until", timeElement(account.locked_until)],
        ["Wrong passwords", account.wrong_passwords || undefined], ["Administrator", account.administrator ? "yes" : undefined],
        ["Password set", timeElement(account.password_set)], ["Password expires", timeElement(account.password_expires)],
        ["Account expires", timeElement(account.expires)], ["Unix account", account.unix_account === false ? "missing" : undefined],
      ]),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        user.changes_settings && account.locked ? button("Unlock", { active: true }, "unlocked") : "",
        user.changes_settings && !account.enabled ? button("Enable", { active: true }, "enabled") : "",
        user.changes_settings && account.enabled ? button("Disable", { active: false }, "disabled; sessions continue", "danger") : ""));
  };
  return new ListPage({
    title: "Users",
    path: "/v1/users",
    key: (account) => account.name,
    empty: "There are no accounts.",
    open,
    columns: [
      { label: "Name", text: (account) => account.name },
      { label: "State", text: state, class: "state" },
      { label: "Administrator", text: (account) => (account.administrator ? "yes" : ""), wide: true },
      { label: "Wrong passwords", text: (account) => account.wrong_passwords, number: true, cell: (account) => count(account.wrong_passwords || undefined) },
      { label: "Password set", text: (account) => account.password_set, cell: (account) => time(account.password_set), wide: true },
    ],
  });
}

/** The page of recent refusals. */
export function refusals() {
  const holder = (refusal) => [refusal.holder_user, refusal.holder_computer].filter(Boolean).join(" at ");
  const open = (refusal) => {
    const element = dialog("Refused request",
      facts([
        ["Time", timeElement(refusal.at)], ["Kind", refusal.kind], ["Answer", refusal.status], ["Share", refusal.share],
        ["Path", refusal.path], ["User", refusal.user], ["Client", refusal.computer],
        ["Wanted", refusal.wanted?.names?.join(" ")], ["In the way", holder(refusal)], ["With the open", refusal.holder_file_id],
      ]),
      h("p", { class: "buttons" }, h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back")));
  };
  return new ListPage({
    title: "Refusals",
    path: "/v1/refusals",
    empty: "No request was refused lately.",
    kinds: ["refused"],
    open,
    order: { column: 0, down: true },
    columns: [
      { label: "Time", text: (refusal) => refusal.at, cell: (refusal) => time(refusal.at) },
      { label: "Path", text: (refusal) => refusal.path, class: "path" },
      { label: "User", text: (refusal) => refusal.user },
      { label: "Client", text: (refusal) => refusal.computer, wide: true },
      { label: "Kind", text: (refusal) => refusal.kind },
      { label: "In the way", text: holder, wide: true },
    ],
  });
}

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

/** The page of settings and counters. */
export class Settings {
  constructor(user) {
    this.user = user;
    this.content = h("div", { class: "columns" });
    this.element = h("section", { "aria-labelledby": "heading" }, h("h1", { id: "heading" }, "Settings"), this.content);
  }

  begin() {
    this.load();
  }

  end() {}

  async load() {
    try {
      const [settings, statistics, service] = await Promise.all(
        ["/v1/settings", "/v1/statistics", "/v1/service"].map((path) => request("GET", path)));
      this.#show(settings, statistics, service);
    } catch (error) {
      announce(error.text ?? String(error), "bad");
    }
  }

  #show(settings, statistics, service) {
    const rules = settings.password_rules ?? {};
    const never = (value, unit) => (value ? `${value} ${unit}` : "none");
    const part = (title, ...content) => h("section", { class: "card" }, h("h2", {}, title), ...content);
    this.content.replaceChildren(
      part("Server", facts([
        ["Name", settings.name], ["Version", settings.version], ["Service", service.state],
        ["Listens on", settings.listening?.join(", ")], ["Domain", settings.domain_member ? settings.dns_domain : undefined],
      ]), this.user.changes_settings ? this.#form(settings) : ""),
      part("Passwords", facts([
        ["Fewest characters", never(rules.min_length, "")], ["Expire after", never(rules.max_age_days, "days")],
        ["Remembered", never(rules.history, "")],
        ["Lock after", rules.lockout_threshold ? `${rules.lockout_threshold} wrong passwords` : "never"],
        ["Locked for", rules.lockout_threshold ? never(rules.lockout_minutes, "minutes") : undefined],
      ])),
      part("Protection", facts([
        ["Sandbox", settings.sandbox?.mode], ["Landlock", settings.sandbox?.landlock],
        ["System calls", settings.sandbox?.system_calls], ["Missing", settings.sandbox?.missing?.join("; ")],
        ["Console's certificate", settings.console?.certificate_sha256 && h("code", {}, settings.console.certificate_sha256)],
        ["It expires", timeElement(settings.console?.certificate_expires)],
      ])),
      part("Counters", facts([
        ["Since", timeElement(statistics.since)], ["Sessions", count(statistics.sessions_accepted)],
        ["Files opened", count(statistics.files_opened)], ["Sent", bytes(statistics.bytes_sent)],
        ["Received", bytes(statistics.bytes_received)], ["Average answer", `${statistics.response_milliseconds ?? 0} ms`],
        ["Wrong passwords", count(statistics.password_violations)], ["Access denied", count(statistics.permission_violations)],
        ["Errors of the server", count(statistics.system_errors)], ["Sessions timed out", count(statistics.sessions_timed_out)],
        ["Sessions failed", count(statistics.sessions_errored_out)],
      ])));
  }

  #form(settings) {
    const comment = h("input", { id: "comment", value: settings.comment, maxlength: "256" });
    const idle = h("input", { id: "idle", type: "number", min: "-1", max: "65535", value: String(settings.autodisconnect ?? -1) });
    const hidden = h("input", { id: "hidden", type: "checkbox", checked: Boolean(settings.hidden) });
    const save = async (event) => {
      event.preventDefault();
      try {
        const body = { comment: comment.value, autodisconnect: Number(idle.value), hidden: hidden.checked };
        await request("PATCH", "/v1/settings", { body });
        announce("The settings are saved.");
        this.load();
      } catch (error) {
        announce(error.text ?? String(error), "bad");
      }
    };
    return h("form", { class: "settings", onsubmit: save },
      h("label", { for: "comment" }, "Comment"), comment,
      h("label", { for: "idle" }, "End idle sessions after (minutes, -1 for never)"), idle,
      h("p", { class: "option" }, hidden, h("label", { for: "hidden" }, "Hidden in lists of servers")),
      h("p", { class: "buttons" }, h("button", { type: "submit" }, "Save")));
  }
}
