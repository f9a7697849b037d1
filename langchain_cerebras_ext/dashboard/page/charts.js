// Stacked bars over time, in SVG. Drawing uses numbers, what is read uses the texts.

const HEIGHT = 220;
const MARGIN = { top: 8, right: 4, bottom: 22, left: 56 };
const COLORS = 8;

/** A colour for each name, kept while the page is open; the last one is for others. */
const palette = () => {
  const known = new Map();
  return (name) => {
    if (!known.has(name)) known.set(name, known.size % COLORS);
    return `var(--series-${known.get(name)})`;
  };
};
const OTHERS = "var(--series-others)";
const UNKNOWN_COLOR = "var(--series-unknown)";

/** Round steps of an axis from 0 up to a largest value. */
const steps = (largest, wanted = 4) => {
  if (!(largest > 0)) return [0];
  const rough = largest / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10]
    .map((factor) => factor * power)
    .find((size) => size >= rough * 0.999);
  const top = Math.ceil(largest / step - 1e-9);
  return Array.from({ length: top + 1 }, (_, index) => index * step);
};

/**
 * A chart of stacked bars, which a table in its panel repeats.
 *
 * `chart.times` are ISO times, `chart.layers` have a name, a colour, values to draw and
 * `tell(index)` for the text; `chart.axis` tells a value of the axis.
 */
const stackedBars = (id, chart, width) => {
  const { times, layers, bucket } = chart;
  const inner = Math.max(40, width - MARGIN.left - MARGIN.right);
  const tall = HEIGHT - MARGIN.top - MARGIN.bottom;
  const totals = times.map((_, at) => layers.reduce((sum, layer) => sum + layer.values[at], 0));
  const marks = steps(Math.max(chart.least || 0, ...totals));
  const top = marks.at(-1) || 1;
  const x = (at) => MARGIN.left + (inner * at) / times.length;
  const y = (value) => MARGIN.top + tall * (1 - value / top);
  const slot = inner / times.length;
  const gap = slot > 6 ? Math.min(slot * 0.25, 8) : slot > 3 ? 1 : 0;
  const wide = Math.min(slot - gap, 64);

  const grid = marks.map((value) =>
    el(
      "g",
      { class: "rules" },
      el("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
      el(
        "text",
        { x: MARGIN.left - 8, y: y(value), dy: "0.32em", "text-anchor": "end" },
        chart.axis(value, marks[1] || 1),
      ),
    ),
  );
  const every = Math.max(1, Math.ceil((bucket === "month" ? 58 : 46) / slot));
  const ticks = times.flatMap((iso, at) =>
    at % every || (times.length > 1 && x(at) + slot / 2 > width - 18)
      ? []
      : [
          el(
            "text",
            { x: x(at) + slot / 2, y: HEIGHT - 6, "text-anchor": "middle" },
            bucketTick(iso, bucket),
          ),
        ],
  );
  const bars = times.map((iso, at) => {
    let base = 0;
    const parts = layers.flatMap((layer) => {
      const value = layer.values[at];
      if (!(value > 0)) return [];
      const from = y(base);
      base += value;
      const high = Math.max(from - y(base), 0.75);
      return [
        el("rect", {
          x: x(at) + (slot - wide) / 2,
          y: from - high,
          width: wide,
          height: high,
          fill: layer.color,
        }),
      ];
    });
    return el(
      "g",
      { class: "bar", "data-at": at, "data-key": iso },
      el("rect", { class: "hit", x: x(at), y: MARGIN.top, width: slot, height: tall }),
      parts,
    );
  });
  return el(
    "svg",
    {
      class: "chart",
      "data-chart": id,
      "data-key": `chart-${id}`,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      width,
      height: HEIGHT,
      role: "img",
      tabindex: 0,
      "aria-label": `${chart.label}. Left and right arrows read the bars; Enter shows the time of one alone.`,
    },
    grid,
    el("g", { class: "ticks" }, ticks),
    bars,
  );
};

/** What a bar stands for, as the lines of a small box. */
const barNotes = (chart, at) => {
  const rows = chart.layers
    .filter((layer) => layer.values[at] > 0)
    .map((layer) =>
      el(
        "div",
        { class: "note" },
        el("span", { class: "dot", vars: { "--dot": layer.color } }),
        el("span", { class: "name" }, layer.name),
        el("span", { class: "num" }, layer.tell(at)),
      ),
    );
  return [
    el("div", { class: "when" }, bucketName(chart.times[at], chart.bucket)),
    el(
      "div",
      { class: "note whole" },
      el("span", { class: "name" }, chart.whole),
      el("span", { class: "num" }, chart.tell(at)),
    ),
    ...rows,
  ];
};

/** The same as one line, for those who listen. */
const barWords = (chart, at) => {
  const parts = chart.layers
    .filter((layer) => layer.values[at] > 0)
    .map((layer) => `${layer.name} ${layer.tell(at)}`);
  const whole = `${bucketName(chart.times[at], chart.bucket)}: ${chart.tell(at)}`;
  return parts.length ? `${whole}; ${parts.join(", ")}` : whole;
};

/** From the middle to the far end of what calls took, on a scale of the table's own. */
const spread = (values, largest) => {
  const width = 120;
  const color = "var(--series-0)";
  const x = (value) => 4 + (width - 8) * (largest ? value / largest : 0);
  const { p50, p95, p99 } = values;
  return el(
    "svg",
    { class: "spread", viewBox: `0 0 ${width} 16`, width, height: 16, "aria-hidden": "true" },
    el("line", { class: "rail", x1: 4, x2: width - 4, y1: 8, y2: 8 }),
    el("line", { x1: x(p50), x2: x(p99), y1: 8, y2: 8, stroke: color, "stroke-width": 2 }),
    el("circle", { cx: x(p50), cy: 8, r: 4, fill: color }),
    el("circle", { cx: x(p95), cy: 8, r: 3, fill: color }),
    el("line", { x1: x(p99), x2: x(p99), y1: 3, y2: 13, stroke: color, "stroke-width": 2 }),
  );
};
