// What is asked for, when it is drawn, and what happens when somebody does something.

const POLL_MS = 2000;
const SLIDE_MS = 60_000; // ranges that end now move on, records or not
const SLOW_MS = 300;

// ------------------------------------------------------------------------- sources

// In the order in which they are asked for: what is at the top, then what takes longest.
const sources = {
  overview: () => address("overview"),
  series: () => address("series", { by: state.by }),
  outcomes: () => address("groups", { by: "outcome", limit: 10 }),
  errors: () => address("groups", { by: "error_type", limit: 20, sort: "calls" }),
  ...Object.fromEntries(
    GROUPS.map((split) => [`by ${split}`, () => address("groups", groupQuery(split))]),
  ),
  whatif: () => address("whatif", view.on.length ? { on: view.on } : {}),
  budgets: () => address("budgets", {}, { filtered: false }),
  records: () => address("records", { limit: PAGE_ROWS, offset: view.offset }),
  latency: () => address("latency", { by: "model" }),
  arms: () => address("arms"),
  comparisons: () => address("comparisons"),
};

const failures = {}; // source -> what went wrong
const shownFor = {}; // source -> the address that `data` is the answer to
const underWay = new Map(); // source -> what stops the request

class Refused extends Error {}

const ask = async (path, signal) => {
  const answer = await fetch(path, { signal, headers: { accept: "application/json" } });
  if (answer.ok) return answer.json();
  let message = `The server answered ${answer.status}.`;
  try {
    message = (await answer.json()).error.message || message;
  } catch {
    // It was no answer of ours: the status says enough.
  }
  throw Object.assign(new Refused(message), { status: answer.status });
};

/** Ask for one source; an older request for it is dropped. */
const load = async (name) => {
  const path = sources[name]();
  underWay.get(name)?.abort();
  const stop = new AbortController();
  underWay.set(name, stop);
  try {
    data[name] = await ask(path, stop.signal);
    shownFor[name] = path;
    delete failures[name];
    troubled("");
  } catch (error) {
    if (stop.signal.aborted) return;
    // What is there answers another question: it must not stand below these filters.
    if (shownFor[name] !== path) delete data[name];
    failures[name] = error instanceof Refused ? error.message : "The server cannot be reached.";
    troubled(troubleOf(error));
  } finally {
    if (underWay.get(name) === stop) underWay.delete(name);
  }
  if (stop.signal.aborted) return;
  try {
    drawFor(name);
  } catch (error) {
    console.error(error); // one panel's fault is not the others'
  }
};

/** Ask for sources; whoever waits learns when all are there. */
const refresh = async (names) => {
  for (const name of names) due.delete(name);
  const slow = setTimeout(markWaiting, SLOW_MS);
  await Promise.all(names.map(load));
  clearTimeout(slow);
  markWaiting();
};

// What is far below is asked for once somebody gets near it: a filter need not wait for
// what nobody sees.
const near = new Set();
const due = new Set(); // sources that are behind what is looked at

// The overview decides what is on the page at all.
const isNear = (source) =>
  source === "overview" ||
  Object.entries(panels).some(([id, panel]) => panel.needs.includes(source) && near.has(id));

/** Ask for all that can be seen; the rest is due. */
const refreshAll = () => {
  for (const [name, request] of underWay) {
    if (shownFor[name] !== sources[name]()) request.abort();
  }
  for (const name of Object.keys(sources)) due.add(name);
  const asked = refresh([...due].filter(isNear));
  markDue();
  return asked;
};

const watchPlaces = () => {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) near.add(target.id);
        else near.delete(target.id);
      }
      const names = [...due].filter(isNear);
      if (names.length) refresh(names);
    },
    { rootMargin: "60% 0px" },
  );
  for (const id of Object.keys(panels)) watcher.observe(byId(id));
};

const markWaiting = () => {
  for (const [id, panel] of Object.entries(panels)) {
    const waits = panel.needs.some((name) => underWay.has(name));
    byId(id).setAttribute("aria-busy", String(waits));
  }
  markDue();
};

const markDue = () => {
  for (const [id, panel] of Object.entries(panels)) {
    byId(id).toggleAttribute(
      "data-due",
      panel.needs.some((name) => due.has(name)),
    );
  }
};

// -------------------------------------------------------------------------- drawing

const panels = {
  summary: { needs: ["overview"], draw: drawSummary },
  spend: {
    needs: ["series"],
    draw: drawSpend,
    csv: () => ["series", { by: state.by }, "spend over time"],
  },
  groups: { needs: GROUPS.map((split) => `by ${split}`), draw: drawGroups, parts: true },
  tokens: {
    needs: ["series", "by model"],
    draw: drawTokens,
    csv: () => ["groups", groupQuery("model"), "tokens by model"],
  },
  latency: {
    needs: ["latency"],
    draw: drawLatency,
    csv: () => ["latency", { by: "model" }, "speed by model"],
  },
  failures: { needs: ["series", "outcomes", "errors"], draw: drawFailures },
  whatif: {
    needs: ["whatif", "overview"],
    draw: drawWhatIf,
    csv: () => ["whatif", view.on.length ? { on: view.on } : {}, "what-if prices"],
  },
  arms: { needs: ["arms"], draw: drawArms, csv: () => ["arms", {}, "the comparison of arms"] },
  comparisons: {
    needs: ["comparisons"],
    draw: drawComparisons,
    csv: () => ["comparisons", {}, "the comparisons of models"],
  },
  budgets: { needs: ["budgets"], draw: drawBudgets, csv: () => ["budgets", {}, "budgets"] },
  records: {
    needs: ["records"],
    draw: drawRecords,
    csv: () => ["records", { limit: PAGE_ROWS, offset: view.offset }, "these calls"],
  },
};

const drawPanel = (id) => {
  const panel = panels[id];
  const broken = panel.needs.filter((name) => failures[name]);
  const here = panel.needs.filter((name) => data[name]);
  const notice =
    broken.length > 0 &&
    el(
      "p",
      { class: "notice", role: "alert", "data-key": "notice" },
      [...new Set(broken.map((name) => failures[name]))].join(" "),
      " ",
      button("retry", "Try again", { "data-panel": id }),
    );
  const ready = panel.parts ? here.length > 0 : here.length === panel.needs.length;
  if (!ready && !notice) return;
  const place = byId(id);
  show(place.querySelector(".body"), notice, ready && panel.draw());
  const link = panel.csv && place.querySelector("[data-csv]");
  if (link) link.href = csvLink(...panel.csv()).getAttribute("href");
};

const drawFor = (source) => {
  for (const [id, panel] of Object.entries(panels)) {
    if (panel.needs.includes(source)) drawPanel(id);
  }
  if (source === "overview" && data.overview) drawEdges();
};

const drawAll = () => Object.keys(panels).forEach(drawPanel);

/** The times that are looked at, and what to do about an empty ledger. */
const drawEdges = () => {
  const { since, until, first, ledger } = data.overview;
  const from = since || first;
  const words = from ? `${time(from, 16)} to ${until ? time(until, 16) : "now"} (UTC)` : "";
  show(byId("times"), words);
  byId("how-to").hidden = first !== null;
  byId("panels").hidden = first === null;
  byId("ledger").textContent = ledger;
  byId("how-to-url").textContent = JSON.stringify(ledger);
  if (first !== null && byId("panels").dataset.drawn !== "yes") {
    // Charts are as wide as their place, which had no width while it was hidden.
    byId("panels").dataset.drawn = "yes";
    drawAll();
  }
};

// ------------------------------------------------------------------------- filters

const drawControls = () => {
  show(
    byId("ranges"),
    Object.entries(RANGES).map(([name, label]) =>
      button("range", label, {
        "data-value": name,
        "data-key": name,
        "aria-pressed": String(state.range === name),
      }),
    ),
    button("custom", "Custom", {
      "data-key": "custom",
      "aria-pressed": String(state.range === "custom"),
      "aria-expanded": String(view.custom),
      "aria-controls": "custom",
    }),
  );
  byId("custom").hidden = !view.custom;
  show(
    byId("splits"),
    Object.entries(SPLITS).map(([split, label]) => {
      const chosen = (state.filters[split] || []).length;
      return button("open", [label, chosen > 0 && el("span", { class: "badge" }, chosen)], {
        "data-key": split,
        "data-split": split,
        "aria-expanded": String(view.open === split),
        "aria-haspopup": "dialog",
      });
    }),
  );
  const chips = Object.entries(state.filters).flatMap(([split, values]) =>
    values.map((value) =>
      button(
        "pick",
        [
          el("span", {}, `${SPLITS[split]}: `),
          nameOf(split, value),
          el("span", { "aria-hidden": "true" }, " ×"),
        ],
        {
          class: "chip",
          "data-key": `chip-${split}-${keyText(value)}`,
          "data-split": split,
          "data-value": value,
          "aria-label": `Remove the filter ${SPLITS[split]}: ${nameOf(split, value)}`,
        },
      ),
    ),
  );
  show(
    byId("chips"),
    chips,
    chips.length > 1 && button("clear", "Clear all", { class: "quiet", "data-key": "clear" }),
  );
  byId("by").value = state.by;
  byId("measure").value = state.measure;
};

let valuesStop = null;

const drawValues = async () => {
  const split = view.open;
  const place = byId("values");
  if (!split) return;
  valuesStop?.abort();
  valuesStop = new AbortController();
  let found = { rows: [] };
  let problem = "";
  try {
    found = await ask(
      address("values", { by: split, find: view.find, limit: 50 }),
      valuesStop.signal,
    );
  } catch (error) {
    if (error.name === "AbortError") return;
    problem = error instanceof Refused ? error.message : "The server cannot be reached.";
  }
  if (view.open !== split) return;
  const offered = found.rows.map((row) => row.key);
  const chosen = (state.filters[split] || []).filter(
    (value) => !offered.includes(value) && !view.find,
  );
  const typed = found.newest && view.find && !offered.includes(view.find) ? view.find : null;
  const line = (value, calls) =>
    el(
      "li",
      { "data-key": keyText(value) },
      el(
        "label",
        {},
        el("input", {
          type: "checkbox",
          "data-act": "choose",
          "data-split": split,
          "data-value": value,
          checked: isChosen(split, value),
          disabled: isTooLong(value) && !isChosen(split, value),
        }),
        el("span", { class: value === null ? "name unknown" : "name" }, nameOf(split, value)),
        calls !== null && el("span", { class: "num" }, short(calls)),
      ),
    );
  show(
    place,
    problem && el("li", { class: "notice" }, problem),
    chosen.map((value) => line(value, null)),
    found.rows.map((row) => line(row.key, row.calls)),
    !offered.length &&
      !chosen.length &&
      !problem &&
      typed === null &&
      el(
        "li",
        { class: "empty" },
        view.find ? "No such value in this time." : "No values in this time.",
      ),
    found.more && el("li", { class: "hint" }, "More: type a part of the name."),
    found.newest &&
      el(
        "li",
        { class: "hint" },
        `Those of the newest ${count(found.newest)} calls; type any other whole.`,
      ),
    typed !== null && line(typed, null),
  );
};

const openFilter = (split, opener) => {
  view.open = split;
  view.find = "";
  drawControls();
  const dialog = byId("picker");
  byId("picker-title").textContent = `${SPLITS[split]}: show only`;
  byId("find").value = "";
  show(byId("values"), el("li", { class: "empty" }, "Loading…"));
  const place = opener.getBoundingClientRect();
  dialog.style.setProperty("--left", `${Math.max(8, Math.min(place.left, innerWidth - 340))}px`);
  dialog.style.setProperty("--top", `${place.bottom + 6}px`);
  if (!dialog.open) dialog.showModal();
  byId("find").focus();
  drawValues();
};

const closeFilter = () => {
  const split = view.open;
  view.open = null;
  valuesStop?.abort();
  drawControls();
  byId("splits").querySelector(`[data-split="${split}"]`)?.focus();
};

/** Something else is looked at: the address says so, and everything is asked for. */
const change = (work) => {
  work();
  view.offset = 0;
  writeAddress();
  drawControls();
  return refreshAll();
};

/** Panels above have grown or shrunk: what was pressed is still there to be seen. */
const keepInSight = () => {
  const focused = document.activeElement;
  if (byId("panels").contains(focused)) focused.scrollIntoView({ block: "nearest" });
};

// ----------------------------------------------------------------------------- live

let revision = null;
let askedAt = 0;
let loadedAt = 0; // when all of it was there
let trouble = ""; // why nothing new can be had, in words
let busy = false;

const troubleOf = (error) => {
  if (!(error instanceof Refused)) return "The server cannot be reached";
  return error.status === 503 ? "The ledger cannot be read" : "";
};

const troubled = (words) => {
  if (words !== trouble) {
    const was = trouble;
    trouble = words;
    drawStatus();
    byId("said").textContent = words ? byId("status").textContent : `No more: ${was}`;
  }
};

const drawStatus = () => {
  const status = byId("status");
  status.className = trouble ? "lost" : view.paused ? "paused" : "live";
  const at = loadedAt ? `, as of ${new Date(loadedAt).toISOString().slice(11, 19)} UTC` : "";
  status.textContent = trouble
    ? `${trouble}; trying again.`
    : `${view.paused ? "Paused" : "Live"}${at}`;
  const pause = byId("pause");
  pause.textContent = view.paused ? "Go on" : "Pause";
  pause.setAttribute("aria-pressed", String(view.paused));
};

const update = async () => {
  busy = true;
  const began = performance.now();
  await refreshAll().finally(() => (busy = false));
  askedAt = Date.now();
  if (!Object.keys(failures).length) loadedAt = askedAt;
  drawStatus();
  return performance.now() - began;
};

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const watch = async () => {
  for (;;) {
    await wait(POLL_MS);
    if (view.paused || document.hidden || busy) continue;
    try {
      const now = await ask("api/revision");
      troubled("");
      const moved = revision !== null && now.revision !== revision;
      revision = now.revision;
      const slides = state.range !== "custom" && Date.now() - askedAt > SLIDE_MS;
      const failed = Object.keys(failures);
      // A slow ledger is not asked all the time.
      if (moved || slides) await wait(Math.min(30_000, 3 * (await update())));
      else if (failed.length) {
        await refresh(failed);
        if (!Object.keys(failures).length) loadedAt = Date.now();
        drawStatus();
      }
    } catch (error) {
      troubled(troubleOf(error));
      if (error.status === 401) location.reload();
    }
  }
};

// -------------------------------------------------------------------------- actions

const valueOf = (node) =>
  node.hasAttribute("data-value") ? node.getAttribute("data-value") : null;

const actions = {
  range: (node) => {
    view.custom = false;
    change(() => Object.assign(state, { range: valueOf(node), since: "", until: "" }));
  },
  custom: () => {
    view.custom = !view.custom;
    drawControls();
    if (!view.custom) return;
    const { since, until, first } = data.overview || {};
    byId("since").value = (since || first || "").slice(0, 16);
    byId("until").value = (until || "").slice(0, 16);
    byId("since").focus();
  },
  open: (node) => openFilter(node.dataset.split, node),
  close: () => byId("picker").close(),
  pick: (node) =>
    change(() => toggleFilter(node.dataset.split, valueOf(node))).then(keepInSight),
  choose: (node) => change(() => toggleFilter(node.dataset.split, valueOf(node))),
  clear: () => change(() => (state.filters = {})),
  sort: (node) => {
    const split = node.dataset.table;
    view.sorts[split] = valueOf(node);
    refresh([`by ${split}`]);
  },
  more: (node) => {
    const { split } = node.dataset;
    view.limits[split] = view.limits[split] ? undefined : GROUP_ALL;
    refresh([`by ${split}`]);
  },
  newer: () => {
    view.offset = Math.max(0, view.offset - PAGE_ROWS);
    refresh(["records"]);
  },
  older: () => {
    view.offset += PAGE_ROWS;
    refresh(["records"]);
  },
  retry: (node) => refresh(panels[node.dataset.panel].needs),
  pause: () => {
    view.paused = !view.paused;
    drawStatus();
    if (!view.paused) update();
  },
  theme: () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]),
};

const forms = {
  custom: (form) => {
    const since = form.elements.since.value;
    const until = form.elements.until.value;
    const wrong = since && until && since >= until;
    byId("custom-problem").textContent = wrong ? "The first time must be before the second." : "";
    if (!wrong)
      change(() =>
        Object.assign(state, { range: since || until ? "custom" : "all", since, until }),
      );
  },
  "what-if": (form) => {
    const model = form.elements.on.value.trim();
    if (!model) return;
    view.on = [...new Set([...view.on, model])].slice(-8);
    form.reset();
    refresh(["whatif"]);
  },
};

document.addEventListener("click", (event) => {
  const node = event.target.closest("[data-act]");
  if (node && node.nodeName === "BUTTON" && !node.disabled) actions[node.dataset.act](node);
});

document.addEventListener("change", (event) => {
  const node = event.target;
  if (node.dataset.act === "choose") actions.choose(node);
  if (node.id === "by" || node.id === "measure") {
    state[node.id] = node.value;
    writeAddress(true);
    if (node.id === "by") refresh(["series"]);
    else drawPanel("spend");
  }
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  forms[event.target.dataset.act](event.target);
});

let findLater = 0;
byId("find").addEventListener("input", (event) => {
  view.find = event.target.value;
  clearTimeout(findLater);
  findLater = setTimeout(drawValues, 150);
});

const picker = byId("picker");
picker.addEventListener("close", closeFilter);
picker.addEventListener("click", (event) => {
  if (event.target === picker) picker.close(); // beside it
});

addEventListener("popstate", () => {
  readAddress();
  drawControls();
  refreshAll();
});

// --------------------------------------------------------------------------- charts

const tip = byId("tip");

const zoom = (chart, at) => {
  const since = chart.times[at];
  const end = new Date(since);
  if (chart.bucket === "hour") return;
  if (chart.bucket === "day") end.setUTCDate(end.getUTCDate() + 1);
  else end.setUTCMonth(end.getUTCMonth() + 1);
  const text = (iso) => iso.slice(0, 16);
  change(() =>
    Object.assign(state, { range: "custom", since: text(since), until: text(end.toISOString()) }),
  );
};

const showTip = (svg, at) => {
  const chart = charts.get(svg.dataset.chart);
  const group = chart && svg.querySelector(`.bar[data-at="${at}"]`);
  if (!group) return;
  for (const other of svg.querySelectorAll(".bar.on")) other.classList.remove("on");
  group.classList.add("on");
  show(tip, ...barNotes(chart, at));
  tip.hidden = false;
  const place = group.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = place.left + place.width / 2 + 12;
  const flipped = left + width > innerWidth - 8;
  tip.style.left = `${Math.max(8, flipped ? place.left + place.width / 2 - width - 12 : left)}px`;
  tip.style.top = `${Math.max(8, Math.min(place.top, innerHeight - height - 8))}px`;
};

const hideTip = () => {
  tip.hidden = true;
  for (const bar of document.querySelectorAll(".bar.on")) bar.classList.remove("on");
};

const barAt = (event) => event.target.closest?.(".bar");

document.addEventListener("pointermove", (event) => {
  const found = barAt(event);
  if (found) showTip(found.ownerSVGElement, Number(found.dataset.at));
  else if (!tip.hidden && document.activeElement?.nodeName !== "svg") hideTip();
});

document.addEventListener("click", (event) => {
  const found = barAt(event);
  // A finger reads with the first touch; the mouse has read by pointing.
  if (found && event.detail === 2)
    zoom(charts.get(found.ownerSVGElement.dataset.chart), Number(found.dataset.at));
});

document.addEventListener("keydown", (event) => {
  const svg = event.target;
  if (!(svg instanceof SVGSVGElement) || !svg.dataset.chart) return;
  const chart = charts.get(svg.dataset.chart);
  const last = chart.times.length - 1;
  const on = svg.querySelector(".bar.on");
  const at = on ? Number(on.dataset.at) : null;
  const moves = {
    ArrowRight: at === null ? 0 : Math.min(last, at + 1),
    ArrowLeft: at === null ? last : Math.max(0, at - 1),
    Home: 0,
    End: last,
  };
  if (event.key in moves) {
    event.preventDefault();
    showTip(svg, moves[event.key]);
    byId("said").textContent = barWords(chart, moves[event.key]);
  } else if (event.key === "Enter" && at !== null) {
    zoom(chart, at);
  } else if (event.key === "Escape") {
    hideTip();
  }
});

document.addEventListener("focusout", (event) => {
  if (event.target instanceof SVGSVGElement) hideTip();
});
addEventListener("scroll", hideTip, { passive: true });

let drawnWidth = 0;
new ResizeObserver(() => {
  const width = byId("panels").clientWidth;
  if (width === drawnWidth || !width) return;
  drawnWidth = width;
  for (const id of charts.keys()) drawPanel(id);
}).observe(byId("panels"));

// The bar with the filters is as high as they need.
new ResizeObserver(() => {
  const height = byId("controls").offsetHeight;
  document.documentElement.style.setProperty("--controls", `${height}px`);
}).observe(byId("controls"));

// ---------------------------------------------------------------------------- theme

const THEMES = ["auto", "light", "dark"];
const kept = {
  get: () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // private windows may keep nothing
    }
  },
  set: (value) => {
    try {
      localStorage.setItem("theme", value);
    } catch {
      // It lasts until the page is left.
    }
  },
};
let theme = "auto";

const setTheme = (name) => {
  theme = THEMES.includes(name) ? name : "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" }[
    theme
  ];
  kept.set(theme);
};

// ---------------------------------------------------------------------------- start

setTheme(kept.get());
for (const [value, label] of Object.entries(SPLITS))
  if (value !== "session") byId("by").append(el("option", { value }, label.toLowerCase()));
for (const [value, label] of Object.entries(MEASURES))
  byId("measure").append(el("option", { value }, label));
view.custom = false;
readAddress();
drawControls();
drawStatus();
ask("api/revision").then(
  (now) => (revision = now.revision),
  (error) => troubled(troubleOf(error)),
);
near.add("summary").add("spend").add("groups"); // what a page begins with
update();
watchPlaces();
watch();
addEventListener("beforeprint", () => refresh([...due]));
