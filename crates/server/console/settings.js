// The page of settings and counters.

import { request } from "./api.js";
import { announce, bytes, count, h, timeElement } from "./dom.js";
import { facts } from "./parts.js";

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
