// Rates over time, by uPlot (a classic script, so it is on the window). Areas from the axis up, the largest first.
import { colour, onNewColours } from "./dom.js";
import { rate } from "./words.js";
import { clock } from "./times.js";

const HEIGHT = 220;
const STEPS = [1, 2, 2.5, 5, 10];

export class RateChart {
  // series: [{label, colour: name of a CSS variable, line: true for a line without an area}]; data: [times, values, ...]
  // seconds: how much is shown; 0 for all of it.
  constructor(parent, series, data, seconds = 0) {
    this.parent = parent;
    this.series = series;
    this.data = data;
    this.seconds = seconds;
    this.label = parent.getAttribute("aria-label");
    this.build();
    new ResizeObserver(() => this.plot.setSize({ width: parent.clientWidth, height: HEIGHT })).observe(parent);
    onNewColours(() => {
      this.plot.destroy();
      this.build();
    });
  }

  build() {
    const muted = colour("muted");
    const axis = { stroke: muted, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    axis.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const options = {
      width: this.parent.clientWidth,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: true, live: true },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true, range: (_, low, high) => this.window(low, high) }, y: { range: (_, low, high) => [0, top(high)] } },
      axes: [
        { ...axis, size: 28, space: 80, values: (_, splits) => splits.map((at) => short(at, splits)) },
        { ...axis, size: 74, space: 36, values: (_, splits) => splits.map((value) => (value ? rate(value) : "0")) },
      ],
      series: [{ label: "time", value: (_, at) => (at == null ? "-" : clock(new Date(at * 1000))) }, ...this.series.map(line)],
    };
    this.plot = new window.uPlot(options, this.data, this.parent);
    this.describe();
  }

  window(low, high) {
    const end = high ?? Date.now() / 1000;
    return [this.seconds ? end - this.seconds : Math.min(low ?? end - 60, end - 10), end];
  }

  // A point at the right end; what is older than the window goes.
  add(at, ...values) {
    const times = this.data[0];
    if (times.length && at <= times[times.length - 1]) return;
    times.push(at);
    values.forEach((value, index) => this.data[index + 1].push(value));
    while (this.seconds && times.length > 2 && times[1] < at - this.seconds) for (const column of this.data) column.shift();
    while (!this.seconds && times.length > 1200) thin(this.data);
    this.plot.setData(this.data);
    this.describe();
  }

  describe() {
    const [, ...columns] = this.data;
    const parts = this.series.map(({ label }, index) => {
      const values = columns[index].filter((value) => value != null);
      return values.length ? `${label}: now ${rate(values.at(-1))}, at most ${rate(Math.max(...values))}` : `${label}: nothing yet`;
    });
    this.parent.setAttribute("aria-label", `${this.label}. ${parts.join(". ")}`);
  }
}

function line({ label, colour: name, line: bare, dash }) {
  const stroke = colour(name);
  return {
    label,
    stroke,
    width: bare ? 1.5 : 1,
    dash,
    fill: bare ? undefined : `${stroke}${name === "chart-peers" ? "55" : "88"}`,
    points: { show: false },
    spanGaps: true,
    value: (_, value) => (value == null ? "-" : rate(value)),
  };
}

// The end of the axis: a round figure that leaves a little room.
function top(high) {
  if (!high || high <= 0) return 1e6;
  const power = 10 ** Math.floor(Math.log10(high * 1.05));
  return STEPS.find((step) => step * power >= high * 1.05) * power;
}

function short(at, splits) {
  const text = clock(new Date(at * 1000));
  return splits.length > 1 && splits[1] - splits[0] >= 60 ? text.slice(0, 5) : text;
}

// Half as many points: each pair becomes its later time and its mean.
function thin(data) {
  const [times, ...columns] = data;
  data[0] = times.filter((_, index) => index % 2 === 1);
  columns.forEach((column, place) => {
    data[place + 1] = data[0].map((_, index) => {
      const pair = [column[2 * index], column[2 * index + 1]].filter((value) => value != null);
      return pair.length ? pair.reduce((sum, value) => sum + value, 0) / pair.length : null;
    });
  });
}
