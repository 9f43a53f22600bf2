// The nodes of a job: those that go on first, the slowest of them at the top; who waits and why; what moves now.
import { count, fill, make, part, write } from "./dom.js";
import { duration, rate, size } from "./words.js";

const FIRST_ROWS = 15;
const MORE_ROWS = 100;
const SHOWN_WAITING = 24;
const ORDER = { moving: 0, waiting: 1, ready: 2, enrolled: 3, stopped: 4, failed: 5, dead: 6, done: 7 };
const OUT = 5; // states from here on make no more progress

export class NodeList {
  constructor(changed, shardCount) {
    this.shardCount = shardCount;
    this.shown = FIRST_ROWS;
    part("show").addEventListener("change", changed);
    part("search").addEventListener("input", changed);
    part("more").addEventListener("click", () => {
      this.shown += MORE_ROWS;
      changed();
    });
  }

  draw(nodes) {
    const counts = {};
    for (const node of nodes) counts[node.state] = (counts[node.state] ?? 0) + 1;
    const states = Object.keys(counts).sort((a, b) => (ORDER[a] ?? 3) - (ORDER[b] ?? 3));
    write(part("counts"), states.map((state) => `${count(counts[state])} ${state}`).join(", "));
    const state = part("show").value;
    const text = part("search").value.trim().toLowerCase();
    const rows = nodes
      .filter((node) => (!state || node.state === state) && (!text || node.name.includes(text)))
      .sort((a, b) => rank(a) - rank(b) || a.held - b.held || (a.name < b.name ? -1 : 1));
    fill(part("nodes"), rows.slice(0, this.shown), makeRow, (row, node) => this.drawRow(row, node));
    part("no-match").hidden = rows.length > 0;
    part("more").hidden = rows.length <= this.shown;
    write(part("more"), `Show more (${count(rows.length - this.shown)} left)`);
  }

  drawRow(row, node) {
    const [name, bar, done, state, speed, why] = row.children;
    write(name, node.position === null ? node.name : `${node.position + 1}. ${node.name}`);
    if (name.title !== node.name) {
      name.title = node.name;
      name.href = part("job").dataset.node.replace("NODE", encodeURIComponent(node.name));
    }
    bar.max = this.shardCount;
    bar.value = node.held;
    bar.className = node.state;
    bar.setAttribute("aria-label", `${node.name}: ${node.held} of ${this.shardCount} shards`);
    write(done, `${Math.floor((100 * node.held) / this.shardCount)} %`);
    write(state, node.state);
    state.className = `state ${node.state}`;
    write(speed, node.rate ? rate(node.rate) : "");
    write(why, node.why);
    why.hidden = !node.why;
  }
}

function rank(node) {
  const order = ORDER[node.state] ?? 3;
  return order < OUT ? 0 : order;
}

function makeRow() {
  return make(
    "li",
    "",
    make("a", "name"),
    make("progress"),
    make("span", "part number"),
    make("span", "state"),
    make("span", "rate number muted"),
    make("span", "why muted small"),
  );
}

export function drawWaiting(nodes) {
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
  return make("li", "", make("p"), make("ul", "chips"));
}

export function drawTransfers(transfers, nodes, moving) {
  write(part("moving"), moving > transfers.length ? `${transfers.length} of ${count(moving)}` : `${moving}`);
  part("no-transfers").hidden = transfers.length > 0;
  part("transfers").parentElement.hidden = !transfers.length;
  const nameOf = (number) => (number < 0 ? "bucket" : nodes[number].name);
  fill(part("transfers"), transfers, makeTransfer, (row, [shard, to, from, bytes, ms]) => {
    const texts = [count(shard), nameOf(from), nameOf(to), size(bytes), duration(ms / 1000)];
    texts.forEach((text, column) => write(row.children[column], text));
    row.children[1].title = texts[1];
    row.children[2].title = texts[2];
  });
}

function makeTransfer() {
  const row = document.createElement("tr");
  for (const classes of ["number", "node", "node", "number", "number"]) row.append(make("td", classes));
  return row;
}
