// The live page of a job: follows its events (see transfers/live/delta.py) and draws what they say.
import { RateChart } from "./chart.js";
import { buttons, count, onceAFrame, onNewColours, part, write } from "./dom.js";
import { EventList } from "./eventlist.js";
import { Flow } from "./flow.js";
import { NodeList, drawTransfers, drawWaiting } from "./nodelist.js";
import { ShardMap } from "./shardmap.js";
import { follow } from "./stream.js";
import { duration, rate, size } from "./words.js";

const RATE_WEIGHT = 0.4; // of the newest figure in the smoothed rate
const ENDED = ["complete", "failed", "cancelled"];

const root = part("job");
const shardCount = Number(root.dataset.shards);
const payload = Number(root.dataset.size);
const pipeline = root.dataset.topology === "pipeline";

let nodes = []; // {name, state, held, position, why, rate}
let job = {};
let transfers = []; // [shard, to, from or -1 for the bucket, bytes, ms]
let flights = []; // to, from, shard of all transfers, one after the other
let damaged = [];
let moving = 0;
let smoothed = 0;
let smoothedBucket = 0;
let chart = null;
const map = new ShardMap(part("map"), part("copies"), shardCount);
map.reserve(Number(root.dataset.nodes));
const list = new NodeList(schedule, shardCount);
const flow = new Flow(part("flow"), part("flow-note"), pipeline, shardCount);
const events = new EventList(part("events"), part("no-events"), JSON.parse(part("happened").textContent));
const show = buttons(document.querySelectorAll(".acts form"));
const redraw = onceAFrame(draw);

function schedule() {
  if (job.state) redraw(); // nothing to show before the first message
}

function take(message, whole) {
  if (whole) {
    nodes = [];
    damaged = [];
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
  damaged = message.damaged ?? damaged;
  job = message.job;
  transfers = message.transfers;
  flights = message.flights ?? [];
  moving = message.moving;
  if (whole) {
    smoothed = job.limit[1];
  } else {
    smoothed += (smoothed ? RATE_WEIGHT : 1) * (job.rate - smoothed);
    smoothedBucket += (smoothedBucket ? RATE_WEIGHT : 1) * (job.rate_gcs - smoothedBucket);
    if (!ENDED.includes(job.state) && !job.stale) {
      chart.add(Date.now() / 1000, smoothed, smoothedBucket, job.limit[0] || null);
    }
  }
  schedule();
}

function draw() {
  const order = rowOrder();
  drawFigures();
  drawLimit();
  list.draw(nodes);
  drawTransfers(transfers, nodes, moving);
  drawWaiting(nodes);
  const cells = [];
  for (let at = 0; at < flights.length; at += 3) cells.push([flights[at], flights[at + 2]]);
  map.draw(cells, damaged, order, ENDED.includes(job.state));
  flow.draw(nodes, flights, order);
}

function drawFigures() {
  const ended = ENDED.includes(job.state);
  const wanted = nodes.length * shardCount;
  const done = wanted ? job.held / wanted : 0;
  write(part("state"), job.state);
  part("state").className = `state ${job.state}`;
  write(part("error"), job.error);
  part("error").hidden = !job.error;
  part("progress").value = done;
  part("progress").className = `wide ${job.state}`;
  write(part("part"), `${(Math.floor(done * 1000) / 10).toFixed(1)} %`);
  write(part("done"), count(job.done));
  write(part("of-nodes"), ` of ${count(nodes.length)}`);
  write(part("rate"), ended ? "-" : rate(smoothed));
  write(part("left"), ended || smoothed <= 1 ? "-" : duration(((1 - done) * nodes.length * payload) / smoothed));
  write(part("elapsed"), duration(job.elapsed));
  write(part("bucket"), size(job.bytes_gcs));
  write(part("amplification"), ` ${(job.bytes_gcs / payload).toFixed(2)} x`);
  write(part("peers"), size(job.bytes_peer));
  part("unmapped").hidden = !job.unmapped;
  write(part("unmapped"), `Which shards ${count(job.unmapped)} of the nodes hold is not known.`);
  part("stale").hidden = !job.stale;
  part("repairs").hidden = !damaged.length;
  write(part("repairs"), `${count(damaged.length)} arrived damaged and ${damaged.length === 1 ? "is" : "are"} fetched again.`);
  show(job.state);
}

// How near to what the network could carry, and what binds now.
function drawLimit() {
  const [bound, now, binds, why] = job.limit;
  const live = job.state === "running" && bound > 0;
  part("gauge").value = live ? Math.min(1, now / bound) : 0;
  write(part("limit-part"), live ? `${Math.round((100 * now) / bound)} %` : "-");
  write(part("limit-of"), live ? `${rate(now)} of ${rate(bound)}` : ENDED.includes(job.state) ? "The job has ended." : "Nothing moves.");
  write(part("binds"), live ? binds || "nothing stands out" : "-");
  part("binds").className = `binds ${live && binds ? "named" : ""}`;
  write(part("binds-why"), live ? why : "");
}

function rowOrder() {
  const numbers = nodes.map((_, number) => number);
  if (pipeline) return numbers.sort((a, b) => (nodes[a].position ?? 1e9) - (nodes[b].position ?? 1e9));
  return numbers.sort((a, b) => (nodes[a].name < nodes[b].name ? -1 : 1));
}

new ResizeObserver(schedule).observe(part("map").parentElement);
onNewColours(() => {
  map.readColours();
  flow.readColours();
  schedule();
});

addEventListener("DOMContentLoaded", () => {
  const [times, bucket, peers] = JSON.parse(part("series").textContent);
  chart = new RateChart(
    part("chart"),
    [
      { label: "all", colour: "chart-peers" },
      { label: "out of the bucket", colour: "chart-bucket" },
      { label: "network's bound", colour: "chart-bound", line: true, dash: [5, 5] },
    ],
    [times, bucket.map((value, index) => value + peers[index]), bucket, times.map(() => null)],
  );
  follow(root.dataset.events, {
    start: (message) => take(message, true),
    update: (message) => take(message, false),
    happened: (event) => events.add(event),
  });
});
