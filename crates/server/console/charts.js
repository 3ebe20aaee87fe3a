// Small charts of the last minutes, as SVG.

import { h, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 96;

/** A chart of some series over time. `shown` writes a value. */
export class Chart {
  #series;
  #shown;
  #length;

  constructor({ title, series, shown, length = 150 }) {
    [this.#series, this.#shown, this.#length] = [series.map((name) => ({ name, values: [] })), shown, length];
    this.title = title;
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.values = series.map((_, number) => h("span", { class: `series series${number}` }));
    this.scale = h("span", { class: "scale" });
    this.element = h("figure", { class: "chart" },
      h("figcaption", {}, h("span", { class: "title" }, title), ...this.values),
      h("div", { class: "plot" }, this.picture, this.scale));
  }

  /** Adds a value of each series. */
  add(values) {
    values.forEach((value, number) => {
      const list = this.#series[number].values;
      list.push(Math.max(0, value));
      if (list.length > this.#length) list.shift();
    });
    this.#draw();
  }

  #draw() {
    const most = Math.max(1, ...this.#series.flatMap((series) => series.values));
    const step = WIDTH / (this.#length - 1);
    const shapes = this.#series.flatMap(({ values }, number) => {
      const begin = WIDTH - (values.length - 1) * step;
      const points = values.map((value, at) => {
        const y = HEIGHT - 2 - (value / most) * (HEIGHT - 8);
        return `${(begin + at * step).toFixed(1)},${y.toFixed(1)}`;
      });
      const area = `${begin.toFixed(1)},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`;
      return [
        svg("polygon", { points: area, class: `area area${number}` }),
        svg("polyline", { points: points.join(" "), class: `line line${number}` }),
      ];
    });
    this.picture.replaceChildren(...shapes);
    this.scale.textContent = this.#shown(most);
    const now = this.#series.map(({ name, values }) => `${name} ${this.#shown(values.at(-1) ?? 0)}`);
    this.values.forEach((element, number) => (element.textContent = now[number]));
    this.picture.setAttribute("aria-label", `${this.title}: ${now.join(", ")}; at most ${this.#shown(most)}`);
  }
}
