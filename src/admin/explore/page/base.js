// Small parts that all of the page uses. Whatever comes from the server becomes text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** What each permission means to the caller; `path` is its sign, so that colour is never alone. */
const PERMISSIONS = {
  Deny: { css: "deny", path: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM4 7h8v2H4z", says: "Neither computed with nor returned." },
  AllowInternal: { css: "internal", path: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 2v9a4.5 4.5 0 0 1 0-9z", says: "Computed with, never returned." },
  Allow: { css: "allow", path: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM7 11.3 3.9 8.2l1.3-1.3L7 8.7l3.9-3.9 1.3 1.3z", says: "Computed with and returned." },
  AllowDownstream: { css: "cleared", path: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM7 4h2v4.5h2.6L8 12.3 4.4 8.5H7z", says: "Returned, and clears what is computed from it alone." },
};

/** The rules of resolution, in words. */
const RULES = {
  1: "the query supplies it",
  2: "a data source below it is out of reach",
  3: "its clearing tag is a boundary",
  4: "something that it reads is denied",
  5: "computed from cleared features alone",
  6: "untagged, and an input is internal",
  7: "its own tags, or the role's default",
};

/** What the page knows. The token is here and nowhere else. */
const state = { token: null, caller: null, summary: null, version: 0 };

function byId(id) {
  return document.getElementById(id);
}

/** An element. `attributes`: `class`, `on` for listeners, else attributes; nothing for null, undefined and false. */
function make(namespace, name, attributes, children) {
  const element = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

const el = (name, attributes, ...children) => make(null, name, attributes, children);
const svg = (name, attributes, ...children) => make(SVG, name, attributes, children);

function show(element, shown) {
  element.hidden = !shown;
}

function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

function plural(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many ?? one + "s"}`;
}

function sign(permission, extra) {
  const known = PERMISSIONS[permission];
  return svg("svg", { class: "sign", viewBox: "0 0 16 16", "aria-hidden": "true", ...extra },
    svg("path", { d: known ? known.path : "", "fill-rule": "evenodd" }));
}

function badge(permission, extra) {
  const known = PERMISSIONS[permission];
  return el("span", { class: `badge ${known ? known.css : ""} ${extra ?? ""}` }, sign(permission), permission);
}

/** A name with what was searched for marked, as text nodes. */
function marked(name, search) {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word && !word.startsWith("tag:"));
  const lower = name.toLowerCase();
  const hit = new Array(name.length).fill(false);
  if (lower.length === name.length) {
    for (const word of words) {
      for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, at + 1)) hit.fill(true, at, at + word.length);
    }
  }
  const parts = [];
  for (let at = 0; at < name.length; ) {
    let end = at + 1;
    while (end < name.length && hit[end] === hit[at]) end += 1;
    const text = name.slice(at, end);
    parts.push(hit[at] ? el("mark", null, text) : text);
    at = end;
  }
  return parts;
}

class Problem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Asks the server; `question` left out: a GET. An answer of another generation is told to everybody. */
async function ask(name, question, signal) {
  const headers = {};
  if (state.token !== null) headers.Authorization = `Bearer ${state.token}`;
  const options = { headers, signal, cache: "no-store", credentials: "omit", redirect: "error" };
  if (question !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(question);
    headers["Content-Type"] = "application/json";
  }
  let response;
  for (let tries = 0; ; tries += 1) {
    try {
      response = await fetch(`/explore/api/${name}`, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("UNREACHABLE", "The sidecar does not answer.");
    }
    if (response.status !== 503 || tries === 4) break;
    await new Promise((done) => setTimeout(done, 300 * (tries + 1)));
    signal?.throwIfAborted();
  }
  if (response.status === 401) {
    closeGate(state.token !== null);
    throw new Problem("UNAUTHORIZED", "The token is needed.");
  }
  let answer;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("UNREADABLE", "The answer cannot be read.");
  }
  if (!response.ok) throw new Problem(answer?.error?.code ?? "FAILED", answer?.error?.message ?? `The answer is ${response.status}.`);
  if (name !== "summary" && state.summary !== null && answer.generation !== state.summary.generation) changed();
  return answer;
}

function tell(error) {
  if (error?.name === "AbortError" || error?.code === "UNAUTHORIZED") return;
  const problem = byId("problem");
  fill(problem, error instanceof Problem ? error.message : `The page failed: ${error?.message ?? error}`);
  show(problem, true);
}

function fine() {
  show(byId("problem"), false);
}

/** Runs the newest of several calls; older ones are given up. */
function newest(work) {
  let controller = null;
  return async (...given) => {
    controller?.abort();
    const mine = new AbortController();
    controller = mine;
    try {
      await work(mine.signal, ...given);
    } catch (error) {
      if (controller === mine) tell(error);
    }
  };
}

function later(wait, work) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}
