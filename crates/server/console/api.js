// Requests to the control API.

let token = "";
let ahead_ms = 0;

/** The time of the server in milliseconds, by the clock of this machine and the difference that the last answer had. */
export const now = () => Date.now() + ahead_ms;

/** Sets the token that requests repeat, which proves that they come from this page. */
export function setToken(value) {
  token = value;
}

/** A refusal by the server. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `The server answered with the status ${status}.`);
    [this.status, this.code, this.hint] = [status, error?.code, error?.hint];
  }
  get text() {
    return this.hint ? `${this.message} (${this.hint})` : this.message;
  }
}

/** Makes a request. With `automatic`, it is not counted as an act of the user, so that an idle session expires. */
export async function request(method, path, { body, automatic } = {}) {
  const headers = { "X-Shareward-Token": token };
  if (automatic) headers["X-Shareward-Automatic"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, { message: "The server does not answer." });
  }
  const date = Date.parse(answer.headers.get("Date") ?? "");
  // The field has whole seconds: less than that says nothing.
  if (!Number.isNaN(date)) ahead_ms = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  const text = await answer.text();
  let content;
  try {
    content = text ? JSON.parse(text) : undefined;
  } catch {
    content = undefined;
  }
  if (answer.ok) return content;
  if (answer.status === 401 && !path.startsWith("/logon")) document.dispatchEvent(new CustomEvent("loggedoff"));
  throw new Refused(answer.status, content);
}

/** The path with the parameters that are set. */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** All entries of a list, page by page, up to a limit; `more` is true if there are others. */
export async function list(path, parameters = {}, { automatic, limit = 50000, progress } = {}) {
  const items = [];
  let after;
  do {
    const page = await request("GET", address(path, { ...parameters, after, limit: 2000 }), { automatic });
    items.push(...page.items);
    after = page.next;
    progress?.(items, after);
  } while (after !== null && after !== undefined && items.length < limit);
  return { items, more: after !== null && after !== undefined };
}
