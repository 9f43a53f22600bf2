// A map of nodes (rows) by shards (columns) on a canvas, and above it a strip that says how many copies of each shard there
// are. Where there are more shards or nodes than pixels, a pixel stands for several, and its colour says how many of these
// are held: 1,000 nodes x 2,000 shards are drawn in some milliseconds.
const MAX_HEIGHT = 480;
const MAX_ROW = 14;
const GAP_FROM = 5; // rows at least this high have a line between them

export class ShardMap {
  constructor(canvas, strip, shardCount) {
    this.canvas = canvas;
    this.strip = strip;
    this.context = canvas.getContext("2d", { alpha: false });
    this.shardCount = shardCount;
    this.copies = new Uint32Array(shardCount);
    this.names = [];
    this.held = []; // a Uint8Array a node, one byte a shard: quick to sum up
    this.readColours();
    canvas.addEventListener("pointermove", (event) => this.explain(event));
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => rgb(style.getPropertyValue(name).trim());
    const names = ["none", "held", "moving", "card", "rare", "bad"];
    this.colours = Object.fromEntries(names.map((name) => [name, read(`--${name}`)]));
  }

  clear() {
    this.names = [];
    this.held = [];
    this.copies.fill(0);
  }

  add(name) {
    this.names.push(name);
    this.held.push(new Uint8Array(this.shardCount));
  }

  // change: 1 for all shards, a bitmap in base64, or a list of the shards that toggled
  set(node, change) {
    const row = this.held[node];
    if (Array.isArray(change)) {
      for (const shard of change) this.put(row, shard, row[shard] ^ 1);
      return;
    }
    const bytes = change === 1 ? null : atob(change);
    for (let shard = 0; shard < this.shardCount; shard += 1) {
      // NaN >> n is 0: beyond the end is not held
      this.put(row, shard, bytes === null ? 1 : (bytes.charCodeAt(shard >> 3) >> (7 - (shard & 7))) & 1);
    }
  }

  put(row, shard, value) {
    this.copies[shard] += value - row[shard];
    row[shard] = value;
  }

  // Takes the room that a map of `count` nodes needs, so that nothing below it jumps when the first data comes.
  reserve(count) {
    this.canvas.style.height = `${Math.max(1, Math.min(count, MAX_HEIGHT) * rowHeightOf(count))}px`;
  }

  // moving, damaged: [node, shard] pairs; order: numbers of the nodes from top to bottom; ended: nothing is rare any more
  draw(moving, damaged, order, ended) {
    const count = order.length;
    const width = Math.min(this.shardCount, Math.max(1, Math.floor(this.canvas.parentElement.clientWidth)));
    const rowHeight = rowHeightOf(count);
    const rows = Math.min(count, MAX_HEIGHT);
    const height = Math.max(1, rows * rowHeight);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.reserve(count);
    this.order = order;
    this.rowCount = rows;
    const image = this.context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const shades = this.shades();
    for (let row = 0; row < rows; row += 1) {
      const line = this.line(order, Math.floor((row * count) / rows), Math.floor(((row + 1) * count) / rows), width);
      this.paint(pixels, line, shades, row * rowHeight, rowHeight, width);
    }
    this.paintCells(pixels, moving, this.colours.moving, order, rows, rowHeight, width);
    const lacking = damaged.filter(([node, shard]) => !this.held[node][shard]);
    this.paintCells(pixels, lacking, this.colours.bad, order, rows, rowHeight, width);
    this.context.putImageData(image, 0, 0);
    const rare = this.drawCopies(width, ended);
    this.canvas.setAttribute(
      "aria-label",
      `Map of ${count} nodes by ${this.shardCount} shards: ${moving.length} arriving, ${rare} on one node only, ${lacking.length} damaged`,
    );
  }

  // The strip of copies: shards on one node alone stand out, the others are the deeper, the more nodes have them.
  drawCopies(width, ended) {
    this.strip.width = width;
    this.strip.height = 1;
    const pen = this.strip.getContext("2d", { alpha: false });
    const image = pen.createImageData(width, 1);
    const pixels = new Uint32Array(image.data.buffer);
    const shades = this.shades();
    const most = Math.max(1, this.names.length);
    let rare = 0;
    for (let column = 0; column < width; column += 1) {
      const [first, last] = this.columns(column, width);
      let least = most;
      for (let shard = first; shard < last; shard += 1) {
        least = Math.min(least, this.copies[shard]);
        if (this.copies[shard] === 1 && most > 1 && !ended) rare += 1;
      }
      const lone = least === 1 && most > 1 && !ended;
      pixels[column] = lone ? pack(this.colours.rare) : shades[Math.round(255 * Math.sqrt(least / most))];
    }
    pen.putImageData(image, 0, 0);
    return rare;
  }

  columns(column, width) {
    const first = Math.floor((column * this.shardCount) / width);
    return [first, Math.max(first + 1, Math.floor(((column + 1) * this.shardCount) / width))];
  }

  // The part that is held, from 0 to 255, of each pixel of a row that stands for the nodes order[from..to).
  line(order, from, to, width) {
    const found = new Uint8Array(width);
    for (let column = 0; column < width; column += 1) {
      const [first, last] = this.columns(column, width);
      let sum = 0;
      for (let index = from; index < to; index += 1) {
        const held = this.held[order[index]];
        for (let shard = first; shard < last; shard += 1) sum += held[shard];
      }
      found[column] = Math.round((255 * sum) / ((last - first) * Math.max(1, to - from)));
    }
    return found;
  }

  paint(pixels, line, shades, top, rowHeight, width) {
    const painted = rowHeight >= GAP_FROM ? rowHeight - 1 : rowHeight;
    const gap = pack(this.colours.card);
    for (let y = 0; y < rowHeight; y += 1) {
      const start = (top + y) * width;
      for (let column = 0; column < width; column += 1) {
        pixels[start + column] = y < painted ? shades[line[column]] : gap;
      }
    }
  }

  paintCells(pixels, cells, shade, order, rows, rowHeight, width) {
    const rowOf = new Map(order.map((node, index) => [node, Math.floor((index * rows) / order.length)]));
    const colour = pack(shade);
    const painted = rowHeight >= GAP_FROM ? rowHeight - 1 : rowHeight;
    for (const [node, shard] of cells) {
      const column = Math.floor((shard * width) / this.shardCount);
      const top = rowOf.get(node) * rowHeight;
      for (let y = 0; y < painted; y += 1) pixels[(top + y) * width + column] = colour;
    }
  }

  // 256 colours from "none" to "held"
  shades() {
    const { none, held } = this.colours;
    const found = new Uint32Array(256);
    for (let step = 0; step < 256; step += 1) {
      found[step] = pack(none.map((value, channel) => Math.round(value + ((held[channel] - value) * step) / 255)));
    }
    return found;
  }

  explain(event) {
    if (!this.order?.length) return;
    const box = this.canvas.getBoundingClientRect();
    const across = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width));
    const down = Math.min(0.9999, Math.max(0, (event.clientY - box.top) / box.height));
    const node = this.order[Math.floor(down * this.order.length)];
    const shard = Math.floor(across * this.shardCount);
    const copies = `${this.copies[shard]} of ${this.names.length} nodes have it`;
    this.canvas.title = `${this.names[node]}, shard ${shard}: ${this.held[node][shard] ? "held" : "not held"}; ${copies}`;
  }
}

function rowHeightOf(count) {
  return Math.max(1, Math.min(MAX_ROW, Math.floor(MAX_HEIGHT / Math.max(1, count))));
}

function rgb(text) {
  const hex = text.replace("#", "");
  const full = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
  return [0, 2, 4].map((start) => parseInt(full.slice(start, start + 2), 16));
}

// RGBA of a little-endian Uint32, which is what every browser's machine has
function pack([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
