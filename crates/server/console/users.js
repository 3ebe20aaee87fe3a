// The page of accounts.

import { request } from "./api.js";
import { announce, count, h, time, timeElement } from "./dom.js";
import { history_of } from "./history.js";
import { ListPage } from "./list.js";
import { dialog, facts } from "./parts.js";

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
        h("a", { class: "button", href: history_of({ user: account.name }) }, "History of this user"),
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
