// Every node as a small square: its colour is the state, its depth how busy it is. One stop for the Tab key; arrow keys
// move within, Enter opens the node's page.
import { rate } from "./words.js";

const LEVELS = [0.05, 0.3, 0.6]; // parts of the busiest node's rate from which on a node counts as busier

export class NodeGrid {
  constructor(parent, note, address) {
    this.parent = parent;
    this.note = note;
    this.address = address;
    this.resting = note.textContent;
    this.cells = new Map();
    this.at = 0;
    parent.addEventListener("keydown", (event) => this.move(event));
    for (const name of ["pointerover", "focusin"]) parent.addEventListener(name, (event) => this.explain(event.target));
    for (const name of ["pointerleave", "focusout"]) parent.addEventListener(name, () => this.explain(null));
  }

  draw(names, nodes) {
    const shown = names.map((name, number) => [name, nodes[number]]).filter(([, node]) => node);
    shown.sort((a, b) => (a[0] < b[0] ? -1 : 1));
    const best = Math.max(1, ...shown.map(([, [, up, down, bucket]]) => up + down + bucket));
    if (shown.length !== this.cells.size || shown.some(([name]) => !this.cells.has(name))) this.build(shown);
    for (const [name, node] of shown) {
      const cell = this.cells.get(name);
      const [state, up, down, bucket] = node;
      const busy = up + down + bucket;
      const level = busy < 1 ? 0 : 1 + LEVELS.filter((part) => busy >= part * best).length;
      const classes = `${state} level-${level}`;
      if (cell.className !== classes) {
        cell.className = classes;
        cell.setAttribute("aria-label", `${name}: ${state}`);
      }
      cell.node = node;
    }
  }

  build(shown) {
    this.cells = new Map(
      shown.map(([name]) => {
        const cell = document.createElement("a");
        cell.href = this.address.replace("NODE", encodeURIComponent(name));
        cell.tabIndex = -1;
        cell.dataset.name = name;
        return [name, cell];
      }),
    );
    this.parent.replaceChildren(...this.cells.values());
    this.parent.classList.toggle("few", shown.length <= 24);
    this.parent.classList.toggle("many", shown.length > 200);
    this.stop(Math.min(this.at, shown.length - 1));
  }

  stop(index) {
    const all = this.parent.children;
    if (!all.length) return;
    if (all[this.at]) all[this.at].tabIndex = -1;
    this.at = Math.max(0, Math.min(index, all.length - 1));
    all[this.at].tabIndex = 0;
  }

  move(event) {
    const all = [...this.parent.children];
    const row = all.findIndex((cell) => cell.offsetTop > all[0].offsetTop);
    const across = row < 0 ? all.length : row;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -all.length, End: all.length };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.stop(this.at + steps[event.key]);
    all[this.at].focus();
  }

  explain(cell) {
    if (!cell?.node) {
      this.note.textContent = this.resting;
      return;
    }
    const [state, up, down, bucket] = cell.node;
    this.note.textContent = `${cell.dataset.name}: ${state}, in ${rate(down + bucket)}, out ${rate(up)}`;
  }
}
