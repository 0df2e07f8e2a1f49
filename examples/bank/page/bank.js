// Functions that all parts of the page share: elements, requests to the bank, and amounts. Everything from the bank becomes
// text, never markup.

export const byId = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token") ?? "";
let position = 0; // of the newest write of this page in the bank's log

export function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

export function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

// request asks the bank. Reads name the newest write of this page, so that they show it.

export async function request(path, options = {}) {
  const own = options.method || !position ? {} : { Position: position };
  const answer = await fetch(path, { ...options, headers: headers({ ...options.headers, ...own }) });
  position = Math.max(position, Number(answer.headers.get("Position")));
  if (answer.status === 401) login();
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(document.detail ?? answer.statusText), { status: answer.status });
  return document;
}

export function login() {
  byId("login").hidden = false;
  byId("main").hidden = true;
  byId("token").focus();
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value;
  sessionStorage.setItem("token", token);
  location.reload();
});

export function sum(amount, tag = "span") {
  return element(tag, amount.startsWith("-") ? "sum minus" : "sum", grouped(amount));
}

// grouped sets blanks between thousands: "-1234567.80" becomes "-1 234 567.80". Amounts stay strings.
export function grouped(amount) {
  const [whole, rest] = amount.split(".");
  return `${whole.replace(/\B(?=(\d{3})+$)/g, "\u202f")}.${rest}`.replace("-", "\u2212");
}

export function say(form, text, failed = false) {
  const result = form.querySelector(".result");
  result.textContent = text;
  result.classList.toggle("failed", failed);
}

// A key for each booking. The same body gets the same key, so pressing again after a failure cannot book it twice.
const keys = new WeakMap(); // form -> { body, key }

export function keyFor(form, body) {
  if (keys.get(form)?.body !== body) keys.set(form, { body, key: newKey() });
  return keys.get(form).key;
}

// crypto.randomUUID is missing if the page came over plain HTTP from another machine.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

export async function post(form, path, document, same = path + JSON.stringify(document)) {
  const body = JSON.stringify(document);
  const button = form.querySelector("button");
  button.disabled = true;
  say(form, "");
  try {
    const answer = await request(path, {
      method: "POST", body,
      headers: { "Content-Type": "application/json", "Idempotency-Key": keyFor(form, same) },
    });
    keys.delete(form);
    return answer;
  } catch (error) {
    say(form, error.status ? error.message : "The bank does not answer. Press again: it will not be booked twice.", true);
    return null;
  } finally {
    button.disabled = false;
  }
}

export function flash(e) {
  e.classList.remove("moved");
  void e.offsetWidth; // starts the animation again
  e.classList.add("moved");
  return e;
}
