// The live list of standing distributions: follows their events (see transfers/live/standing.py), a row for each.
import { count, make, part, write } from "./dom.js";
import { Pieces } from "./parts.js";
import { follow } from "./stream.js";

const body = part("rows");
const rows = new Map([...body.rows].map((row) => [row.dataset.name, row]));
const pieces = new Pieces((name) => rows.get(name));

function take({ order, rows: texts }) {
  for (const [name, row] of rows) {
    if (order.includes(name)) continue;
    row.remove();
    rows.delete(name);
  }
  order.forEach((name, place) => {
    if (!rows.has(name)) rows.set(name, make("tr"));
    if (body.rows[place] !== rows.get(name)) body.insertBefore(rows.get(name), body.rows[place] ?? null);
  });
  pieces.take(texts);
  write(part("all"), count(order.length));
  body.closest(".scroll").hidden = !order.length;
  part("none").hidden = order.length > 0;
}

follow(body.dataset.events, { start: take, update: take });
