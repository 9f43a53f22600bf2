// A map of nodes (rows) by shards (columns) on a canvas, and above it a strip that says how many copies of each shard there
// are. Where there are more shards or nodes than pixels, a pixel stands for several, and its colour says how many of these
// are held. What each pixel stands for is counted as shards come, not when it is drawn: 1,000 nodes x 2,000 shards are then
// drawn in some milliseconds.
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
    this.held = []; // a Uint8Array a node, one byte a shard
    this.layout = null;
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
    this.layout = null;
    this.copies.fill(0);
  }

  add(name) {
    this.names.push(name);
    this.held.push(new Uint8Array(this.shardCount));
    this.layout = null;
  }

  // change: 1 for all shards, a bitmap in base64, or a list of the shards that toggled
  set(node, change) {
    const row = this.held[node];
    if (Array.isArray(change)) {
      for (const shard of change) this.put(node, shard, row[shard] ^ 1);
      return;
    }
    const bytes = change === 1 ? null : atob(change);
    for (let shard = 0; shard < this.shardCount; shard += 1) {
      // NaN >> n is 0: beyond the end is not held
      this.put(node, shard, bytes === null ? 1 : (bytes.charCodeAt(shard >> 3) >> (7 - (shard & 7))) & 1);
    }
  }

  put(node, shard, value) {
    const row = this.held[node];
    const more = value - row[shard];
    if (!more) return;
    this.copies[shard] += more;
    row[shard] = value;
    if (this.layout) this.layout.sums[this.layout.rowOf[node] * this.layout.width + this.layout.columnOf[shard]] += more;
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
    if (!this.layout?.fits(order, width, rows)) this.layout = new Layout(order, width, rows, this.held, this.shardCount);
    const image = this.context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const shades = this.shades();
    for (let row = 0; row < rows; row += 1) {
      this.paint(pixels, this.layout.line(row), shades, row * rowHeight, rowHeight, width);
    }
    this.paintCells(pixels, moving, this.colours.moving, rowHeight);
    const lacking = damaged.filter(([node, shard]) => !this.held[node][shard]);
    this.paintCells(pixels, lacking, this.colours.bad, rowHeight);
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
    const bounds = this.layout.bounds;
    for (let column = 0; column < width; column += 1) {
      let least = most;
      for (let shard = bounds[column]; shard < bounds[column + 1]; shard += 1) {
        least = Math.min(least, this.copies[shard]);
        if (this.copies[shard] === 1 && most > 1 && !ended) rare += 1;
      }
      const lone = least === 1 && most > 1 && !ended;
      pixels[column] = lone ? pack(this.colours.rare) : shades[Math.round(255 * Math.sqrt(least / most))];
    }
    pen.putImageData(image, 0, 0);
    return rare;
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

  paintCells(pixels, cells, shade, rowHeight) {
    const { rowOf, columnOf, width } = this.layout;
    const colour = pack(shade);
    const painted = rowHeight >= GAP_FROM ? rowHeight - 1 : rowHeight;
    for (const [node, shard] of cells) {
      const top = rowOf[node] * rowHeight;
      for (let y = 0; y < painted; y += 1) pixels[(top + y) * width + columnOf[shard]] = colour;
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

// Which pixel a node and a shard are in, and how many shards of its nodes each pixel has.
class Layout {
  constructor(order, width, rows, held, shardCount) {
    Object.assign(this, { order: Uint32Array.from(order), width, rows });
    // Column c stands for the shards from bounds[c] up to bounds[c + 1].
    this.bounds = Uint32Array.from({ length: width + 1 }, (_, column) => Math.floor((column * shardCount) / width));
    this.columnOf = new Uint32Array(shardCount);
    for (let column = 0; column < width; column += 1) this.columnOf.fill(column, this.bounds[column], this.bounds[column + 1]);
    this.rowOf = new Uint32Array(held.length);
    this.nodesIn = new Uint32Array(rows);
    this.sums = new Uint32Array(rows * width);
    for (const [index, node] of order.entries()) {
      const row = Math.floor((index * rows) / order.length);
      this.rowOf[node] = row;
      this.nodesIn[row] += 1;
      const shards = held[node];
      for (let shard = 0; shard < shardCount; shard += 1) this.sums[row * width + this.columnOf[shard]] += shards[shard];
    }
  }

  fits(order, width, rows) {
    return this.width === width && this.rows === rows && this.order.length === order.length && order.every((node, index) => node === this.order[index]);
  }

  // The part that is held, from 0 to 255, of each pixel of a row.
  line(row) {
    const found = new Uint8Array(this.width);
    const full = 255 / Math.max(1, this.nodesIn[row]);
    for (let column = 0; column < this.width; column += 1) {
      found[column] = Math.round((full * this.sums[row * this.width + column]) / (this.bounds[column + 1] - this.bounds[column]));
    }
    return found;
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
