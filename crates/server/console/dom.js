// Elements and texts. Text from clients only ever becomes a text node.

/** An element with these properties and children. A property that begins with "on" is a listener. */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** An element of SVG with these attributes. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Shows a short message, which a screen reader reads, for some seconds. */
export function announce(text, kind = "good") {
  const message = h("p", { class: `message ${kind}` }, text);
  const messages = document.getElementById("messages");
  messages.append(message);
  while (messages.childElementCount > 4) messages.firstElementChild.remove();
  setTimeout(() => message.remove(), kind === "bad" ? 12000 : 6000);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A number of bytes in the largest unit that fits. */
export function bytes(count) {
  if (count === undefined || count === null) return "";
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** A number with separators of thousands. */
export function count(value) {
  return value === undefined || value === null ? "" : value.toLocaleString("en-US");
}

/** A duration in seconds in its two largest units. */
export function duration(seconds) {
  if (seconds === undefined || seconds === null) return "";
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  const [size, unit] = parts[first];
  const rest = parts[first + 1];
  const more = rest && first < 2 ? Math.floor((seconds % size) / rest[0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${more ? ` ${more} ${rest[1]}` : ""}`;
}

/** A time as hours, minutes and seconds, with the day if it is not today. */
export function time(text) {
  if (!text) return "";
  const at = new Date(text);
  const clock = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? clock : `${at.toLocaleDateString("en-CA")} ${clock}`;
}

/** A time as an element that machines can read. */
export function timeElement(text) {
  return text ? h("time", { datetime: text, title: new Date(text).toString() }, time(text)) : "";
}
