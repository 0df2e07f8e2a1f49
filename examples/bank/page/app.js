// The page. It keeps the accounts and the payments that /events sends, and draws them.

import { byId, element, flash, grouped, headers, keyFor, login, post, request, say, sum } from "./bank.js";
import * as payments from "./payments.js";

const accounts = new Map(); // id -> the newest document
const pageSize = 50;
let shown = pageSize; // how many accounts are drawn
let older = ""; // the path of the next page of the statement
let drawn = 0; // counts requests for statements, so that a late answer is dropped

// ---- the list ----

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
  const flight = account.reserved ? `, ${grouped(account.reserved)} in flight to other banks` : "";
  byId("terms").textContent = `open since ${account.since}, overdraft limit ${grouped(account.overdraft)}${flight}`;
}

const words = {
  opened: "Account opened", deposited: "Deposit", withdrawn: "Withdrawal", "transferred-in": "Transfer from",
  "transferred-out": "Transfer to", rounded: "Rounding", corrected: "Correction",
  reserved: "Reserved for", confirmed: "Paid to", released: "Given back from",
};
const leaving = ["withdrawn", "transferred-out", "reserved"]; // kinds that make the balance smaller
const still = ["opened", "confirmed"]; // kinds that do not change it

function entryItem(entry) {
  const item = element("li");
  const what = [words[entry.kind] ?? entry.kind, entry.other].filter(Boolean).join(" ");
  const amount = sum(leaving.includes(entry.kind) ? `-${entry.amount}` : entry.amount);
  item.append(
    element("span", "what", entry.text ? `${what}: ${entry.text}` : what),
    still.includes(entry.kind) ? element("span") : amount,
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

byId("open").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { id, owner, overdraft } = Object.fromEntries(new FormData(form));
  if (!(await post(form, "/accounts", { id, owner, overdraft: overdraft || "0" }))) return;
  form.reset();
  byId("opening").open = false;
  location.hash = id;
});

byId("book").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { kind, amount, text, to, bank, payee } = Object.fromEntries(new FormData(form));
  const account = picked();
  if (kind === "payments") return order(form, { from: account, bank, to: payee, amount, text });
  const done = kind === "transfers"
    ? await post(form, "/transfers", { from: account, to, amount, text })
    : await post(form, `/accounts/${account}/${kind}`, { amount, text });
  if (!done) return;
  form.elements.amount.value = form.elements.text.value = "";
  say(form, `Booked ${grouped((done.from ?? done).amount)}.`);
});

// order orders a payment. A repeat has the same id, as a repeated booking has the same key.
async function order(form, payment) {
  const id = `p-${keyFor(form, JSON.stringify(payment)).slice(0, 12)}`;
  const done = await post(form, "/payments", { id, ...payment }, JSON.stringify(payment));
  if (!done) return;
  form.elements.amount.value = form.elements.text.value = "";
  say(form, `Ordered ${grouped(done.amount)}. Follow it below.`);
  payments.show(done);
}

byId("book").addEventListener("change", (event) => {
  if (event.target.name !== "kind") return;
  for (const [kind, fields] of [["transfers", ["to"]], ["payments", ["bank", "payee"]]]) {
    const chosen = event.target.value === kind;
    byId(`${kind}-fields`).hidden = !chosen;
    for (const field of fields) byId("book").elements[field].required = chosen;
  }
});

// ---- the stream of changes ----

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

// parse returns the complete events in a text, and the rest.
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
  payments.begin();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended");
    const parsed = parse(rest + value);
    rest = parsed.rest;
    for (const { event, data } of parsed.events) {
      if (event === "account") take(JSON.parse(data), live);
      if (event === "payment") payments.take(JSON.parse(data));
      if (event !== "synced") continue;
      live = true;
      payments.synced();
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
