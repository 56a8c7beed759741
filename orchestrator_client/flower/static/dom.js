// Elements, and how things are written. Text only ever becomes text: nothing that a page is given is read as HTML.

export function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  set(element, attributes);
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

// Only touches the page where the text is another one.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
  return element;
}

export function state(word) {
  return h("span.orc-state", { "data-state": word }, word);
}

export function payload() {
  return JSON.parse(document.getElementById("payload").textContent);
}

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const root = meta("root").replace(/\/$/, "");

export function address(...parts) {
  return [root, ...parts.map(encodeURIComponent)].join("/");
}

export function seconds(value) {
  if (value === null || value === undefined) return "";
  const whole = Math.max(0, value);
  if (whole < 60) return `${whole < 10 ? whole.toFixed(2) : whole.toFixed(1)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(whole % 60)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export function money(usd) {
  if (!usd) return "$0";
  if (usd < 0.00001) return "< $0.00001";
  return usd < 0.01 ? `$${usd.toFixed(5)}` : usd < 10 ? `$${usd.toFixed(4)}` : `$${usd.toFixed(2)}`;
}

export function count(value) {
  return Math.round(value).toLocaleString("en");
}

export function plural(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

const clock = new Intl.DateTimeFormat("sv", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("sv", { year: "numeric", month: "2-digit", day: "2-digit" });

// Today's times are short; others have their day before them.
export function time(ms) {
  if (!ms) return "";
  const at = new Date(ms);
  const date = day.format(at);
  return date === day.format(new Date()) ? clock.format(at) : `${date} ${clock.format(at)}`;
}

export function moment(ms) {
  return ms ? h("time", { datetime: new Date(ms).toISOString(), title: new Date(ms).toISOString() }, time(ms)) : "";
}

// A sentence in the corner; what went wrong stays longer.
export function say(text, bad = false) {
  const line = h(bad ? "p.is-bad" : "p", {}, text);
  document.getElementById("said").append(line);
  setTimeout(() => line.remove(), bad ? 12000 : 5000);
}

// Asks the server to do something; its refusal is said, and thrown.
export async function send(url, body = {}) {
  const reply = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Xsrftoken": meta("xsrf-token"), Accept: "application/json" },
    body: JSON.stringify(body),
  });
  return told(reply);
}

export async function ask(url) {
  return told(await fetch(url, { headers: { Accept: "application/json" } }));
}

async function told(reply) {
  const text = await reply.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = { error: text || reply.statusText };
  }
  if (!reply.ok) {
    say(answer.error || reply.statusText, true);
    throw new Error(answer.error);
  }
  return answer;
}
