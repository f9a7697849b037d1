// What is looked at lives in the address, so that links, reloads and the back button
// work. What the server is asked has the same names.

const SPLITS = {
  model: "Model",
  provider: "Provider",
  user: "User",
  tag: "Tag",
  node: "Node",
  arm: "Arm",
  session: "Session",
  outcome: "Outcome",
  error_type: "Error",
};
const RANGES = {
  "1h": "1 hour",
  "24h": "24 hours",
  "7d": "7 days",
  "30d": "30 days",
  "90d": "90 days",
  "12m": "12 months",
  all: "All",
};
const MEASURES = { cost: "Spend", calls: "Calls", tokens: "Tokens" };
const UNKNOWN = { outcome: "none", error_type: "no error" };

const NAME_MAX = 90;

/** A text with what has no form of its own, or turns the line around, written out. */
const spelt = (text) =>
  text.replace(
    /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
    (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`,
  );

/** A name as it can be read; a very long one is cut in its middle. */
const readable = (text) => {
  const plain = spelt(text);
  const letters = [...plain];
  return letters.length <= NAME_MAX
    ? plain
    : `${letters.slice(0, 60).join("")}…${letters.slice(-20).join("")}`;
};

/** The server takes no longer ones in a filter: an address has its bounds. */
const VALUE_MAX = 1000;
const isTooLong = (value) => value !== null && [...value].length > VALUE_MAX;

const nameOf = (split, value) =>
  value === null ? UNKNOWN[split] || "not known" : value === "" ? "(empty)" : readable(value);

const state = {
  range: "30d",
  since: "",
  until: "",
  filters: {}, // split -> values; null is "not known"
  by: "model",
  measure: "cost",
};
// Not in the address: it says nothing about what is looked at.
const view = { limits: {}, sorts: {}, offset: 0, on: [], paused: false, open: null, find: "" };

const readAddress = () => {
  const query = new URLSearchParams(location.search);
  const custom = query.has("since") || query.has("until");
  const range = query.get("range");
  state.range = custom ? "custom" : Object.hasOwn(RANGES, range) ? range : "30d";
  state.since = query.get("since") || "";
  state.until = query.get("until") || "";
  state.filters = {};
  for (const split of Object.keys(SPLITS)) {
    const values = [...new Set(query.getAll(split))];
    if (query.getAll("no").includes(split)) values.push(null);
    if (values.length) state.filters[split] = values;
  }
  const by = query.get("by");
  state.by = Object.hasOwn(SPLITS, by) && by !== "session" ? by : "model";
  const measure = query.get("measure");
  state.measure = Object.hasOwn(MEASURES, measure) ? measure : "cost";
  view.offset = 0;
};

/** Times and filters, as the server takes them. */
const filterQuery = () => {
  const query = new URLSearchParams();
  if (state.range === "custom") {
    query.set("range", "custom");
    if (state.since) query.set("since", state.since);
    if (state.until) query.set("until", state.until);
  } else {
    query.set("range", state.range);
  }
  for (const [split, values] of Object.entries(state.filters)) {
    for (const value of values)
      query.append(value === null ? "no" : split, value === null ? split : value);
  }
  return query;
};

const writeAddress = (replace) => {
  const query = filterQuery();
  if (state.range === "30d") query.delete("range");
  if (state.range === "custom" && (state.since || state.until)) query.delete("range");
  if (state.by !== "model") query.set("by", state.by);
  if (state.measure !== "cost") query.set("measure", state.measure);
  const text = query.toString();
  const address = text ? `?${text}` : location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", address);
};

const isChosen = (split, value) => (state.filters[split] || []).includes(value);

const toggleFilter = (split, value) => {
  const before = state.filters[split] || [];
  const after = isChosen(split, value) ? before.filter((one) => one !== value) : [...before, value];
  if (after.length) state.filters[split] = after;
  else delete state.filters[split];
};

/** An address of data, relative to the page. */
const address = (path, extra = {}, { filtered = true } = {}) => {
  const query = filtered ? filterQuery() : new URLSearchParams();
  for (const [name, value] of Object.entries(extra)) {
    for (const one of [value].flat()) query.append(name, String(one));
  }
  const text = query.toString();
  return `api/${path}${text ? `?${text}` : ""}`;
};
