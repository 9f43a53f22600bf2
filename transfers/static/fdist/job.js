// The live page of a job: follows its events (see transfers/live/delta.py) and draws what they say.
import { ShardMap } from "./shardmap.js";
import { duration, rate, size } from "./words.js";

const FIRST_ROWS = 30;
const MORE_ROWS = 100;
const SHOWN_WAITING = 60;
const ORDER = { moving: 0, waiting: 1, ready: 2, enrolled: 3, stopped: 4, failed: 5, dead: 6, done: 7 };
const OUT = 5; // states from here on make no more progress
const RATE_WEIGHT = 0.4; // of the newest figure in the smoothed rate

const root = document.getElementById("job");
const part = (id) => document.getElementById(id);
const shardCount = Number(root.dataset.shards);
const payload = Number(root.dataset.size);

let nodes = []; // {name, state, held, position, why, rate}
let job = {};
let transfers = [];
let moving = 0;
let smoothed = 0;
let shownRows = FIRST_ROWS;
const map = new ShardMap(part("map"), shardCount);
map.reserve(Number(root.dataset.nodes));
const acts = document.querySelectorAll(".acts form");
const count = (number) => number.toLocaleString("en");

function take(message, whole) {
  if (whole) {
    nodes = [];
    map.clear();
  }
  for (const name of message.names ?? []) {
    nodes.push({ name, state: "enrolled", held: 0, position: null, why: "", rate: 0 });
    map.add(name);
  }
  for (const [number, state, held, position, why, speed] of message.nodes ?? []) {
    Object.assign(nodes[number], { state, held, position, why, rate: speed });
  }
  for (const [number, change] of message.bits ?? []) map.set(number, change);
  job = message.job;
  transfers = message.transfers;
  moving = message.moving;
  if (!whole) smoothed += RATE_WEIGHT * (job.rate - smoothed);
  schedule();
}

// --- drawing: once a frame at most, whatever arrives
let waitingForFrame = false;
function schedule() {
  if (waitingForFrame || !job.state) return; // nothing to show before the first message
  waitingForFrame = true;
  requestAnimationFrame(() => {
    waitingForFrame = false;
    draw();
  });
}

function draw() {
  drawFigures();
  drawNodes();
  drawTransfers();
  drawWaiting();
  map.draw(transfers.map(([shard, to]) => [to, shard]), rowOrder());
}

function drawFigures() {
  const ended = ["complete", "failed", "cancelled"].includes(job.state);
  const wanted = nodes.length * shardCount;
  const done = wanted ? job.held / wanted : 0;
  part("state").textContent = job.state;
  part("state").className = `state ${job.state}`;
  part("error").textContent = job.error;
  part("error").hidden = !job.error;
  part("progress").value = done;
  part("part").textContent = `${(Math.floor(done * 1000) / 10).toFixed(1)} %`;
  part("done").textContent = `${count(job.done)} of ${count(nodes.length)}`;
  part("rate").textContent = ended ? "-" : rate(smoothed);
  part("left").textContent = ended || smoothed <= 0 ? "-" : duration(((1 - done) * nodes.length * payload) / smoothed);
  part("elapsed").textContent = duration(job.elapsed);
  part("bucket").textContent = `${size(job.bytes_gcs)} (${(job.bytes_gcs / payload).toFixed(2)} x)`;
  part("peers").textContent = size(job.bytes_peer);
  part("unmapped").hidden = !job.unmapped;
  part("unmapped").textContent = `Which shards ${count(job.unmapped)} of the nodes hold is not known.`;
  if (job.stale) part("link").textContent = "the scheduler cannot be reached; this is the record";
  for (const form of acts) form.hidden = !form.dataset.states.split(" ").includes(job.state);
}

function rowOrder() {
  const numbers = nodes.map((_, number) => number);
  if (root.dataset.topology === "pipeline") {
    return numbers.sort((a, b) => (nodes[a].position ?? 1e9) - (nodes[b].position ?? 1e9));
  }
  return numbers.sort((a, b) => (nodes[a].name < nodes[b].name ? -1 : 1));
}

function drawNodes() {
  const counts = {};
  for (const node of nodes) counts[node.state] = (counts[node.state] ?? 0) + 1;
  const states = Object.keys(counts).sort((a, b) => (ORDER[a] ?? 3) - (ORDER[b] ?? 3));
  part("counts").textContent = states.map((state) => `${count(counts[state])} ${state}`).join(", ");
  const state = part("show").value;
  const text = part("search").value.trim().toLowerCase();
  const rows = nodes
    .filter((node) => (!state || node.state === state) && (!text || node.name.includes(text)))
    .sort((a, b) => rank(a) - rank(b) || a.held - b.held || (a.name < b.name ? -1 : 1));
  fill(part("nodes"), rows.slice(0, shownRows), makeRow, drawRow);
  part("more").hidden = rows.length <= shownRows;
  part("more").textContent = `Show more (${count(rows.length - shownRows)} left)`;
}

// Nodes that go on come first, the slowest of them at the top; those that are out of it follow, those that are done last.
function rank(node) {
  const order = ORDER[node.state] ?? 3;
  return order < OUT ? 0 : order;
}

function drawWaiting() {
  const reasons = new Map();
  for (const node of nodes) {
    if (node.state === "waiting") reasons.set(node.why, [...(reasons.get(node.why) ?? []), node.name]);
  }
  const groups = [...reasons].sort((a, b) => b[1].length - a[1].length);
  fill(part("waiting"), groups, makeGroup, (item, [why, names]) => {
    write(item.children[0], `${count(names.length)} ${names.length === 1 ? "node" : "nodes"}: ${why}`);
    const left = names.length - SHOWN_WAITING;
    const chips = left > 0 ? [...names.slice(0, SHOWN_WAITING), `and ${count(left)} more`] : names;
    fill(item.children[1], chips, () => document.createElement("li"), write);
  });
  part("nobody").hidden = groups.length > 0;
}

function makeGroup() {
  const item = document.createElement("li");
  const chips = document.createElement("ul");
  chips.className = "chips";
  item.append(document.createElement("p"), chips);
  return item;
}

function makeRow() {
  const row = document.createElement("li");
  for (const name of ["name", "bar", "part", "state", "rate", "why"]) {
    const cell = document.createElement(name === "bar" ? "progress" : "span");
    cell.className = name;
    row.append(cell);
  }
  row.children[1].max = shardCount;
  row.children[2].classList.add("number");
  row.children[4].classList.add("number", "muted");
  row.children[5].classList.add("muted", "small");
  return row;
}

function drawRow(row, node) {
  const [name, bar, done, state, speed, why] = row.children;
  write(name, node.position === null ? node.name : `${node.position + 1}. ${node.name}`);
  name.title = node.name;
  bar.value = node.held;
  bar.setAttribute("aria-label", `${node.name}: ${node.held} of ${shardCount} shards`);
  write(done, `${Math.floor((100 * node.held) / shardCount)} %`);
  write(state, node.state);
  state.className = `state ${node.state}`;
  write(speed, node.rate ? rate(node.rate) : "");
  write(why, node.why);
  why.hidden = !node.why;
}

function drawTransfers() {
  part("moving").textContent = moving > transfers.length ? `${transfers.length} of ${count(moving)}` : `${moving}`;
  const nameOf = (number) => (number < 0 ? "bucket" : nodes[number].name);
  fill(part("transfers"), transfers, makeTransfer, (row, [shard, to, from, bytes, ms]) => {
    const texts = [String(shard), nameOf(from), nameOf(to), size(bytes), duration(ms / 1000)];
    texts.forEach((text, column) => write(row.children[column], text));
    row.children[1].title = texts[1];
    row.children[2].title = texts[2];
  });
}

function makeTransfer() {
  const row = document.createElement("tr");
  for (let column = 0; column < 5; column += 1) row.append(document.createElement("td"));
  for (const column of [0, 3, 4]) row.children[column].className = "number";
  for (const column of [1, 2]) row.children[column].className = "node";
  return row;
}

// Keeps the elements that are there and changes only what differs: thousands of updates cost little.
function fill(parent, items, make, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, index) => update(parent.children[index], item));
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

part("show").addEventListener("change", schedule);
part("search").addEventListener("input", schedule);
part("more").addEventListener("click", () => {
  shownRows += MORE_ROWS;
  schedule();
});
for (const form of acts) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.ask && !confirm(form.dataset.ask)) event.preventDefault();
  });
}
new ResizeObserver(schedule).observe(part("map").parentElement);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  map.readColours();
  schedule();
});

// --- the stream
const events = new EventSource(root.dataset.events);
events.addEventListener("start", (event) => {
  part("link").textContent = "live";
  take(JSON.parse(event.data), true);
});
events.addEventListener("update", (event) => take(JSON.parse(event.data), false));
events.addEventListener("end", () => {
  events.close();
  part("link").textContent = "";
});
events.addEventListener("error", () => {
  const closed = events.readyState === EventSource.CLOSED;
  part("link").textContent = closed ? "no longer live: reload the page" : "connection lost, trying again";
});
