// The payments to other banks: sagas, each drawn as the path of its steps.

import { byId, element, grouped, request, sum } from "./bank.js";

const pageSize = 20;
let known = new Map(); // id -> the newest document; from, bank, to and amount come with the first request for it
let coming = null; // what the stream has sent since it started, until it is synced
let shown = pageSize;
let next = ""; // the path of the next page
let counts = {};
let asked = 0; // counts requests for lists, so that a late answer is dropped
let refreshing = 0; // the timer of the next list
const items = new Map(); // id -> what it was drawn from, and the item

const finals = ["completed", "compensated", "resolved"];
const groups = { "": () => true, done: (state) => finals.includes(state) };
const wanted = () => byId("payment-states").querySelector("input:checked").value;
const inGroup = (group, state) => (groups[group] ?? ((s) => s === group))(state);

// ---- what is known ----

// begin is called when the stream of changes starts again.
export function begin() {
  coming = new Map();
}

// take takes a change from the stream.
export function take(status) {
  const { from, bank, to, amount, text, reference } = known.get(status.id) ?? {};
  keep(coming ?? known, { from, bank, to, amount, text, reference, ...status });
  if (coming) return;
  draw();
  refreshing ||= setTimeout(refresh, 1000); // for the counts, and for data that the stream does not send
}

// synced is called when the stream has sent all payments that are open.
export function synced() {
  if (coming) known = coming;
  coming = null;
  refresh();
}

// show shows a payment that was just ordered.
export function show(payment) {
  keep(known, payment);
  byId("payment-states").querySelector("input").checked = true;
  draw();
  refresh();
}

function keep(where, payment) {
  if ((where.get(payment.id)?.version ?? 0) <= payment.version) where.set(payment.id, payment);
}

async function refresh() {
  clearTimeout(refreshing);
  refreshing = 0;
  await list(`/payments?state=${wanted()}&limit=${Math.min(shown, 200)}`);
}

async function list(path) {
  const mine = ++asked;
  try {
    const page = await request(path);
    if (mine !== asked) return;
    for (const payment of page.payments) keep(known, payment);
    counts = page.counts;
    next = page.next ?? "";
    say("");
  } catch (error) {
    if (mine === asked) say(error.message);
  }
  draw();
}

function say(text) {
  byId("payments-result").textContent = text;
  byId("payments-result").classList.toggle("failed", Boolean(text));
}

byId("payment-states").addEventListener("change", () => {
  shown = pageSize;
  draw();
  refresh();
});
byId("payments-more").addEventListener("click", async () => {
  shown += pageSize;
  await list(next);
});

// ---- what is drawn ----

function draw() {
  const found = [...known.values()].filter((p) => inGroup(wanted(), p.state)).sort((a, b) => b.position - a.position);
  const focused = document.activeElement?.id;
  const list = byId("payment-list");
  const drawn = found.slice(0, shown).map(itemOf);
  // An item that keeps its place is not moved, so that it keeps the focus and the text in its fields.
  if (drawn.length !== list.children.length || drawn.some((item, i) => item !== list.children[i])) list.replaceChildren(...drawn);
  if (focused && document.activeElement?.id !== focused && list.querySelector(`#${CSS.escape(focused)}`)) byId(focused).focus();
  byId("payments-more").hidden = !next;
  byId("payments-empty").hidden = found.length > 0;
  for (const group of ["all", "running", "waiting", "compensating", "stuck", "done"]) {
    const total = Object.entries(counts).reduce((n, [state, count]) => n + (inGroup(group === "all" ? "" : group, state) ? count : 0), 0);
    byId(`count-${group}`).textContent = total || "";
  }
}

const states = {
  running: "running", waiting: "waiting", compensating: "going back", stuck: "stuck",
  completed: "paid", compensated: "given back", resolved: "resolved by hand",
};

// itemOf returns the element of a payment. It makes a new one if the payment has changed.
function itemOf(payment) {
  const drawn = items.get(payment.id);
  if (drawn?.version === payment.version && drawn.from === payment.from && drawn.reference === payment.reference) return drawn.item;
  const item = element("li", "payment");
  item.id = `payment-${payment.id}`;
  item.dataset.state = payment.state;
  const what = element("span", "what", payment.from ? `${payment.bank}/${payment.to}` : payment.id);
  what.append(element("small", "", [payment.text, payment.from && `from ${payment.from}`, payment.id].filter(Boolean).join(" \u00b7 ")));
  const head = element("div", "row");
  head.append(what, payment.amount ? sum(payment.amount) : element("span"));
  item.append(head, stateOf(payment), pathOf(payment), ...deedsOf(payment));
  items.set(payment.id, { version: payment.version, from: payment.from, reference: payment.reference, item });
  if (!payment.from) complete(payment.id);
  return item;
}

// complete requests the data of a payment that the stream does not send.
async function complete(id) {
  try {
    keep(known, await request(`/payments/${encodeURIComponent(id)}`));
    draw();
  } catch (error) {
    say(error.message);
  }
}

const time = (text) => new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function stateOf(payment) {
  const line = element("p", "state");
  line.append(element("b", `badge ${payment.state}`, states[payment.state] ?? payment.state));
  const step = payment.steps[payment.at];
  const until = payment.state === "waiting" ? `for an answer until ${time(step.deadline)}` : "";
  const again = payment.again ? `again at ${time(payment.again)}` : "";
  const why = payment.state === "completed" ? payment.reference && `under ${payment.reference}` : payment.error;
  line.append(element("small", "", [until, why, again].filter(Boolean).join(", ")));
  return line;
}

const signs = { ahead: "", underway: "\u2026", finished: "\u2713", undoing: "\u21b6", reverted: "\u21ba" };
const saying = { ahead: "ahead", underway: "under way", finished: "done", undoing: "being undone", reverted: "undone" };

// pathOf draws the steps of a payment as a path, each with its state.
function pathOf(payment) {
  const path = element("ol", "path");
  path.setAttribute("aria-label", "Steps");
  for (const [i, step] of payment.steps.entries()) {
    const back = step.state === "underway" && (i > payment.at || ["compensating", "compensated"].includes(payment.state)); // here the payment turned back
    const failed = payment.state === "stuck" && i === payment.at;
    const item = element("li", `step ${step.state}${back ? " back" : ""}${failed ? " failed" : ""}`);
    item.setAttribute("aria-label", `${step.name}: ${failed ? "stuck" : back ? "in vain" : saying[step.state]}`);
    if (i === payment.at && !finals.includes(payment.state)) item.setAttribute("aria-current", "step");
    const sign = element("span", "sign", failed ? "!" : back ? "\u2715" : signs[step.state]);
    sign.setAttribute("aria-hidden", "true");
    item.append(sign, element("span", "name", step.name));
    path.append(item);
  }
  return path;
}

// ---- what people can do ----

function deedsOf(payment) {
  const deeds = element("div", "deeds");
  const forwards = ["running", "waiting", "stuck"].includes(payment.state) && !["undoing", "reverted"].includes(payment.steps[payment.at].state);
  if (payment.state === "stuck") {
    const reason = element("input");
    reason.id = `reason-${payment.id}`;
    reason.maxLength = 140;
    const label = element("label", "", "How it was settled by hand");
    label.htmlFor = reason.id;
    deeds.append(deed(payment, "retry", "Try again"), label, reason, deed(payment, "resolve", "Resolve", () => reason.value));
  }
  if (forwards && payment.steps.at(-1).state === "ahead") deeds.append(deed(payment, "cancel", "Cancel", () => "cancelled on the page"));
  return deeds.children.length ? [deeds] : [];
}

function deed(payment, name, text, reason = () => "") {
  const button = element("button", "plain", text);
  button.type = "button";
  button.id = `${name}-${payment.id}`;
  button.setAttribute("aria-label", `${text}: payment ${payment.id} of ${payment.amount ? grouped(payment.amount) : "money"}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      keep(known, await request(`/payments/${encodeURIComponent(payment.id)}/${name}`, {
        method: "POST", body: JSON.stringify({ reason: reason() }), headers: { "Content-Type": "application/json" },
      }));
      say("");
      draw();
      byId("payments-title").focus({ preventScroll: true }); // the button has gone
    } catch (error) {
      say(error.message);
      button.disabled = false;
    }
  });
  return button;
}
