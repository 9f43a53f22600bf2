// The live page of the fleet: follows its events (see transfers/live/fleet_delta.py) and draws what they say.
import { RateChart } from "./chart.js";
import { count, fill, make, onceAFrame, part, write } from "./dom.js";
import { NodeGrid } from "./nodegrid.js";
import { follow } from "./stream.js";
import { duration, rate, size } from "./words.js";

const ORDER = ["live", "draining", "dead", "left"];
const OVER = ["complete", "failed", "cancelled"];
const SECONDS = 1800;
const root = part("fleet");
const [times, bucket, peers] = JSON.parse(part("series").textContent);
let grid = null;
let chart = null;
let names = [];
let nodes = []; // [state, up, down, bucket, disk free, disk total], or nothing where a node was removed
let jobs = new Map();
let cell = null;

function take(message, whole) {
  if (whole) {
    names = [];
    nodes = [];
    jobs = new Map();
  }
  names.push(...(message.names ?? []));
  for (const [number, ...seen] of message.nodes ?? []) nodes[number] = seen;
  for (const number of message.gone ?? []) nodes[number] = undefined;
  for (const job of message.jobs ?? []) jobs.set(job.id, job);
  cell = message.cell;
  if (!cell.stale) chart?.add(Date.now() / 1000, cell.rate_bucket + cell.rate_peers, cell.rate_bucket);
  schedule();
}

const schedule = onceAFrame(() => {
  if (!cell) return;
  drawFigures();
  drawJobs();
  grid?.draw(names, nodes);
});

function drawFigures() {
  write(part("all"), count(nodes.filter(Boolean).length));
  const states = Object.keys(cell.nodes).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
  fill(part("states"), states, () => make("li", "", make("span", "key"), make("span"), ""), (item, state) => {
    item.children[0].className = `key ${state}`;
    write(item.children[1], count(cell.nodes[state]));
    if (item.lastChild.nodeValue !== ` ${state}`) item.lastChild.nodeValue = ` ${state}`;
  });
  write(part("bucket"), rate(cell.rate_bucket));
  write(part("peers"), rate(cell.rate_peers));
  write(part("transfers"), count(cell.transfers));
  write(part("disk").firstChild, size(cell.disk_free));
  write(part("disk").lastChild, ` of ${size(cell.disk_total)}`);
  part("stale").hidden = !cell.stale;
}

function drawJobs() {
  const shown = [...jobs.values()].sort((a, b) => b.priority - a.priority || (a.id < b.id ? -1 : 1));
  write(part("open"), count(shown.filter((job) => !OVER.includes(job.state)).length));
  part("no-jobs").hidden = shown.length > 0;
  fill(part("jobs"), shown, makeJob, drawJob);
}

function makeJob() {
  const bar = make("progress");
  bar.max = 1;
  return make(
    "li",
    "",
    make("a", "name"),
    make("span", "state"),
    bar,
    make("span", "number part"),
    make("span", "number rate"),
    make("span", "number left muted"),
    make("span", "number nodes muted"),
  );
}

function drawJob(item, job) {
  const [name, state, bar, done, speed, left, on] = item.children;
  write(name, job.name);
  const target = `${root.dataset.job}${job.id}/`;
  if (name.getAttribute("href") !== target) name.href = target;
  write(state, job.state);
  state.className = `state ${job.state}`;
  bar.value = job.part;
  const percent = `${(Math.floor(job.part * 1000) / 10).toFixed(1)} %`;
  bar.setAttribute("aria-label", `Progress of ${job.name}: ${percent}`);
  write(done, percent);
  const over = OVER.includes(job.state);
  write(speed, over || !job.rate ? "" : rate(job.rate));
  write(left, over ? `after ${duration(job.elapsed)}` : job.seconds_left == null ? "" : `${duration(job.seconds_left)} left`);
  const failed = job.failed ? `, ${count(job.failed)} failed` : "";
  write(on, `${count(job.done)} of ${count(job.nodes)} node${job.nodes === 1 ? "" : "s"}${failed}`);
}

// A module runs before this, and so does uPlot, which is a deferred script.
addEventListener("DOMContentLoaded", () => {
  if (part("grid")) grid = new NodeGrid(part("grid"), part("grid-note"), root.dataset.node);
  chart = new RateChart(
    part("chart"),
    [
      { label: "all", colour: "chart-peers" },
      { label: "out of the bucket", colour: "chart-bucket" },
    ],
    [times, bucket.map((value, index) => value + peers[index]), bucket],
    SECONDS,
  );
  follow(root.dataset.events, { start: (data) => take(data, true), update: (data) => take(data, false) });
});
