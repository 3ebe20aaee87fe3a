// The page of recent refusals.

import { h, time, timeElement } from "./dom.js";
import { history_of } from "./history.js";
import { ListPage } from "./list.js";
import { dialog, facts } from "./parts.js";

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
      h("p", { class: "buttons" }, h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        refusal.share && refusal.path ? h("a", { class: "button", href: history_of({ path: refusal.path, share: refusal.share }) }, "History of this file") : ""));
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
