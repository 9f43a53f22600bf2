// The live page of a node: follows its events (see transfers/live/node.py) and draws what they say.
import { RateChart } from "./chart.js";
import { address, buttons, fill, make, part, write } from "./dom.js";
import { follow } from "./stream.js";
import { ago } from "./times.js";
import { duration, rate, size } from "./words.js";

const SECONDS = 900;
const root = part("node");
const show = buttons(document.querySelectorAll(".acts form"));
let chart = null;

function take(node) {
  write(part("state"), node.state);
  part("state").className = `state ${node.state}`;
  show(node.state === "slow" ? "live" : node.state);
  if (!node.rates) return;
  const [bucket, down, up] = node.rates;
  chart.add(node.at, down + bucket, bucket, up);
  write(part("rate-bucket"), rate(bucket));
  write(part("rate-down"), rate(down));
  write(part("rate-up"), rate(up));
  for (const [place, name] of ["downloads", "uploads", "reads"].entries()) {
    write(part(name).firstChild, `${node.slots[2 * place]} `);
    write(part(name).lastElementChild, `of ${node.slots[2 * place + 1]}`);
  }
  part("barred").hidden = !node.barred;
  write(part("seen"), node.seen < 3000 ? "now" : ago(new Date(Date.now() - node.seen)));
  drawDisk(node.disk);
  drawHoldings(node.jobs);
  drawTransfers([...node.in.map((row) => [...row, "from"]), ...node.out.map((row) => [...row, "to"])]);
}

function drawDisk([free, total]) {
  if (!part("disk")) return;
  part("disk").max = total;
  part("disk").value = total - free;
  write(part("disk-text"), `${size(free)} free of ${size(total)}`);
}

function drawHoldings(jobs) {
  for (const [id, , held, of] of jobs) {
    const bar = document.querySelector(`[data-job="${id}"] progress`);
    if (!bar) continue;
    bar.value = held;
    bar.setAttribute("aria-label", `${held} of ${of} shards`);
  }
}

function drawTransfers(rows) {
  part("quiet").hidden = rows.length > 0;
  fill(part("moving"), rows, makeTransfer, (item, [id, job, shard, other, bytes, of, ms, way]) => {
    const [where, what, bar, moved, speed] = item.children;
    write(where.firstChild, `${way} `);
    write(where.lastChild, other || "the bucket");
    if (other) where.lastChild.href = root.dataset.node.replace("NODE", encodeURIComponent(other));
    else where.lastChild.removeAttribute("href");
    write(what, `shard ${shard.toLocaleString("en")} of ${job}`);
    if (what.dataset.job !== id) {
      what.dataset.job = id;
      what.href = `${root.dataset.job}${address(id)}/`;
    }
    bar.max = Math.max(1, of);
    bar.value = bytes;
    bar.setAttribute("aria-label", `${size(bytes)} of ${size(of)}`);
    item.className = way;
    write(moved, size(bytes));
    write(speed, ms > 500 ? rate((bytes * 1000) / ms) : duration(ms / 1000));
  });
}

function makeTransfer() {
  const where = make("span", "name");
  where.append(document.createTextNode(""), make("a"));
  return make("li", "", where, make("a", "what"), make("progress"), make("span", "number"), make("span", "number muted"));
}

addEventListener("DOMContentLoaded", () => {
  const [times, sent, received, bucket] = JSON.parse(part("series").textContent);
  chart = new RateChart(
    part("chart"),
    [
      { label: "received", colour: "chart-peers" },
      { label: "out of the bucket", colour: "chart-bucket" },
      { label: "to nodes", colour: "chart-sent", line: true },
    ],
    [times, received, bucket, sent],
    SECONDS,
  );
  follow(root.dataset.events, { start: take, update: take });
});
