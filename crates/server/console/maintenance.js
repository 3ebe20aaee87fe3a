// What comes to an end: drains and announced closes, with the time that is left, and the forms that begin and end them.

import { now, request } from "./api.js";
import { count, duration, h, time, timeElement } from "./dom.js";
import { confirm } from "./parts.js";
import { may_drain } from "./rights.js";

/** The time until this moment, in words. */
function left(text) {
  const seconds = (Date.parse(text) - now()) / 1000;
  return seconds >= 1 ? `in ${duration(seconds)}` : "now";
}

/** The time until this moment as an element, which counts down. A screen reader reads it when it comes to it, and not each second. */
const countdown = (text) => h("time", { datetime: text, "data-until": text, title: new Date(text).toString() }, left(text));

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-until]")) {
    const text = left(element.dataset.until);
    if (element.textContent !== text) element.textContent = text;
  }
}, 1000);

/** The words before the moment that matters, and this moment, if there is one. */
function phase(drain) {
  switch (drain.phase) {
    case "waiting":
      return drain.deadline ? ["drains, closes", drain.deadline] : ["drains"];
    case "ending":
      return ["is being closed"];
    default:
      return ["drained"];
  }
}

const close = (file) => (file.closing ? ["closes", file.closing.at] : undefined);

const worded = (parts) => (parts ? parts.filter(Boolean).map((part, number) => (number ? time(part) : part)).join(" ") : "");

const shown = (parts) => (parts?.[1] ? h("span", {}, `${parts[0]} `, countdown(parts[1])) : parts?.[0] ?? "");

/** The state of a drain in words, and as an element. */
export const drain_words = (drain) => (drain ? worded(phase(drain)) : "");
export const drain_shown = (drain) => (drain ? shown(phase(drain)) : "");

/** The announced close of an open in words, and as an element. */
export const close_words = (file) => worded(close(file));
export const close_shown = (file) => shown(close(file));

/** The moment with the time left, for lists of facts. */
export const moment = (text) => (text ? h("span", {}, timeElement(text), " (", countdown(text), ")") : undefined);

/** What a drain is about. */
function scope(drain) {
  if (drain.scope === "share") return `Share ${drain.share}`;
  return drain.scope === "client" ? `Client ${drain.client}` : "The whole server";
}

/** Names and values about a drain, for lists of facts. */
export function drain_facts(drain) {
  if (!drain) return [];
  return [
    ["Drain", `${scope(drain)} ${phase(drain)[0].split(",")[0]}${drain.strict ? ", also for those who have files open" : ""}${drain.then_stop ? ", then the server stops" : ""}`],
    ["Drained by", drain.by], ["Since", timeElement(drain.begun_at)],
    ["Files are closed", drain.phase === "waiting" ? moment(drain.deadline) ?? "when their users close them" : undefined],
    ["Still open", drain.files ? `${count(drain.files)}${drain.users?.length ? `, of ${drain.users.join(", ")}` : ""}` : undefined],
    ["Drained at", timeElement(drain.done_at)],
    ["Closed", closed(drain)],
  ];
}

/** How the rest was closed. */
function closed(drain) {
  const outcomes = [[drain.clean, "with nothing unwritten"], [drain.flushed, "after their clients had written"], [drain.forced, "although their clients had not written"]];
  return outcomes.filter(([number]) => number).map(([number, how]) => `${count(number)} ${how}`).join(", ");
}

/** The files that are still open, in words. */
function still_open(drain) {
  if (!drain.files) return "";
  return `${count(drain.files)} open ${drain.files === 1 ? "file" : "files"}${drain.users?.length ? ` of ${drain.users.join(", ")}` : ""}`;
}

/** A drain in a line, with a button if the user may end it. */
export const drain_line = (user, drain, done) => h("li", { class: "drain" },
  h("span", {}, h("strong", {}, scope(drain)), " ", drain_shown(drain),
    [still_open(drain), closed(drain) && `closed ${closed(drain)}`, drain.by && `by ${drain.by}`].filter(Boolean).map((part) => `; ${part}`), "."),
  may_drain(user, drain) ? h("button", { type: "button", "data-act": "drain", onclick: () => end_drain(drain, done) }, "End drain…") : "");

/** The minutes to the latest deadline that the server takes: a week. */
const MINUTES_MAX = 7 * 24 * 60;

const minutes = { type: "number", min: 1, max: MINUTES_MAX, step: 1, inputmode: "numeric" };

/** Asks for the deadline of a drain of a share, of a client, or without both of the whole server, and begins it. */
export function begin_drain({ share, client }, done) {
  const what = share ? `share ${share}` : client ? `client ${client}` : "the whole server";
  confirm({
    title: `Drain ${what}?`,
    text: "New files are refused, except to those who still have some open. When the last one is closed, or at the deadline, " +
      "the server closes what is left; the clients can first write back what they have cached. Nobody opens anything then until the drain is ended.",
    fields: [
      { name: "minutes", label: "Minutes until the rest is closed; empty to wait for the users", ...minutes },
      { name: "strict", label: "Refuse new files to those who have some open, too", type: "checkbox" },
      ...(share || client ? [] : [{ name: "stop", label: "Stop the server when nothing is open any more", type: "checkbox" }]),
    ],
    danger: "Begin drain",
    act: (_, values) => request("POST", "/v1/drains", { body: {
      share, client, strict: values.strict, then_stop: Boolean(values.stop),
      seconds: values.minutes ? Number(values.minutes) * 60 : undefined,
    } }),
    done: (drain) => {
      done?.();
      return `The drain of ${what} has begun. ${still_open(drain) || "No file is open"}.`;
    },
  });
}

/** Asks before a drain is ended. */
export function end_drain(drain, done) {
  const what = scope(drain).replace(/^./, (letter) => letter.toLowerCase());
  confirm({
    title: `End the drain of ${what}?`,
    text: `New files can be opened again.${drain.then_stop ? " The server does not stop." : ""}`,
    danger: "End drain",
    act: () => request("POST", "/v1/drains/end", { body: { share: drain.share ?? undefined, client: drain.client ?? undefined } }),
    done: () => {
      done?.();
      return `The drain of ${what} has ended.`;
    },
  });
}

/** The button that begins a drain, or ends the one of this share or client; nothing if the user may not. */
export function drain_button(user, about, drain, done) {
  if (!may_drain(user, about)) return "";
  const is_same = drain && (about.share ? drain.scope === "share" : drain.scope === "client");
  return h("button", { type: "button", "data-act": "drain", onclick: () => (is_same ? end_drain(drain, done) : begin_drain(about, done)) },
    is_same ? "End drain…" : about.share ? "Drain share…" : "Drain client…");
}

/** Asks for the deadline and the text, and announces the close of an open. */
export function announce_close(file, done) {
  confirm({
    title: "Close the file later?",
    text: `${file.path}, which ${file.user || "somebody"} has opened${file.computer ? ` at ${file.computer}` : ""}, is closed at the deadline, ` +
      "unless its client closes it before. The text is shown in lists, and passed on by the notices of the server.",
    fields: [
      { name: "minutes", label: "Minutes until it is closed", ...minutes, value: 10, required: true },
      { name: "text", label: "Text for the user", type: "text", maxlength: 1000, autocomplete: "off" },
    ],
    danger: "Announce the close",
    act: (_, values) => request("PUT", `/v1/files/${file.id}/closing`, { body: {
      seconds: Number(values.minutes) * 60, text: values.text, expect_user: file.user || undefined, expect_path: file.path,
    } }),
    done: (after) => {
      done?.(after);
      return `${file.path} will be closed at ${time(after.closing?.at)}.`;
    },
  });
}

/** Asks before an announced close is cancelled. */
export function cancel_close(file, done) {
  confirm({
    title: "Cancel the announced close?",
    text: `${file.path} stays open.`,
    danger: "Cancel the close",
    act: () => request("DELETE", `/v1/files/${file.id}/closing`),
    done: (after) => {
      done?.(after);
      return `${file.path} will not be closed.`;
    },
  });
}
