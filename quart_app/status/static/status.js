// The live part of /status: numbers and plots from server-sent events. No library.
"use strict";

const KEPT = 180;
const samples = [];
const byId = (id) => document.getElementById(id);
const TEXTS = {
  serving: ["Serving", "Requests are answered."],
  healing: ["Healing", "Connections were lost; requests are held and will be answered."],
  silent: ["Worker held up", "A worker has given no news for some seconds; the others go on."],
  stalled: ["Stalled", "Requests wait for an answer of the database."],
  away: ["Database away", "No connection can be made; it is tried again all the time."],
  connecting: ["Connecting", "The first connection is being made."],
  stopping: ["Stopping", "This process ends; requests in flight are finished."],
  lost: ["No news", "This page has lost its server; it tries again by itself."],
};

function milliseconds(seconds) {
  if (seconds === null) return "–";
  const value = seconds * 1000;
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function setText(id, text) {
  const node = byId(id);
  if (node.textContent !== String(text)) node.textContent = text;
}

function showState(state) {
  const [title, text] = TEXTS[state] ?? [state, ""];
  const node = byId("state");
  if (node.dataset.state === state && node.firstChild.textContent === title) return;
  node.dataset.state = state;
  node.querySelector("strong").textContent = title;
  node.querySelector("span").textContent = text;
}

function showSlots(states) {
  const list = byId("slots");
  while (list.children.length > states.length) list.lastChild.remove();
  states.forEach((state, number) => {
    const item = list.children[number] ?? list.appendChild(document.createElement("li"));
    if (item.dataset.slot === state) return;
    item.dataset.slot = state;
    item.title = `slot ${number + 1}: ${state}`;
    item.setAttribute("aria-label", item.title);
  });
}

function showEndpoints(endpoints) {
  byId("endpoints").replaceChildren(...endpoints.map(({ number, state }) => {
    const item = document.createElement("li");
    item.dataset.state = state;
    item.textContent = `database ${number}: ${state}`;
    return item;
  }));
}

// Several workers: every number above is of all of them.
function showWorkers(workers) {
  const list = byId("workers");
  list.hidden = workers.length === 1;
  list.replaceChildren(...workers.map(({ process, state, active, waiting }) => {
    const item = document.createElement("li");
    item.dataset.state = state;
    item.textContent = `worker ${process}: ${TEXTS[state]?.[0].toLowerCase() ?? state}, `
      + `${active} in use, ${waiting} waiting`;
    return item;
  }));
  setText("whose", workers.length === 1
    ? `These are the numbers of process ${workers[0].process}, the only worker here.`
    : `These are the numbers of ${workers.length} workers together: the median is their mean, "99 % under" the highest of theirs.`);
}

function showEvents(events) {
  if (events.length === 0) return;
  byId("events").replaceChildren(...events.map((event) => {
    const item = document.createElement("li");
    const time = document.createElement("time");
    const what = document.createElement("b");
    const when = new Date(event.at * 1000);
    item.className = event.mood;
    time.dateTime = when.toISOString();
    time.textContent = when.toTimeString().slice(0, 8);
    what.textContent = event.text + (event.count > 1 ? ` × ${event.count}` : "");
    item.append(time, what);
    if (event.detail) {
      const detail = document.createElement("span");
      detail.className = "quiet";
      detail.textContent = event.count > 1 ? `last ${event.detail}` : event.detail;
      item.append(detail);
    }
    return item;
  }));
}

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 160;

function element(name, attributes) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// From a value to a share of the height. Latencies need all decades: a fault is a thousand times slower.
const LOWEST = 0.0001;
const linear = (top) => (value) => Math.min(value / top, 1);
const decades = (top) => (value) => Math.max(0, Math.log10(value / LOWEST) / Math.log10(top / LOWEST));

function place(sample) {
  return WIDTH - ((samples[samples.length - 1].at - sample.at) / KEPT) * WIDTH;
}

// A gap in time, or a second without a value, interrupts the line.
function line(read, share) {
  let path = "";
  let previous = null;
  for (const sample of samples) {
    const value = read(sample);
    if (value === null) { previous = null; continue; }
    const joined = previous !== null && sample.at - previous < 3;
    const y = HEIGHT - share(value) * (HEIGHT - 4);
    path += `${joined ? "L" : "M"}${place(sample).toFixed(1)} ${y.toFixed(1)}${joined ? "" : "h0.1"}`;
    previous = sample.at;
  }
  return path;
}

function bars(read, share) {
  const width = WIDTH / KEPT;
  return samples.filter((sample) => read(sample) > 0).map((sample) => {
    const height = Math.max(4, share(read(sample)) * HEIGHT).toFixed(1);
    return `M${(place(sample) - width).toFixed(1)} ${HEIGHT}v-${height}h${width.toFixed(1)}v${height}z`;
  }).join("");
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function highest(series, least) {
  const values = series.flatMap(({ read }) => samples.map(read).filter((value) => value !== null));
  return nice(Math.max(least, ...values));
}

function plot(id, series, share, label) {
  const grid = element("path", { class: "grid", d: `M0 ${HEIGHT / 2}H${WIDTH}M0 2H${WIDTH}` });
  const drawn = series.map(({ kind, read }) => element("path", {
    class: kind,
    d: (kind === "failed" ? bars : line)(read, share),
  }));
  byId(id).replaceChildren(grid, ...drawn);
  setText(`${id}-top`, label);
}

const RATE = [
  { kind: "a", read: (sample) => sample.requests },
  { kind: "failed", read: (sample) => sample.failed },
];
const LATENCY = [
  { kind: "b", read: (sample) => sample.slowest },
  { kind: "a", read: (sample) => sample.median },
];
const POOL = [
  { kind: "b", read: (sample) => sample.connections },
  { kind: "a", read: (sample) => sample.active },
  { kind: "c", read: (sample) => sample.waiting },
];

function drawPlots() {
  if (samples.length === 0) return;
  const rate = highest(RATE, 10);
  const pool = highest(POOL, 5);
  plot("plot-rate", RATE, linear(rate), `${rate}/s`);
  plot("plot-latency", LATENCY, decades(10), "10 s");
  plot("plot-pool", POOL, linear(pool), String(pool));
}

function show(now) {
  showState(now.state);
  showSlots(now.slots);
  showEndpoints(now.endpoints);
  showEvents(now.events);
  setText("waiting", now.waiting);
  setText("retried", now.retried.toLocaleString("en"));
  setText("failed", now.failed.toLocaleString("en"));
  byId("failed").parentElement.classList.toggle("some", now.failed > 0);
  showWorkers(now.workers);
  setText("pool-text", `${now.active} in use, ${now.idle} idle, at most ${now.maxsize}; `
    + `${now.connects} connections made so far, ${now.connect_failures} attempts failed.`);
  const sample = now.sample;
  if (sample === null) return;
  setText("rate", sample.requests.toLocaleString("en"));
  setText("median", milliseconds(sample.median));
  setText("slowest", milliseconds(sample.slowest));
  if (samples.length === 0 || samples[samples.length - 1].at < sample.at) samples.push(sample);
  while (samples.length > KEPT) samples.shift();
  drawPlots();
}

const source = new EventSource("/status/events");
source.addEventListener("history", (message) => {
  samples.splice(0, samples.length, ...JSON.parse(message.data));
  drawPlots();
});
source.addEventListener("now", (message) => show(JSON.parse(message.data)));
source.addEventListener("error", () => {
  showState("lost");
  // The browser gives up where it was answered with an error: the cookie is too old, say.
  if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
});

// In `dev`: traffic from this browser, and the buttons that break things.
const traffic = { on: false, answered: 0, failed: 0, slowest: 0 };
const CITIES = ["London", "Paris", "Lagos", "Lima", "Osaka", "Quito", "Oslo", "Perth"];

function showTraffic() {
  setText("traffic-text", `This browser's requests: ${traffic.answered} answered, ${traffic.failed} failed; `
    + `the slowest took ${milliseconds(traffic.slowest)} ms.`);
}

async function ask() {
  while (traffic.on) {
    const city = CITIES[Math.floor(Math.random() * CITIES.length)];
    const began = performance.now();
    try {
      const response = await fetch(`/?city=${city}`, { cache: "no-store" });
      traffic[response.ok ? "answered" : "failed"] += 1;
    } catch {
      traffic.failed += 1;
    }
    traffic.slowest = Math.max(traffic.slowest, (performance.now() - began) / 1000);
    showTraffic();
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

byId("traffic")?.addEventListener("click", (click) => {
  traffic.on = !traffic.on;
  click.target.textContent = traffic.on ? "Stop the traffic" : "Make traffic";
  if (traffic.on) for (let number = 0; number < 3; number += 1) ask();
});

for (const button of document.querySelectorAll("[data-break]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    await fetch(`/status/break/${button.dataset.break}`, { method: "POST" }).catch(() => {});
    setTimeout(() => { button.disabled = false; }, 2000);
  });
}
