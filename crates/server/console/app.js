// The frame of the console: logging on, the pages, and the state of the connection.

import { request, setToken } from "./api.js";
import { Cluster } from "./cluster.js";
import { announce, h } from "./dom.js";
import { live } from "./live.js";
import { Overview } from "./overview.js";
import { files } from "./files.js";
import { History } from "./history.js";
import { refusals } from "./refusals.js";
import { sessions } from "./sessions.js";
import { Settings } from "./settings.js";
import { shares } from "./shares.js";
import { Statistics } from "./statistics.js";
import { users } from "./users.js";

const app = document.getElementById("app");
let page;
let page_name;
let user;
let overview;

/** The pages: address, name, maker, and whether the user has a use for it. */
const PAGES = [
  ["overview", "Overview", (user) => (overview ??= new Overview(user)), () => true],
  ["files", "Open files", files, () => true],
  ["sessions", "Sessions", sessions, () => true],
  ["shares", "Shares", shares, () => true],
  ["cluster", "Cluster", (user) => new Cluster(user), (user) => user.sees_cluster],
  ["users", "Users", users, (user) => user.sees_everything],
  ["history", "History", (user) => new History(user), () => true],
  ["refusals", "Refusals", refusals, (user) => user.sees_others],
  ["statistics", "Statistics", () => new Statistics(), (user) => user.sees_everything],
  ["settings", "Settings", (user) => new Settings(user), (user) => user.sees_everything],
];

const STATES = {
  live: "live",
  polling: "refreshed every few seconds",
  connecting: "connecting…",
  lost: "connection lost; trying again",
};

function useful() {
  return PAGES.filter(([, , , is_useful]) => is_useful(user));
}

function show_page() {
  const [wanted, parameters] = location.hash.replace("#/", "").split("?");
  const search = new URLSearchParams(parameters);
  const found = useful().find(([name]) => name === wanted) ?? useful()[0];
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  // Another search on the same page leaves the focus where it is.
  if (page?.show && page_name === found[0]) return page.show(search);
  page?.end();
  page_name = found[0];
  page = found[2](user);
  document.querySelectorAll("nav a").forEach((link) => {
    if (link.getAttribute("href") === `#/${found[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  document.title = `${found[1]} – ${user.server} – Shareward`;
  const main = document.querySelector("main");
  main.replaceChildren(page.element);
  page.begin();
  page.show?.(search);
  main.focus({ preventScroll: true });
}

function show_frame() {
  const state = h("span", { class: "live", role: "status" }, "");
  live.addEventListener("state", (event) => {
    state.dataset.state = event.detail;
    state.textContent = STATES[event.detail];
  });
  const off = async () => {
    await request("DELETE", "/session").catch(() => {});
    show_logon();
  };
  app.replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: (event) => (event.preventDefault(), document.querySelector("main").focus()) }, "Skip to the content"),
    h("header", { class: "top" },
      h("span", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "", width: "22", height: "22" }), h("strong", {}, user.server), h("span", { class: "product" }, "Shareward")),
      state,
      h("span", { class: "user" }, user.user),
      h("button", { type: "button", class: "quiet", onclick: theme, "aria-label": "Switch between dark and light" }, "◐"),
      h("button", { type: "button", class: "quiet", onclick: off }, "Log off")),
    h("div", { class: "frame" },
      h("nav", { "aria-label": "Pages" }, h("ul", {}, useful().map(([name, title]) => h("li", {}, h("a", { href: `#/${name}` }, title))))),
      h("main", { id: "main", tabindex: "-1" })));
  live.begin(user.sees_others);
  show_page();
}

function show_logon(message) {
  page?.end();
  overview?.stop();
  [page, page_name, overview, user] = [undefined, undefined, undefined, undefined];
  live.end();
  setToken("");
  document.querySelectorAll("dialog").forEach((dialog) => dialog.remove());
  document.title = "Log on – Shareward";
  const failed = h("p", { class: "failed", role: "alert" }, message ?? "");
  const name = h("input", { id: "user", name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const button = h("button", { type: "submit", class: "main" }, "Log on");
  const submit = async (event) => {
    event.preventDefault();
    failed.textContent = "";
    button.disabled = true;
    button.textContent = "Checking…";
    try {
      begin(await request("POST", "/logon", { body: { user: name.value, password: password.value } }));
    } catch (error) {
      failed.textContent = error.text ?? String(error);
      button.disabled = false;
      button.textContent = "Log on";
      password.value = "";
      password.focus();
    }
  };
  const ticket = h("button", { type: "button", id: "ticket", hidden: true, async onclick() {
    failed.textContent = "";
    ticket.disabled = true;
    try {
      begin(await request("POST", "/logon/ticket"));
    } catch (error) {
      failed.textContent = error.text ?? String(error);
      ticket.disabled = false;
    }
  } }, "Use my domain logon");
  // A browser that may not send tickets to this server would ask for a password, so it is not tried without a click.
  request("GET", "/logon").then((ways) => (ticket.hidden = !ways.ticket)).catch(() => {});
  app.replaceChildren(h("main", { class: "logon" },
    h("form", { onsubmit: submit, "aria-labelledby": "logon-title" },
      h("img", { src: "/assets/icon.svg", alt: "", width: "40", height: "40" }),
      h("h1", { id: "logon-title" }, "Log on to Shareward"),
      failed,
      h("label", { for: "user" }, "User"), name,
      h("label", { for: "password" }, "Password"), password,
      button, ticket)));
  name.focus();
}

function begin(current) {
  user = current;
  setToken(current.token);
  show_frame();
}

/** The theme is that of the system until the user chooses another. */
function theme() {
  const root = document.documentElement;
  const is_dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = is_dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // The browser keeps nothing; the choice holds until the page is closed.
  }
}

try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // The browser keeps nothing.
}

addEventListener("hashchange", () => user && show_page());
document.addEventListener("loggedoff", () => user && show_logon("The session has ended. Log on again."));
document.addEventListener("keydown", (event) => {
  const is_typing = event.target.matches?.("input, textarea, select");
  if (event.key === "/" && !is_typing && !document.querySelector("dialog[open]")) {
    const filter = document.getElementById("filter");
    if (filter) {
      filter.focus();
      event.preventDefault();
    }
  }
});
addEventListener("unhandledrejection", (event) => announce(String(event.reason?.message ?? event.reason), "bad"));

try {
  begin(await request("GET", "/session"));
} catch {
  show_logon();
}
