// The panels: what each shows of the data that is there.

const GROUPS = ["model", "user", "tag", "node", "provider", "arm"];
const PAGE_ROWS = 25;

const data = {}; // source -> the latest answer
const color = palette();
const charts = new Map(); // what each chart on the page shows, for its notes

const noCalls = () =>
  data.overview && data.overview.totals.calls + data.overview.totals.retries === 0;

const compared = (now, before, period) => {
  if (!before || !period) return null;
  const old = toUnits(before.cost);
  if (before.calls === 0) return `no calls in the ${period} before`;
  if (old === 0n) return null;
  if (spend(now) === "unknown") return `${spend(before)} in the ${period} before`;
  const change = Number((1000n * (toUnits(now.cost) - old)) / old) / 10;
  const words =
    change === 0
      ? "the same as"
      : change >= 1000
        ? `${short(Math.round(change / 100) + 1)} times that of`
        : `${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(1)} % on`;
  return `${words} the ${period} before (${spend(before)})`;
};

const drawSummary = () => {
  const { totals, before, period } = data.overview;
  const words = doubts(totals);
  const saved = saving(totals);
  const same =
    totals.cached_input_tokens > 0 && saved !== "unknown" && toUnits(totals.cache_savings) === 0n;
  // Calls that were free or whose cost nobody knows would make the others look cheaper.
  const unknown = totals.unpriced_calls + uncounted(totals);
  const priced = totals.calls - totals.cache_hits - unknown;
  const each = priced > 0 ? usd(fromUnits(toUnits(totals.cost) / BigInt(priced))) : null;
  return [
    tile(
      "spend",
      "Spend",
      spend(totals),
      [
        words
          ? { doubt: true, text: `Not certain: ${words}.` }
          : totals.calls
            ? "Every call is metered and priced."
            : "No calls in this time.",
        compared(totals, before, period),
      ],
      exactUsd(totals.cost),
    ),
    tile(
      "calls",
      "Calls",
      short(totals.calls),
      [
        each &&
          `${each} each on average${unknown ? ", where the cost is known" : ""}`,
        totals.retries && plural(totals.retries, "retried try", "retried tries"),
      ],
      count(totals.calls),
    ),
    tile(
      "tokens",
      "Tokens",
      short(tokensOf(totals)),
      [
        `${short(totals.input_tokens)} in, ${short(totals.output_tokens)} out`,
        totals.reasoning_tokens &&
          `${percent(totals.reasoning_tokens, totals.output_tokens)} of output is reasoning`,
      ],
      count(tokensOf(totals)),
    ),
    tile("failed", "Failed", percent(totals.failed, totals.calls), [
      `${plural(totals.failed, "failed call")}`,
      totals.aborted && `${plural(totals.aborted, "call")} aborted by the caller`,
    ]),
    tile(
      "saved",
      "Prompt cache saved",
      saved,
      [
        `${percent(totals.cached_input_tokens, totals.input_tokens)} of prompt tokens were cached`,
        same &&
          `they cost the same as others ${isPartial(totals) ? "where the price is known" : "there"}`,
      ],
      exactUsd(totals.cache_savings),
    ),
    tile("hits", "LangChain cache", percent(totals.cache_hits, totals.calls), [
      `${plural(totals.cache_hits, "call")} answered for nothing`,
    ]),
  ];
};

/** What tells a sum of one time from a lower bound, a guess, and nothing known. */
const totalsAt = (layer, at) =>
  Object.fromEntries(
    ["cost", "unpriced_calls", "uncounted_calls", "estimated_calls"].map((name) => [
      name,
      layer[name][at],
    ]),
  );

/** The measures of a bar: how values are drawn, told and added up. */
const measures = {
  cost: { number: Number, tell: (layer, at) => spend(totalsAt(layer, at)), axis: axisUsd },
  calls: { number: (value) => value, tell: (layer, at) => count(layer.calls[at]), axis: short },
  tokens: { number: (value) => value, tell: (layer, at) => count(layer.tokens[at]), axis: short },
};

const layersOf = (series, measure) => {
  const { number, tell } = measures[measure];
  const layer = (name, fill, row) => ({
    name,
    color: fill,
    values: row[measure].map(number),
    tell: (at) => tell(row, at),
  });
  const found = series.rows.map((row) =>
    layer(
      nameOf(series.by, row.key),
      row.key === null ? UNKNOWN_COLOR : color(`${series.by} ${row.key}`),
      row,
    ),
  );
  if (series.others) found.push(layer("all others", OTHERS, series.others));
  return found;
};

const chartWidth = (place) => Math.max(260, Math.floor(place.clientWidth) || 640);

const chartTable = (chart, caption) =>
  el(
    "details",
    { class: "as-table", "data-key": `table-${caption}` },
    el("summary", {}, "As a table"),
    chart.csv && csvLink(chart.csv, {}, caption.toLowerCase()),
    table({
      caption,
      rows: chart.times.map((_, at) => at),
      key: (at) => chart.times[at],
      columns: [
        { label: "Time (UTC)", cell: (at) => bucketName(chart.times[at], chart.bucket) },
        { label: chart.whole, num: true, cell: (at) => chart.tell(at) },
        ...chart.layers.map((layer) => ({
          label: layer.name,
          num: true,
          cell: (at) => layer.tell(at),
        })),
      ],
    }),
  );

const legend = (layers, split, keys) =>
  el(
    "ul",
    { class: "legend" },
    layers.map((layer, at) =>
      el(
        "li",
        { "data-key": `legend-${layer.name}-${at}` },
        el("span", { class: "dot", vars: { "--dot": layer.color } }),
        split && at < keys.length ? pick(split, keys[at]) : el("span", {}, layer.name),
      ),
    ),
  );

const chartPart = (id, chart, split, keys) => {
  charts.set(id, chart);
  return [
    legend(chart.layers, split, keys || []),
    stackedBars(id, chart, chartWidth(byId(id).querySelector(".body"))),
    chartTable(chart, chart.label),
  ];
};

const drawSpend = () => {
  const { series } = data;
  if (!series.times.length) return empty("No calls in this time.");
  const measure = state.measure;
  const layers = layersOf(series, measure);
  const several = series.by === "tag" && measure !== "none";
  const chart = {
    label: `${MEASURES[measure]} over time by ${SPLITS[series.by].toLowerCase()}`,
    times: series.times,
    bucket: series.bucket,
    layers,
    whole: several ? "All calls" : "Total",
    tell: (at) => measures[measure].tell(series.all, at),
    axis: measures[measure].axis,
  };
  const missing = ["unpriced_calls", "uncounted_calls"]
    .flatMap((name) => series.all[name])
    .reduce((sum, one) => sum + one, 0);
  return [
    several &&
      el(
        "p",
        { class: "hint" },
        "A call with several tags counts under each, so bars can be higher than the total.",
      ),
    measure === "cost" &&
      missing > 0 &&
      el(
        "p",
        { class: "hint doubt" },
        `${plural(missing, "call")} whose cost is not known ${missing === 1 ? "is" : "are"} not in these bars.`,
      ),
    ...chartPart(
      "spend",
      chart,
      series.by,
      series.rows.map((row) => row.key),
    ),
  ];
};

const TOKEN_KINDS = [
  ["Prompt, not cached", "input", "var(--series-0)"],
  ["Prompt, cached", "cached_input", "var(--series-2)"],
  ["Output", "output", "var(--series-1)"],
  ["Reasoning", "reasoning", "var(--series-3)"],
];

/** Four kinds that add up: parts are taken out of their whole. */
const tokenKinds = (totals) => {
  const {
    input_tokens: input,
    cached_input_tokens: cached,
    output_tokens: output,
    reasoning_tokens: reasoning,
  } = totals;
  return { input: input - cached, cached_input: cached, output: output - reasoning, reasoning };
};

const drawTokens = () => {
  const { series, "by model": models } = data;
  if (!models.rows.length) return empty("No calls in this time.");
  const { all } = series;
  const layers = TOKEN_KINDS.map(([name, kind, fill]) => {
    const values = series.times.map(
      (_, at) =>
        tokenKinds(
          Object.fromEntries(
            ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"].map(
              (field) => [field, all[field][at]],
            ),
          ),
        )[kind],
    );
    return { name, color: fill, values, tell: (at) => count(values[at]) };
  });
  const chart = {
    label: "Tokens over time by kind",
    csv: "history",
    times: series.times,
    bucket: series.bucket,
    layers,
    whole: "Total",
    tell: (at) => count(all.tokens[at]),
    axis: short,
  };
  const rows = models.others ? [...models.rows, { ...models.others, isRest: true }] : models.rows;
  return [
    ...chartPart("tokens", chart),
    table({
      caption: "Tokens by model",
      rows,
      key: (row) => (row.isRest ? "others" : keyText(row.key)),
      columns: [
        {
          label: "Model",
          cell: (row) => [row.isRest ? rest() : pick("model", row.key), doubtNote(row)],
        },
        {
          label: "Prompt",
          num: true,
          cell: (row) => short(row.input_tokens),
          exact: (row) => count(row.input_tokens),
        },
        {
          label: "of it cached",
          num: true,
          cell: (row) => percent(row.cached_input_tokens, row.input_tokens),
          exact: (row) => count(row.cached_input_tokens),
        },
        {
          label: "Output",
          num: true,
          cell: (row) => short(row.output_tokens),
          exact: (row) => count(row.output_tokens),
        },
        {
          label: "of it reasoning",
          num: true,
          cell: (row) => percent(row.reasoning_tokens, row.output_tokens),
          exact: (row) => count(row.reasoning_tokens),
        },
        {
          label: "Cache saved",
          num: true,
          cell: saving,
          exact: (row) => exactUsd(row.cache_savings),
        },
      ],
    }),
  ];
};

const drawLatency = () => {
  const { rows, newest } = data.latency;
  if (!rows.length) return empty("No call in this time has been timed.");
  const kinds = [
    ["ttft_s", "Time to first token", seconds],
    ["duration_s", "Duration", seconds],
    ["output_tokens_per_s", "Output tokens per second", rate],
  ];
  const cards = kinds.map(([kind, label, tell]) => {
    const timed = rows.filter((row) => row[kind].calls > 0);
    const largest = Math.max(0, ...timed.map((row) => row[kind].p99));
    return el(
      "section",
      { class: "card", "data-key": kind },
      el(
        "header",
        {},
        el("h3", {}, label),
        el("span", { class: "count" }, kind === "ttft_s" ? "streams" : "calls"),
      ),
      timed.length
        ? table({
            caption: `${label} by model`,
            rows: timed,
            key: (row) => keyText(row.key),
            columns: [
              { label: "Model", cell: (row) => pick("model", row.key) },
              { label: "p50", num: true, cell: (row) => tell(row[kind].p50) },
              { label: "p95", num: true, cell: (row) => tell(row[kind].p95) },
              { label: "p99", num: true, cell: (row) => tell(row[kind].p99) },
              { label: "p50 to p99", extra: true, cell: (row) => spread(row[kind], largest) },
              { label: "Timed", num: true, cell: (row) => count(row[kind].calls) },
            ],
          })
        : empty("Not known of any call."),
    );
  });
  if (!newest) return cards;
  const words = `Of the newest ${count(newest)} calls: of all there are too many for these filters.`;
  return [...cards, el("p", { class: "hint", "data-key": "newest" }, words)];
};

const drawFailures = () => {
  const { series, outcomes, errors } = data;
  if (!outcomes.rows.length) return empty("No calls in this time.");
  const { all } = series;
  const kinds = [
    ["Failed", "failed", "var(--bad)"],
    ["Aborted by the caller", "aborted", "var(--series-3)"],
  ];
  const layers = kinds.map(([name, kind, fill]) => ({
    name,
    color: fill,
    values: all[kind].map((value, at) => (all.calls[at] ? (100 * value) / all.calls[at] : 0)),
    tell: (at) => `${percent(all[kind][at], all.calls[at])} (${count(all[kind][at])})`,
  }));
  const chart = {
    label: "Share of calls that failed or were aborted, over time",
    csv: "history",
    times: series.times,
    bucket: series.bucket,
    layers,
    least: 1,
    whole: "Calls",
    tell: (at) => count(all.calls[at]),
    axis: (value) => `${Number(value.toFixed(1))} %`,
  };
  const whole = outcomes.totals.calls + outcomes.totals.retries;
  const rowsOf = (group) => group.rows.filter((row) => row.key !== null || group.by === "outcome");
  const rowCount = (row) => row.calls + row.retries;
  const part = (group, label) => ({
    caption: label,
    rows: rowsOf(group),
    key: (row) => keyText(row.key),
    chosen: (row) => isChosen(group.by, row.key),
    columns: [
      {
        label: SPLITS[group.by],
        cell: (row) => [
          pick(group.by, row.key),
          bar(
            rowCount(row),
            whole,
            row.key === "failed" || group.by === "error_type" ? "var(--bad)" : "",
          ),
        ],
      },
      { label: "Rows", num: true, cell: (row) => count(rowCount(row)) },
      { label: "Share", num: true, cell: (row) => percent(rowCount(row), whole) },
      { label: "Spend", num: true, cell: spend, exact: (row) => exactUsd(row.cost) },
    ],
  });
  return [
    ...chartPart("failures", chart),
    el(
      "div",
      { class: "pair" },
      el(
        "section",
        { class: "card", "data-key": "outcomes" },
        el(
          "header",
          {},
          el("h3", {}, "Outcomes"),
          csvLink("groups", { by: "outcome" }, "outcomes"),
        ),
        table(part(outcomes, "Outcomes")),
      ),
      el(
        "section",
        { class: "card", "data-key": "errors" },
        el(
          "header",
          {},
          el("h3", {}, "Errors"),
          csvLink("groups", { by: "error_type", sort: "calls", limit: 20 }, "errors"),
        ),
        rowsOf(errors).length ? table(part(errors, "Errors by type")) : empty("No errors."),
      ),
    ),
  ];
};

const drawGroups = () =>
  GROUPS.filter((split) => data[`by ${split}`]).map((split) =>
    groupCard(split, data[`by ${split}`]),
  );

const drawWhatIf = () => {
  const { rows, actual, models } = data.whatif;
  if (noCalls()) return empty("No calls in this time.");
  const largest = Math.max(Number(actual.cost), ...rows.map((row) => Number(row.cost || 0)));
  const old = toUnits(actual.cost);
  const options = models.filter((model) => !rows.some((row) => row.model === model));
  return [
    el(
      "form",
      { class: "inline", "data-act": "what-if" },
      el("label", { for: "what-if-model" }, "Price these calls on"),
      el("input", {
        id: "what-if-model",
        name: "on",
        list: "what-if-models",
        autocomplete: "off",
        spellcheck: "false",
        placeholder: "model id",
      }),
      el(
        "datalist",
        { id: "what-if-models" },
        options.map((model) => el("option", { value: model })),
      ),
      el("button", { type: "submit" }, "Add"),
    ),
    table({
      caption: "What the same tokens would cost on other models",
      rows: [{ model: null, ...actual }, ...rows],
      key: (row) => keyText(row.model),
      columns: [
        {
          label: "Model",
          cell: (row) => [
            row.model === null ? el("strong", {}, "As billed") : readable(row.model),
            row.note && el("small", { class: "doubt" }, row.note),
            row.source && el("small", {}, row.source),
          ],
        },
        {
          label: "Cost",
          num: true,
          cell: (row) => {
            if (row.model === null) return spend(row);
            return row.cost === null ? "unknown" : usd(row.cost);
          },
          exact: (row) => row.cost && exactUsd(row.cost),
        },
        {
          label: "Difference",
          num: true,
          cell: (row) => {
            if (row.model === null || row.cost === null) return "";
            return spend(actual) === "unknown" ? "unknown" : signedUsd(toUnits(row.cost) - old);
          },
        },
        {
          label: "",
          cell: (row) =>
            bar(Number(row.cost || 0), largest, row.model === null ? "var(--series-1)" : ""),
        },
      ],
    }),
    data.whatif.words.map((words) => el("p", { class: "hint", "data-key": words }, words)),
  ];
};

const usedOf = (row) =>
  toUnits(row.spent) > 0n && row.percent < 0.1 ? "< 0.1 %" : `${row.percent} %`;

const drawBudgets = () => {
  const { rows } = data.budgets;
  if (!rows.length) return empty("No budget is kept in this ledger.");
  return table({
    caption: "Budgets",
    rows,
    key: (row) => `${row.name} ${row.per} ${row.key} ${row.window_start}`,
    columns: [
      {
        label: "Budget",
        cell: (row) => [
          readable(row.name),
          el(
            "small",
            {},
            row.key === null || row.per === "all"
              ? `per ${row.window}`
              : `${row.per} ${readable(row.key)}, per ${row.window}`,
          ),
        ],
      },
      {
        label: "Used",
        cell: (row) =>
          el(
            "span",
            { class: `budget ${row.state}` },
            el(
              "span",
              { class: "meter", role: "img", "aria-label": `${usedOf(row)} of the limit spent` },
              el("span", { vars: { "--part": Math.min(1, row.percent / 100) } }),
              el("span", {
                class: "held",
                vars: { "--part": Math.min(1, row.reserved_percent / 100) },
              }),
            ),
            usedOf(row),
          ),
      },
      {
        label: "Spent",
        num: true,
        cell: (row) => usd(row.spent),
        exact: (row) => exactUsd(row.spent),
      },
      {
        label: "Reserved",
        num: true,
        cell: (row) => usd(row.reserved),
        exact: (row) => exactUsd(row.reserved),
      },
      {
        label: "Limit",
        num: true,
        cell: (row) => usd(row.limit),
        exact: (row) => exactUsd(row.limit),
      },
      {
        label: "Left",
        num: true,
        cell: (row) => usd(row.remaining),
        exact: (row) => exactUsd(row.remaining),
      },
      {
        label: "Window ends (UTC)",
        cell: (row) => (row.window_end ? time(row.window_end, 16) : "–"),
      },
      { label: "When spent", cell: (row) => row.action },
    ],
  });
};

const drawArms = () => {
  const { rows, words } = data.arms;
  if (!rows.length) return empty("No call in this time belongs to an arm of an experiment.");
  return [
    table({
      caption: "Arms of experiments compared",
      rows,
      key: (row) => keyText(row.arm),
      chosen: (row) => isChosen("arm", row.arm),
      columns: [
        { label: "Arm", cell: (row) => [pick("arm", row.arm), doubtNote(row)] },
        {
          label: "Calls",
          num: true,
          cell: (row) => [
            count(row.calls),
            row.tries > row.calls && el("small", {}, plural(row.tries, "try", "tries")),
          ],
        },
        {
          label: "Cost per call",
          num: true,
          cell: (row) => (row.mean === null ? "unknown" : usd(row.mean)),
          exact: (row) => row.mean && exactUsd(row.mean),
        },
        {
          label: "95 % interval",
          num: true,
          cell: (row) => (row.low === null ? "too few" : `${usd(row.low)} to ${usd(row.high)}`),
        },
        { label: "Duration p50", num: true, cell: (row) => seconds(row.duration_s.p50) },
        { label: "p95", num: true, cell: (row) => seconds(row.duration_s.p95) },
        { label: "First token p50", num: true, cell: (row) => seconds(row.ttft_s.p50) },
        { label: "Failed", num: true, cell: (row) => percent(row.failed, row.calls) },
        {
          label: "95 % interval",
          num: true,
          cell: (row) =>
            row.failed_low === null ? "–" : `${row.failed_low} to ${row.failed_high} %`,
        },
      ],
    }),
    words.map((line) => el("p", { class: "hint", "data-key": line }, line)),
  ];
};

/** A figure, and below it the interval that holds it 95 times of 100. */
const figure = (row, name, tell) => {
  const [value, low, high] = ["value", "low", "high"].map((end) => row[`${name}_${end}`]);
  if (value === null) return "–";
  const end = (one) => (one === null ? "?" : tell(one));
  return [tell(value), el("small", {}, `${end(low)} to ${end(high)}`)];
};

const share = (value) => `${(100 * value).toFixed(1)} %`;

const comparedRows = (run, rows) =>
  table({
    caption: `Comparison of ${run.made_at}`,
    rows: rows.filter((row) => row.run_id === run.run_id),
    key: (row) => keyText(row.model),
    chosen: (row) => isChosen("arm", row.model),
    columns: [
      { label: "Model", cell: (row) => pick("arm", row.model) },
      { label: "Calls", num: true, cell: (row) => count(row.calls) },
      ...[
        ["First token p50", "ttft_s_p50", seconds],
        ["p95", "ttft_s_p95", seconds],
        ["Latency p50", "latency_s_p50", seconds],
        ["p95", "latency_s_p95", seconds],
        ["Tokens/s p50", "output_tokens_per_s_p50", rate],
      ].map(([label, name, tell]) => ({
        label,
        num: true,
        cell: (row) => figure(row, name, tell),
      })),
      {
        label: "1,000 calls",
        num: true,
        cell: (row) => [
          row.cost_per_1000_usd === null
            ? "unknown"
            : `${isPartial(row) ? "≥ " : ""}${usd(row.cost_per_1000_usd)}`,
          row.estimated_calls > 0 &&
            el("small", { class: "doubt" }, `${count(row.estimated_calls)} estimated`),
        ],
        exact: (row) => row.cost_per_1000_usd && exactUsd(row.cost_per_1000_usd),
      },
      { label: "Failed", num: true, cell: (row) => percent(row.failed, row.calls) },
      run.judge !== null && {
        label: "Agreement",
        num: true,
        cell: (row) => figure(row, "agreement", share),
      },
    ].filter(Boolean),
  });

const drawComparisons = () => {
  const { runs, rows, more } = data.comparisons;
  if (!runs.length)
    return empty(
      state.filters.arm || state.filters.session
        ? "No comparison in this time has such an arm and session."
        : "No comparison in this time. Make one: cerebras-ext compare --ledger ...",
    );
  return [
    runs.map((run) =>
      el(
        "section",
        { class: "card", "data-key": run.run_id },
        el(
          "header",
          {},
          el("h3", {}, `${time(run.made_at, 16)} UTC`),
          el(
            "span",
            { class: "count" },
            [
              `${plural(run.prompts, "prompt")} × ${count(run.repeat)}`,
              run.judge && `judged by ${readable(run.judge)}`,
              !run.complete && "not complete",
            ]
              .filter(Boolean)
              .join(", "),
          ),
          pick("session", run.session),
        ),
        comparedRows(run, rows),
        run.notes.map((note) => el("p", { class: "hint", "data-key": note }, spelt(note))),
      ),
    ),
    el(
      "p",
      { class: "hint", "data-key": "how" },
      "Below a figure is its 95 % interval. Of the filters, time, arm and session hold here.",
      more ? " Older comparisons are not shown." : "",
    ),
  ];
};

const FLAG_WORDS = { unpriced: "no known price", estimated: "estimated", no_usage: "no usage" };

const drawRecords = () => {
  const { rows, offset, more } = data.records;
  if (!rows.length) return empty(offset ? "No older calls." : "No calls in this time.");
  const secondary = (...texts) => {
    const found = texts.filter(Boolean);
    return found.length > 0 && el("small", {}, found.join(" · "));
  };
  return [
    table({
      caption: "Newest calls",
      className: "calls",
      rows,
      key: (row) => row.record_id,
      columns: [
        { label: "Time (UTC)", cell: (row) => time(row.started_at) },
        {
          label: "Model",
          cell: (row) => [
            pick("model", row.model),
            secondary(
              row.provider !== "cerebras" && readable(row.provider),
              row.stream && "stream",
              row.service_tier && readable(row.service_tier),
            ),
          ],
        },
        {
          label: "Cost",
          num: true,
          exact: (row) => row.cost && exactUsd(row.cost),
          cell: (row) => [
            row.cost === null
              ? row.outcome === "cache_hit"
                ? "free"
                : "unknown"
              : `${row.flags.includes("estimated") ? "~ " : ""}${usd(row.cost)}`,
            row.flags.length > 0 &&
              el("small", { class: "doubt" }, row.flags.map((flag) => FLAG_WORDS[flag]).join(", ")),
          ],
        },
        {
          label: "Outcome",
          cell: (row) => [
            el("span", { class: `outcome ${row.outcome}` }, row.outcome.replace("_", " ")),
            secondary(
              row.error_type && readable(row.error_type),
              row.attempts > 1 && `try ${row.attempts}`,
              row.router_so_far && `router: ${row.router_so_far} before`,
            ),
          ],
        },
        {
          label: "Prompt",
          num: true,
          cell: (row) => [
            row.input_tokens === null ? "–" : count(row.input_tokens),
            secondary(row.cached_input_tokens && `${count(row.cached_input_tokens)} cached`),
          ],
        },
        {
          label: "Output",
          num: true,
          cell: (row) => [
            row.output_tokens === null ? "–" : count(row.output_tokens),
            secondary(row.reasoning_tokens && `${count(row.reasoning_tokens)} reasoning`),
          ],
        },
        { label: "First token", num: true, cell: (row) => seconds(row.ttft_s) },
        { label: "Duration", num: true, cell: (row) => seconds(row.duration_s) },
        {
          label: "For",
          cell: (row) => [
            row.user === null ? "" : pick("user", row.user),
            secondary(row.session && `session ${readable(row.session)}`),
          ],
        },
        {
          label: "Where",
          cell: (row) => [
            row.node === null ? "" : pick("node", row.node),
            row.tags.length > 0 &&
              el(
                "span",
                { class: "tags" },
                row.tags.map((tag) => pick("tag", tag)),
              ),
            secondary(row.arm && `arm ${readable(row.arm)}`),
          ],
        },
      ],
    }),
    el(
      "nav",
      { class: "pager", "aria-label": "Pages of calls" },
      button("newer", "Newer", { disabled: offset === 0 }),
      el("span", {}, `${count(offset + 1)} to ${count(offset + rows.length)}`),
      button("older", "Older", { disabled: !more }),
    ),
  ];
};
