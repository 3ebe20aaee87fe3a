// The page of shares.

import { count, h } from "./dom.js";
import { history_of } from "./history.js";
import { ListPage } from "./list.js";
import { drain_button, drain_facts, drain_shown, drain_words } from "./maintenance.js";
import { dialog, facts } from "./parts.js";

/** The page of shares. */
export function shares(user) {
  const grants = (share) => share.grants?.map((grant) => `${grant.group ? `@${grant.group}` : grant.user}: ${grant.denied ? "no " : ""}${grant.right}`).join(", ");
  const plain = (share) => (share.away ? "not available" : share.read_only ? "read only" : "");
  const open = (share, page) => {
    const drain = share.kind === "disk" ? drain_button(user, { share: share.name }, share.drain, () => page.load(true)) : "";
    drain && drain.addEventListener("click", () => element.close());
    const element = dialog(share.name,
      facts([
        ["Directory", share.path], ["Owner in the cluster", share.owner === "" ? "no node at present" : share.owner], ["Not available", share.away], ["Remark", share.comment], ["Kind", share.kind],
        ["In use by", count(share.uses)], ["At most", share.uses_max], ["Read only", share.read_only ? "yes" : undefined],
        ["Encryption", share.encrypt ? "required" : undefined], ["Offline caching", share.caching], ["Access", grants(share)],
        ...drain_facts(share.drain),
      ]),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => element.close(), autofocus: true }, "Back"),
        share.kind === "disk" ? h("a", { class: "button", href: history_of({ share: share.name }) }, "History of this share") : "", drain));
  };
  return new ListPage({
    title: "Shares",
    path: "/v1/shares",
    key: (share) => share.name,
    empty: "There are no shares.",
    kinds: ["tree_up", "tree_down", "share_added", "share_removed", "drain_begun", "drain_done", "drain_ended"],
    open,
    columns: [
      { label: "Name", text: (share) => share.name },
      {
        label: "State", class: "state",
        text: (share) => drain_words(share.drain) || plain(share),
        cell: (share) => drain_shown(share.drain) || plain(share),
      },
      { label: "Directory", text: (share) => share.path ?? "" },
      { label: "In use by", text: (share) => share.uses, number: true, cell: (share) => count(share.uses) },
      { label: "Remark", text: (share) => share.comment, wide: true },
      { label: "Access", text: grants, wide: true },
    ],
  });
}
