// The page of the cluster: its nodes, and its shares with their owners.

import { request } from "./api.js";
import { count, h } from "./dom.js";
import { confirm } from "./parts.js";

const INTERVAL_MS = 5000;
const SHARES_SHOWN = 500;

/** The page of the cluster. */
export class Cluster {
  #timer;
  #user;

  constructor(user) {
    this.#user = user;
    this.state = h("p", { role: "status" });
    this.nodes = h("tbody");
    this.shares = h("tbody");
    this.rest = h("p", { class: "nothing", hidden: true });
    this.refused = h("ul", { "aria-label": "Values in etcd that are not used", hidden: true });
    const table = (caption, titles, body) => h("table", { class: "plain" },
      h("caption", {}, caption), h("thead", {}, h("tr", {}, titles.map((title) => h("th", { scope: "col" }, title)))), body);
    this.element = h("section", { class: "cluster", "aria-labelledby": "heading" },
      h("header", {}, h("h1", { id: "heading" }, "Cluster")), this.state,
      table("Nodes", ["Name", "State", "Shares", "Addresses", ""], this.nodes),
      table("Shares of the cluster", ["Name", "Owner", "Directory", ""], this.shares), this.rest, this.refused);
  }

  begin() {
    this.load(false);
    this.#timer = setInterval(() => document.hidden || this.load(true), INTERVAL_MS);
  }

  end() {
    clearInterval(this.#timer);
  }

  async load(automatic) {
    try {
      this.#show(await request("GET", "/v1/cluster", { automatic }));
    } catch (error) {
      this.state.textContent = error.text ?? String(error);
    }
  }

  #show(cluster) {
    const others = (except) => cluster.nodes.filter((node) => node.joined && !node.draining && node.name !== except);
    this.state.textContent = cluster.trouble
      ? `${cluster.node} takes no part in the cluster ${cluster.name}: ${cluster.trouble}`
      : `The cluster ${cluster.name}, as ${cluster.node} knows it.`;
    this.nodes.replaceChildren(...cluster.nodes.map((node) => h("tr", {},
      h("th", { scope: "row" }, node.name),
      h("td", {}, node.joined ? (node.draining ? "gives its shares away" : "joined") : "away, drained"),
      h("td", { class: "number" }, count(node.shares)),
      h("td", {}, node.addresses.join(", ")),
      h("td", {}, this.#user.changes_settings ? this.#drain_button(node) : ""))));
    const shown = cluster.shares.slice(0, SHARES_SHOWN);
    this.shares.replaceChildren(...shown.map((share) => h("tr", {},
      h("th", { scope: "row" }, share.name),
      h("td", {}, share.owner ?? "no node", share.moves_to ? `, moves to ${share.moves_to}` : ""),
      h("td", {}, share.path),
      h("td", {}, this.#user.changes_settings ? this.#move_button(share, others(share.owner)) : ""))));
    this.rest.hidden = shown.length === cluster.shares.length;
    this.rest.textContent = `${count(cluster.shares.length - shown.length)} more shares are not shown.`;
    this.refused.hidden = !cluster.refused.length;
    this.refused.replaceChildren(...cluster.refused.map(({ key, reason }) => h("li", {}, `${key}: ${reason}`)));
  }

  #drain_button(node) {
    const drain = !node.draining;
    return h("button", {
      type: "button",
      onclick: () => confirm({
        title: drain ? `Drain ${node.name}` : `End the drain of ${node.name}`,
        text: drain ? "All its shares go to other nodes, and it gets none." : "It gets shares again.",
        danger: drain ? "Drain" : "End the drain",
        act: () => request("POST", "/v1/cluster/drains", { body: { node: node.name, drain } }),
        done: () => (this.load(false), drain ? `${node.name} is drained` : `${node.name} gets shares again`),
      }),
    }, drain ? "Drain…" : "End drain…");
  }

  #move_button(share, nodes) {
    if (!nodes.length) return "";
    return h("button", {
      type: "button",
      onclick: () => confirm({
        title: `Move ${share.name}`,
        text: `Its clients go on at the node that you name: ${nodes.map((node) => node.name).join(", ")}.`,
        danger: "Move",
        fields: [{ name: "node", label: "Node", value: nodes[0].name, required: true }],
        act: (_, { node }) => request("POST", "/v1/cluster/moves", { body: { share: share.name, node } }),
        done: () => (this.load(false), `${share.name} moves`),
      }),
    }, "Move…");
  }
}
