// The live page of a job: follows its events (see transfers/live/delta.py) and draws what they say.
import { ShardMap } from "./shardmap.js";
import { duration, rate, size } from "./words.js";

const FIRST_ROWS = 30;
const MORE_ROWS = 100;
const SHOWN_WAITING = 60;
const ORDER = { moving: 0, waiting: 1, ready: 2, enrolled: 3, failed: 4, dead: 5, done: 6 };
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
  part("done").textContent = `${job.done} of ${nodes.length}`;
  part("rate").textContent = ended ? "-" : rate(smoothed);
  part("left").textContent = ended || smoothed <= 0 ? "-" : duration(((1 - done) * nodes.length * payload) / smoothed);
  part("elapsed").textContent = duration(job.elapsed);
  part("bucket").textContent = `${size(job.bytes_gcs)} (${(job.bytes_gcs / payload).toFixed(2)} x)`;
  part("peers").textContent = size(job.bytes_peer);
  if (job.stale) part("link").textContent = "the scheduler cannot be reached; this is the record";
  if (ended) part("cancel")?.setAttribute("hidden", "");
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
  part("counts").textContent = states.map((state) => `${counts[state]} ${state}`).join(", ");
  const state = part("show").value;
  const text = part("search").value.trim().toLowerCase();
  const rows = nodes
    .filter((node) => (!state || node.state === state) && (!text || node.name.includes(text)))
    .sort((a, b) => a.held - b.held || (ORDER[a.state] ?? 3) - (ORDER[b.state] ?? 3) || (a.name < b.name ? -1 : 1));
  fill(part("nodes"), rows.slice(0, shownRows), makeRow, drawRow);
  part("more").hidden = rows.length <= shownRows;
  part("more").textContent = `Show more (${rows.length - shownRows} left)`;
  const waiting = nodes.filter((node) => node.state === "waiting");
  fill(part("waiting"), waiting.slice(0, SHOWN_WAITING), () => document.createElement("li"), (item, node) => {
    write(item, node.why ? `${node.name}: ${node.why}` : node.name);
  });
  if (waiting.length === 0) part("waiting").replaceChildren(note("none"));
  if (waiting.length > SHOWN_WAITING) part("waiting").append(note(`and ${waiting.length - SHOWN_WAITING} more`));
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
  part("moving").textContent = moving > transfers.length ? `${transfers.length} of ${moving}` : `${moving}`;
  const nameOf = (number) => (number < 0 ? "bucket" : nodes[number].name);
  fill(part("transfers"), transfers, makeTransfer, (row, [shard, to, from, bytes, ms]) => {
    const texts = [shard, nameOf(from), nameOf(to), size(bytes), duration(ms / 1000)];
    texts.forEach((text, column) => write(row.children[column], String(text)));
  });
}

function makeTransfer() {
  const row = document.createElement("tr");
  for (let column = 0; column < 5; column += 1) row.append(document.createElement("td"));
  for (const column of [0, 3, 4]) row.children[column].className = "number";
  return row;
}

// Keeps the elements that are there and changes only what differs: thousands of updates cost little.
function fill(parent, items, make, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  if (parent.firstElementChild?.classList.contains("note")) parent.replaceChildren();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, index) => update(parent.children[index], item));
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function note(text) {
  const item = document.createElement("li");
  item.className = "note muted";
  item.textContent = text;
  return item;
}

part("show").addEventListener("change", schedule);
part("search").addEventListener("input", schedule);
part("more").addEventListener("click", () => {
  shownRows += MORE_ROWS;
  schedule();
});
part("cancel")?.addEventListener("submit", (event) => {
  if (!confirm("Cancel this job on every node?")) event.preventDefault();
});
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
