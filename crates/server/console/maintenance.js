// What comes to an end: drains and announced closes, with the time that is left.

import { now } from "./api.js";
import { count, duration, h, time, timeElement } from "./dom.js";

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
  const outcomes = [[drain.clean, "with nothing unwritten"], [drain.flushed, "after their clients had written"], [drain.forced, "although their clients had not written"]];
  return [
    ["Drain", `${scope(drain)} ${phase(drain)[0].split(",")[0]}${drain.strict ? ", also for those who have files open" : ""}${drain.then_stop ? ", then the server stops" : ""}`],
    ["Drained by", drain.by], ["Since", timeElement(drain.begun_at)],
    ["Files are closed", drain.phase === "waiting" ? moment(drain.deadline) ?? "when their users close them" : undefined],
    ["Still open", drain.files ? `${count(drain.files)}${drain.users?.length ? `, of ${drain.users.join(", ")}` : ""}` : undefined],
    ["Drained at", timeElement(drain.done_at)],
    ["Closed", outcomes.filter(([number]) => number).map(([number, how]) => `${count(number)} ${how}`).join(", ")],
  ];
}

/** A drain in a line. */
export const drain_line = (drain) => h("li", { class: "drain" },
  h("strong", {}, scope(drain)), " ", drain_shown(drain),
  drain.files ? `; ${count(drain.files)} open ${drain.files === 1 ? "file" : "files"}${drain.users?.length ? ` of ${drain.users.join(", ")}` : ""}` : "",
  drain.by ? `; by ${drain.by}` : "", ".");
