// The page of open files.

import { address, request } from "./api.js";
import { bytes, count, duration, h, time, timeElement } from "./dom.js";
import { history_of } from "./history.js";
import { ListPage } from "./list.js";
import { announce_close, cancel_close, close_shown, close_words, moment } from "./maintenance.js";
import { confirm, dialog, facts } from "./parts.js";
import { may_close } from "./rights.js";

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

/** True if the open has lost its client's connection, and waits for the client to come back. */
const waits = (file) => Boolean(file.durable) && (file.session_id === undefined || file.session_id === null);

/** What there is to know about an open at once: what ends it, or that it waits. */
const state = (file) => [close_words(file), waits(file) ? WAITS : "", file.delete_pending ? DELETED : ""].filter(Boolean).join(", ");

function state_shown(file) {
  const parts = [close_shown(file), waits(file) ? WAITS : "", file.delete_pending ? DELETED : ""].filter(Boolean);
  return h("span", {}, parts.flatMap((part, number) => (number ? [", ", part] : [part])));
}

const WAITS = "waits for its client";
const DELETED = "is deleted when closed";

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
    const put = (after) => page.table.put([after]);
    const then = (act) => () => (element.close(), act());
    const acts = [
      file.closing
        ? h("button", { type: "button", "data-act": "later", onclick: then(() => cancel_close(file, put)) }, "Cancel the announced close…")
        : h("button", { type: "button", "data-act": "later", onclick: then(() => announce_close(file, put)) }, "Close later…"),
      h("button", { type: "button", class: "danger", onclick: then(() => close(file, page)) }, "Close file…"),
    ];
    const element = dialog("Open file",
      facts([
        ["Path", file.path], ["On the server", file.server_path], ["Share", file.share], ["User", file.user],
        ["Client", file.computer], ["Session", file.session_id], ["Access", file.access?.names?.join(" ")],
        ["Others may", file.share_access?.join(" ")], ["Caching", caching(file)], ["Locks", file.locks],
        ["Read", bytes(file.bytes_read)], ["Written", bytes(file.bytes_written)],
        ["Opened", timeElement(file.opened_at)], ["Idle", duration(file.idle_seconds)],
        ["Survives a lost connection", file.durable ? (waits(file) ? "yes; the connection is lost, and it waits for its client" : "yes") : undefined],
        ["Will be closed", moment(file.closing?.at)], ["Announced by", file.closing?.by], ["With the text", file.closing?.text],
        ["Will be deleted", file.delete_pending ? "yes, when it is closed" : undefined], ["Number", file.id],
      ]),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        file.share && !file.pipe ? h("a", { class: "button", href: history_of({ path: file.path, share: file.share }) }, "History of this file") : "",
        may_close(user, file) ? acts : ""));
  };
  return new ListPage({
    title: "Open files",
    path: "/v1/files",
    mine: !user.sees_others,
    empty: "No file is open.",
    kinds: ["opened", "closed", "reclaimed", "orphaned", "renamed", "close_announced", "close_cancelled"],
    one: { id: (event) => event.file_id, ends: ["closed"] },
    open,
    columns: [
      { label: "Path", text: (file) => file.path, class: "path" },
      { label: "User", text: (file) => file.user },
      { label: "Client", text: (file) => file.computer },
      { label: "State", text: state, cell: state_shown, class: "state" },
      { label: "Access", text: access, wide: true },
      { label: "Caching", text: caching, wide: true },
      { label: "Locks", text: (file) => file.locks, number: true, cell: (file) => count(file.locks || undefined), wide: true },
      { label: "Read", text: (file) => file.bytes_read, number: true, cell: (file) => bytes(file.bytes_read), wide: true },
      { label: "Written", text: (file) => file.bytes_written, number: true, cell: (file) => bytes(file.bytes_written), wide: true },
      { label: "Opened", text: (file) => file.opened_at, cell: (file) => time(file.opened_at), wide: true },
    ],
  });
}
