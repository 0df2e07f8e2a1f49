// The page. It keeps the balances that /events sends and draws them; whatever comes from the bank becomes text, never markup.

const byId = (id) => document.getElementById(id);
const accounts = new Map(); // id -> the newest document
const pageSize = 50;
let shown = pageSize; // how many accounts are drawn
let older = ""; // where the next page of the statement is
let drawn = 0; // counts the statements asked for, so that a late answer is dropped
let token = sessionStorage.getItem("token") ?? "";

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function request(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers) });
  if (answer.status === 401) login();
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(document.detail ?? answer.statusText), { status: answer.status });
  return document;
}

function login() {
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

// ---- the list ----

function sum(amount, tag = "span") {
  return element(tag, amount.startsWith("-") ? "sum minus" : "sum", grouped(amount));
}

// grouped sets blanks between thousands: "-1234567.80" becomes "-1 234 567.80". Amounts stay strings.
function grouped(amount) {
  const [whole, rest] = amount.split(".");
  return `${whole.replace(/\B(?=(\d{3})+$)/g, "\u202f")}.${rest}`.replace("-", "\u2212");
}

function matching() {
  const wanted = byId("filter").value.trim().toLowerCase();
  return [...accounts.values()]
    .filter((a) => !wanted || a.id.toLowerCase().includes(wanted) || a.owner.toLowerCase().includes(wanted))
    .sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
}

function accountLink(account) {
  const link = element("a");
  link.href = `#${account.id}`;
  link.dataset.id = account.id;
  if (account.id === picked()) link.setAttribute("aria-current", "true");
  const who = element("span", "who", account.owner);
  who.append(element("small", "", account.id));
  link.append(who, sum(account.balance));
  const item = element("li");
  item.append(link);
  return item;
}

function drawList() {
  const found = matching();
  const focused = document.activeElement?.dataset?.id;
  byId("accounts").replaceChildren(...found.slice(0, shown).map(accountLink));
  if (focused) rowOf(focused)?.focus();
  byId("count").textContent = found.length === accounts.size ? `${accounts.size}` : `${found.length} of ${accounts.size}`;
  byId("more").hidden = found.length <= shown;
  byId("empty").hidden = accounts.size > 0;
}

const rowOf = (id) => byId("accounts").querySelector(`[data-id="${CSS.escape(id)}"]`);

byId("filter").addEventListener("input", () => {
  shown = pageSize;
  drawList();
});
byId("more").addEventListener("click", () => {
  shown += pageSize;
  drawList();
});

// ---- one account ----

const picked = () => decodeURIComponent(location.hash.slice(1));

function drawAccount() {
  const account = accounts.get(picked());
  byId("account").hidden = !account;
  byId("main").classList.toggle("picked", Boolean(account));
  if (!account) return;
  byId("account-title").textContent = account.owner;
  byId("account-id").textContent = account.id;
  const balance = byId("balance");
  balance.textContent = grouped(account.balance);
  balance.classList.toggle("minus", account.balance.startsWith("-"));
  byId("terms").textContent = `open since ${account.since}, overdraft limit ${grouped(account.overdraft)}`;
}

const words = {
  opened: "Account opened", deposited: "Deposit", withdrawn: "Withdrawal", "transferred-in": "Transfer from",
  "transferred-out": "Transfer to", rounded: "Rounding", corrected: "Correction",
};

function entryItem(entry) {
  const item = element("li");
  const what = [words[entry.kind] ?? entry.kind, entry.other].filter(Boolean).join(" ");
  const minus = entry.kind === "withdrawn" || entry.kind === "transferred-out";
  item.append(
    element("span", "what", entry.text ? `${what}: ${entry.text}` : what),
    entry.kind === "opened" ? element("span") : sum(minus ? `-${entry.amount}` : entry.amount),
    element("small", "", entry.date),
    sum(entry.balance, "small"),
  );
  return item;
}

async function drawStatement(path, add = false) {
  const mine = ++drawn;
  try {
    const page = await request(path);
    if (mine !== drawn) return;
    const items = page.entries.map(entryItem);
    if (add) byId("entries").append(...items);
    else byId("entries").replaceChildren(...items);
    older = page.next ?? "";
    byId("older").hidden = !older;
  } catch (error) {
    if (mine === drawn) say(byId("book"), error.message, true);
  }
}

const refreshStatement = () => drawStatement(`/accounts/${picked()}/statement?limit=20`);
byId("older").addEventListener("click", () => drawStatement(older, true));

function pick() {
  drawAccount();
  for (const link of byId("accounts").querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  rowOf(picked())?.setAttribute("aria-current", "true");
  if (byId("account").hidden) return;
  byId("entries").replaceChildren();
  say(byId("book"), "");
  byId("account").focus({ preventScroll: true });
  scrollTo(0, 0);
  refreshStatement();
}
addEventListener("hashchange", pick);

// ---- booking ----

function say(form, text, failed = false) {
  const result = form.querySelector(".result");
  result.textContent = text;
  result.classList.toggle("failed", failed);
}

// One key for each thing that is asked for: pressing again after a failure cannot book it twice.
const keys = new WeakMap(); // form -> { body, key }

function keyFor(form, body) {
  if (keys.get(form)?.body !== body) keys.set(form, { body, key: newKey() });
  return keys.get(form).key;
}

// crypto.randomUUID is missing where the page came over plain HTTP from another machine.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

async function post(form, path, document) {
  const body = JSON.stringify(document);
  const button = form.querySelector("button");
  button.disabled = true;
  say(form, "");
  try {
    const answer = await request(path, {
      method: "POST", body,
      headers: { "Content-Type": "application/json", "Idempotency-Key": keyFor(form, path + body) },
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

byId("open").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { id, owner, overdraft } = Object.fromEntries(new FormData(form));
  if (!(await post(form, "/accounts", { id, owner, overdraft: overdraft || "0" }))) return;
  form.reset();
  location.hash = id;
});

byId("book").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { kind, amount, text, to } = Object.fromEntries(new FormData(form));
  const account = picked();
  const done = kind === "transfers"
    ? await post(form, "/transfers", { from: account, to, amount, text })
    : await post(form, `/accounts/${account}/${kind}`, { amount, text });
  if (!done) return;
  form.elements.amount.value = form.elements.text.value = "";
  say(form, `Booked ${grouped((done.from ?? done).amount)}.`);
});

byId("book").addEventListener("change", (event) => {
  if (event.target.name !== "kind") return;
  const transfer = event.target.value === "transfers";
  byId("to-field").hidden = !transfer;
  byId("book-to").required = transfer;
});

// ---- the stream of balances ----

function take(account, live) {
  const before = accounts.get(account.id);
  accounts.set(account.id, account);
  if (!live) return;
  const row = rowOf(account.id)?.querySelector(".sum");
  if (!row || !before) drawList();
  else row.replaceWith(flash(sum(account.balance)));
  if (account.id !== picked()) return;
  if (byId("account").hidden) return pick();
  drawAccount();
  if (before?.version !== account.version) {
    flash(byId("balance"));
    refreshStatement();
  }
}

function flash(e) {
  e.classList.remove("moved");
  void e.offsetWidth; // begins the animation anew
  e.classList.add("moved");
  return e;
}

// parse gives the events in text that are whole, and the rest.
function parse(text) {
  const blocks = text.split("\n\n");
  const rest = blocks.pop();
  const events = blocks.map((block) => Object.fromEntries(block.split("\n").map((line) => {
    const colon = line.indexOf(": ");
    return [line.slice(0, colon), line.slice(colon + 2)];
  })));
  return { events, rest };
}

// follow reads the stream with fetch, because an EventSource cannot send a token.
async function follow() {
  const answer = await fetch("/events", { headers: headers() });
  if (answer.status === 401) return login();
  if (!answer.ok) throw new Error(answer.statusText);
  let live = false;
  let rest = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended");
    const parsed = parse(rest + value);
    rest = parsed.rest;
    for (const { event, data } of parsed.events) {
      if (event === "account") take(JSON.parse(data), live);
      if (event !== "synced") continue;
      live = true;
      status("live");
      drawList();
      if (!byId("account").hidden) drawAccount(); // after an interruption
      else pick();
    }
  }
}

function status(text) {
  byId("link").textContent = text;
  byId("link").classList.toggle("live", text === "live");
}

async function followForever() {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    const begun = Date.now();
    try {
      await follow();
      return; // the token is asked for
    } catch {
      status("reconnecting");
    }
    if (Date.now() - begun > 10000) wait = 500;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

followForever();
