// Who is sending to whom now, on a canvas: a ring with the bucket in its middle, or the chain of a pipeline.
import { colour, count } from "./dom.js";

const HEIGHT = 340;
const NAMED = 28; // with more nodes there is no room for names
const CELL = { most: 132, least: 9, height: 34, gap: 14 };

export class Flow {
  constructor(canvas, note, pipeline, shardCount) {
    this.canvas = canvas;
    this.note = note;
    this.pipeline = pipeline;
    this.shardCount = shardCount;
    this.places = []; // [x, y, node's number]
    this.readColours();
    canvas.addEventListener("pointermove", (event) => this.explain(event));
    canvas.addEventListener("pointerleave", () => this.rest());
  }

  readColours() {
    const names = ["text", "muted", "line", "card", "none", "held", "moving", "good", "warn", "bad", "chart-bucket", "chart-peers"];
    this.colours = Object.fromEntries(names.map((name) => [name, colour(name)]));
    this.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  }

  // flights: to, from (-1 is the bucket), shard, one after the other; order: numbers of the nodes from first to last
  draw(nodes, flights, order) {
    this.nodes = nodes;
    this.edges = [];
    for (let at = 0; at < flights.length; at += 3) this.edges.push([flights[at + 1], flights[at]]);
    const width = this.canvas.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(this.canvas.parentElement).paddingLeft);
    const height = this.pipeline ? this.chainHeight(width, order.length) : Math.min(HEIGHT, Math.max(220, width));
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.canvas.style.height = `${height}px`;
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = this.font;
    pen.textBaseline = "middle";
    if (this.pipeline) this.drawChain(pen, order, width);
    else this.drawRing(pen, order, width, height);
    this.rest();
  }

  rest() {
    const senders = new Set(this.edges.map(([from]) => from).filter((from) => from >= 0)).size;
    const fromBucket = this.edges.filter(([from]) => from < 0).length;
    const text = this.edges.length
      ? `${count(senders)} ${senders === 1 ? "node sends" : "nodes send"}; ${count(fromBucket)} of ${count(this.edges.length)} transfers come from the bucket.`
      : "Nobody sends now.";
    if (this.note.textContent !== text) this.note.textContent = text;
    this.canvas.setAttribute("aria-label", `Who is sending to whom now. ${text}`);
  }

  label(number) {
    return shorten(this.nodes[number].name, 22);
  }

  stateColour(node) {
    const { good, bad, warn, held, muted } = this.colours;
    return { done: good, failed: bad, dead: bad, waiting: warn, moving: held }[node.state] ?? muted;
  }

  drawRing(pen, order, width, height) {
    const widest = order.length <= NAMED ? Math.max(...order.map((number) => pen.measureText(this.label(number)).width)) + 14 : 0;
    const named = order.length <= NAMED && width - 2 * widest > 160;
    const middle = [width / 2, height / 2];
    const across = Math.min(width / 2 - (named ? widest : 12), 0.8 * height);
    const radius = [Math.max(60, across), height / 2 - (named ? 20 : 12)];
    const at = new Map();
    order.forEach((number, index) => {
      const angle = (index / order.length) * 2 * Math.PI - Math.PI / 2;
      at.set(number, [middle[0] + radius[0] * Math.cos(angle), middle[1] + radius[1] * Math.sin(angle), angle]);
    });
    const many = this.edges.length > 150;
    pen.lineWidth = many ? 0.6 : 1.2;
    pen.globalAlpha = many ? 0.35 : 0.75;
    for (const [from, to] of this.edges) {
      const end = at.get(to);
      const start = from < 0 ? middle : at.get(from);
      if (!end || !start) continue;
      pen.strokeStyle = from < 0 ? this.colours["chart-bucket"] : this.colours["chart-peers"];
      const bend = from < 0 ? 0.5 : 0.25;
      const control = [middle[0] * (1 - bend) + ((start[0] + end[0]) / 2) * bend, middle[1] * (1 - bend) + ((start[1] + end[1]) / 2) * bend];
      pen.beginPath();
      pen.moveTo(start[0], start[1]);
      pen.quadraticCurveTo(from < 0 ? (start[0] + end[0]) / 2 : control[0], from < 0 ? (start[1] + end[1]) / 2 : control[1], end[0], end[1]);
      pen.stroke();
      if (!many) arrow(pen, from < 0 ? start : control, end, 6 + (named ? 2 : 0));
    }
    pen.globalAlpha = 1;
    this.places = [];
    const size = order.length > 300 ? 1.6 : order.length > NAMED ? 3 : 5;
    for (const [number, [x, y, angle]] of at) {
      this.places.push([x, y, number]);
      pen.fillStyle = this.stateColour(this.nodes[number]);
      pen.beginPath();
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.fill();
      if (!named) continue;
      pen.fillStyle = this.colours.text;
      const side = Math.cos(angle);
      pen.textAlign = Math.abs(side) < 0.2 ? "center" : side < 0 ? "right" : "left";
      pen.fillText(this.label(number), x + (Math.abs(side) < 0.2 ? 0 : Math.sign(side) * 10), y + (Math.abs(side) < 0.2 ? Math.sign(Math.sin(angle)) * 13 : 0));
    }
    this.bucket(pen, middle[0], middle[1]);
  }

  bucket(pen, x, y) {
    pen.font = `600 ${this.font}`;
    const half = pen.measureText("bucket").width / 2 + 9;
    pen.fillStyle = this.colours.card;
    pen.strokeStyle = this.colours["chart-bucket"];
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.roundRect(x - half, y - 12, 2 * half, 24, 6);
    pen.fill();
    pen.stroke();
    pen.fillStyle = this.colours.text;
    pen.textAlign = "center";
    pen.fillText("bucket", x, y);
    pen.font = this.font;
  }

  // The chain in rows, each read from left to right; a cell fills up with what its node holds.
  chainShape(width, nodes) {
    const named = nodes <= NAMED;
    const cell = named ? CELL.most : Math.max(CELL.least, Math.min(26, Math.floor(width / 24) - 4));
    const gap = named ? CELL.gap : 4;
    const across = Math.max(1, Math.floor((width + gap) / (cell + gap)));
    return { named, cell, gap, across, height: named ? CELL.height : 16, down: named ? 16 : 6 };
  }

  chainHeight(width, nodes) {
    const { across, height, down } = this.chainShape(width, nodes + 1);
    return Math.ceil((nodes + 1) / across) * (height + down) + 4;
  }

  drawChain(pen, order, width) {
    const { named, cell, gap, across, height, down } = this.chainShape(width, order.length + 1);
    const busy = new Set(this.edges.map(([from, to]) => `${from}>${to}`));
    const place = (index) => [(index % across) * (cell + gap), Math.floor(index / across) * (height + down) + 2];
    this.places = [];
    [-1, ...order].forEach((number, index) => {
      const [x, y] = place(index);
      if (index > 0) this.link(pen, number, index, order, busy, place, cell, gap, height, across);
      if (number < 0) {
        pen.fillStyle = this.colours["chart-bucket"];
        pen.beginPath();
        pen.roundRect(x, y, cell, height, 4);
        pen.fill();
        pen.fillStyle = this.colours.card;
        pen.textAlign = "center";
        pen.fillText(named ? "bucket" : "b", x + cell / 2, y + height / 2);
        return;
      }
      this.cell(pen, this.nodes[number], x, y, cell, height, named);
      this.places.push([x + cell / 2, y + height / 2, number]);
    });
  }

  link(pen, number, index, order, busy, place, cell, gap, height, across) {
    const before = index === 1 ? -1 : order[index - 2];
    const active = busy.has(`${before}>${number}`);
    pen.strokeStyle = active ? this.colours[before < 0 ? "chart-bucket" : "chart-peers"] : this.colours.line;
    pen.fillStyle = pen.strokeStyle;
    pen.lineWidth = active ? 2.5 : 1;
    const [x, y] = place(index);
    const from = index % across === 0 ? x - gap : place(index - 1)[0] + cell;
    pen.beginPath();
    pen.moveTo(Math.max(0, from), y + height / 2);
    pen.lineTo(x, y + height / 2);
    pen.stroke();
  }

  cell(pen, node, x, y, width, height, named) {
    const { none, held, good, bad, text, card } = this.colours;
    pen.save();
    pen.beginPath();
    pen.roundRect(x, y, width, height, named ? 5 : 2);
    pen.clip();
    pen.fillStyle = ["dead", "failed"].includes(node.state) ? bad : none;
    pen.fillRect(x, y, width, height);
    const part = node.held / this.shardCount;
    pen.fillStyle = node.state === "done" ? good : held;
    if (!["dead", "failed"].includes(node.state)) {
      if (named) pen.fillRect(x, y + height - 5, width * part, 5);
      else pen.fillRect(x, y + height * (1 - part), width, height * part);
    }
    if (named) {
      pen.fillStyle = ["dead", "failed"].includes(node.state) ? card : text;
      pen.textAlign = "left";
      pen.fillText(shorten(node.name, 19), x + 7, y + (height - 5) / 2);
    }
    pen.restore();
  }

  explain(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let distance = 400;
    for (const [px, py, number] of this.places) {
      const away = (px - x) ** 2 + (py - y) ** 2;
      if (away < distance) [best, distance] = [number, away];
    }
    if (best === null) {
      this.rest();
      return;
    }
    const node = this.nodes[best];
    const name = (number) => (number < 0 ? "the bucket" : this.nodes[number].name);
    const takes = this.edges.filter(([, to]) => to === best).map(([from]) => name(from));
    const gives = this.edges.filter(([from]) => from === best).map(([, to]) => name(to));
    const parts = [`${node.name}: ${node.state}, ${Math.floor((100 * node.held) / this.shardCount)} %`];
    if (takes.length) parts.push(`from ${takes.join(", ")}`);
    if (gives.length) parts.push(`to ${gives.join(", ")}`);
    this.note.textContent = parts.join("; ");
  }
}

function arrow(pen, from, to, back) {
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  const [x, y] = [to[0] - back * Math.cos(angle), to[1] - back * Math.sin(angle)];
  pen.fillStyle = pen.strokeStyle;
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - 7 * Math.cos(angle - 0.4), y - 7 * Math.sin(angle - 0.4));
  pen.lineTo(x - 7 * Math.cos(angle + 0.4), y - 7 * Math.sin(angle + 0.4));
  pen.fill();
}

function shorten(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
