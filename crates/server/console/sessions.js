// The page of sessions.

import { request } from "./api.js";
import { count, duration, h, time, timeElement } from "./dom.js";
import { history_of } from "./history.js";
import { ListPage } from "./list.js";
import { drain_button, drain_facts, drain_shown, drain_words } from "./maintenance.js";
import { confirm, dialog, facts } from "./parts.js";

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
    const drain = drain_button(user, { client: session.computer }, session.drain, () => page.load(true));
    drain && drain.addEventListener("click", () => element.close());
    const element = dialog("Session",
      facts([
        ["User", session.user || (session.anonymous ? "anonymous" : "")], ["Domain", session.domain],
        ["Guest", session.guest ? "yes" : undefined], ["Client", session.computer], ["Client's name", session.computer_name],
        ["Program", session.client_type], ["Dialect", session.dialect],
        ["Protection", [session.signed ? `signed ${session.signing ?? ""}` : "", session.encrypted ? `encrypted ${session.cipher ?? ""}` : ""].filter(Boolean).join(", ") || "none"],
        ["Shares", session.shares?.map((share) => share.name).join(", ")], ["Open files", count(session.opens)],
        ["Since", timeElement(session.connected_at)], ["Idle", duration(session.idle_seconds)], ["Number", session.id],
        ...drain_facts(session.drain),
      ]),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        session.user && user.sees_others ? h("a", { class: "button", href: history_of({ user: session.user, client: session.computer }) }, "History of this user") : "",
        drain,
        user.ends_sessions || !user.sees_others
          ? h("button", { type: "button", class: "danger", onclick: () => (element.close(), end(session, page)) }, "End session…")
          : ""));
  };
  return new ListPage({
    title: "Sessions",
    path: "/v1/sessions",
    mine: !user.sees_others,
    empty: "Nobody is connected.",
    kinds: ["session_up", "session_down", "tree_up", "tree_down", "opened", "closed", "drain_begun", "drain_done", "drain_ended"],
    one: { id: (event) => event.session_id, ends: ["session_down"] },
    open,
    columns: [
      { label: "User", text: (session) => session.user || (session.anonymous ? "(anonymous)" : "") },
      { label: "Client", text: (session) => session.computer },
      { label: "Open files", text: (session) => session.opens, number: true, cell: (session) => count(session.opens) },
      { label: "Idle", text: (session) => session.idle_seconds, number: true, cell: (session) => duration(session.idle_seconds) },
      { label: "State", text: (session) => drain_words(session.drain), cell: (session) => drain_shown(session.drain), class: "state" },
      { label: "Since", text: (session) => session.connected_at, cell: (session) => time(session.connected_at), wide: true },
      { label: "Shares", text: (session) => session.shares?.map((share) => share.name).join(", "), wide: true },
      { label: "Dialect", text: (session) => session.dialect, wide: true },
      { label: "Protection", text: (session) => (session.encrypted ? "encrypted" : session.signed ? "signed" : "none"), wide: true },
    ],
  });
}
