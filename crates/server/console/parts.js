// Parts that pages have in common: dialogs, questions, and lists of facts.

import { announce, h } from "./dom.js";

/** A dialog with these parts. It is removed when it is closed. */
export function dialog(title, ...parts) {
  const element = h("dialog", { "aria-labelledby": "dialog-title", onclose: () => element.remove() },
    h("h2", { id: "dialog-title" }, title), ...parts);
  document.body.append(element);
  element.showModal();
  return element;
}

/** Names and values, without those that are unknown. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h("dl", { class: "facts" }, known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** A part of a form: the label and the input. */
function field({ name, label, ...attributes }) {
  const input = h("input", { id: `field-${name}`, name, ...attributes });
  const text = h("label", { for: input.id }, label);
  return { name, input, element: attributes.type === "checkbox" ? h("p", { class: "option" }, input, text) : h("p", { class: "field" }, text, input) };
}

/**
 * Asks before something is done, does it, and shows the outcome. `option` is the label of a box, whose state `act` is given;
 * `fields` are further inputs with `name`, `label` and attributes, whose values it is given by their names.
 */
export function confirm({ title, text, danger, option, fields = [], act, done }) {
  const box = option && h("input", { type: "checkbox", id: "option" });
  const inputs = fields.map(field);
  const values = () => Object.fromEntries(inputs.map(({ name, input }) => [name, input.type === "checkbox" ? input.checked : input.value.trim()]));
  const failed = h("p", { class: "failed", role: "alert", hidden: true });
  const yes = h("button", { type: "submit", class: "danger" }, danger);
  const form = h("form", {
    async onsubmit(event) {
      event.preventDefault();
      yes.disabled = true;
      form.setAttribute("aria-busy", "true");
      try {
        const answer = await act(Boolean(box?.checked), values());
        element.close();
        announce(done(answer), answer?.outcome === "forced" ? "bad" : "good");
      } catch (error) {
        failed.hidden = false;
        failed.textContent = error.text ?? String(error);
        yes.disabled = false;
      }
      form.removeAttribute("aria-busy");
    },
  },
    h("p", {}, text),
    inputs.map(({ element }) => element),
    option && h("p", { class: "option" }, box, h("label", { for: "option" }, option)),
    failed,
    h("p", { class: "buttons" },
      h("button", { type: "button", onclick: () => element.close(), autofocus: !inputs.length }, "Cancel"), yes));
  inputs[0]?.input.setAttribute("autofocus", "");
  const element = dialog(title, form);
}
