// What happened to a job, newest first. Nodes that are done at about the same time share a line.
import { fill, make, write } from "./dom.js";
import { clock, day, moment } from "./times.js";

const KEPT = 500;
const SHOWN = 100;
const TOGETHER_MS = 5000;
const WORDS = {
  node_done: "done on",
  node_failed: "failed on",
  enrolled: "enrolled",
  disputed: "a file's checksum was wrong; its shards are read again, found by",
  moved: "moved to the end of the chain:",
  corrupt: "damaged bytes reached",
  expired: "no progress on",
};

export class EventList {
  // rows: {id, at, kind, node, state, why}, oldest first
  constructor(parent, nothing, rows) {
    this.parent = parent;
    this.nothing = nothing;
    this.rows = [];
    this.seen = 0;
    for (const row of rows) this.take(row);
    this.draw();
  }

  add(row) {
    this.take(row);
    this.draw();
  }

  take(row) {
    if (row.id <= this.seen) return;
    this.seen = row.id;
    const at = new Date(row.at);
    const last = this.rows.at(-1);
    if (last && row.node && last.kind === row.kind && last.why === row.why && at - last.at < TOGETHER_MS) {
      last.nodes.push(row.node);
      return;
    }
    this.rows.push({ at, kind: row.kind, state: row.state, why: row.why, nodes: row.node ? [row.node] : [] });
    this.rows.splice(0, this.rows.length - KEPT);
  }

  draw() {
    this.nothing.hidden = this.rows.length > 0;
    const rows = this.rows.slice(-SHOWN).reverse();
    fill(this.parent, rows, () => make("li", "", make("time"), make("span"), make("span", "muted")), (item, row) => {
      const [time, what, why] = item.children;
      write(time, moment(row.at));
      time.dateTime = row.at.toISOString();
      time.title = `${day(row.at)} ${clock(row.at)}`;
      write(what, describe(row));
      write(why, row.why);
      item.className = row.kind === "job_state" ? row.state : row.kind;
    });
  }
}

function describe(row) {
  if (row.kind === "job_state") return row.state;
  const few = row.nodes.slice(0, 3).join(", ");
  const left = row.nodes.length - 3;
  return `${WORDS[row.kind] ?? row.kind} ${few}${left > 0 ? ` and ${left.toLocaleString("en")} more` : ""}`;
}
