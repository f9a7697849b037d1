// Numbers and times as people read them. Money arrives as decimal text and is never
// made a binary fraction for what is read; drawing alone uses `Number`.

const SCALE = 12; // digits after the point: the ledger's smallest amount
const UNIT = 10n ** BigInt(SCALE);

/** Decimal text to whole units of 1e-12 USD. */
const toUnits = (text) => {
  const minus = text.startsWith("-");
  const [whole, part = ""] = text.replace("-", "").split(".");
  const digits = (part + "0".repeat(SCALE)).slice(0, SCALE);
  const units = BigInt(whole || "0") * UNIT + BigInt(digits);
  return minus ? -units : units;
};

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");

/** Units, whatever their sign, rounded half up to some digits after the point. */
const digits = (units, places) => {
  const step = 10n ** BigInt(SCALE - places);
  const rounded = ((units < 0n ? -units : units) + step / 2n) / step;
  const text = rounded.toString().padStart(places + 1, "0");
  const cut = text.length - places;
  return places ? `${text.slice(0, cut)}.${text.slice(cut)}` : text;
};

/** The same as people read it. */
const fixed = (units, places) => {
  const [whole, part] = digits(units, places).split(".");
  const shown = part ? `${grouped(whole)}.${part}` : grouped(whole);
  return units < 0n && /[1-9]/.test(shown) ? `−${shown}` : shown;
};

/** How many digits show about three that count, and never fewer than cents. */
const placesFor = (units) => {
  const size = units < 0n ? -units : units;
  if (size === 0n || size >= UNIT) return 2;
  const zeros = SCALE - size.toString().length;
  return Math.min(SCALE, Math.max(2, zeros + 3));
};

const usd = (text) => {
  const units = toUnits(text);
  // Rounded, 0.99996 is 1, which has fewer digits.
  const shown = fixed(units, placesFor(toUnits(digits(units, placesFor(units)))));
  return shown.startsWith("−") ? `−$${shown.slice(1)}` : `$${shown}`;
};

const signedUsd = (units) => {
  const shown = usd(fromUnits(units));
  return units > 0n ? `+${shown}` : shown;
};

const fromUnits = (units) => {
  const minus = units < 0n;
  const text = (minus ? -units : units).toString().padStart(SCALE + 1, "0");
  const cut = text.length - SCALE;
  return `${minus ? "-" : ""}${text.slice(0, cut)}.${text.slice(cut)}`;
};

/** All digits of an amount, for whoever wants to add up by hand. */
const exactUsd = (text) => {
  const [whole, part = ""] = text.split(".");
  const trimmed = part.replace(/0+$/, "");
  return `${whole}${trimmed ? `.${trimmed}` : ""} USD`;
};

const count = (number) => grouped(String(number));

const SIZES = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "k"],
];

/** A large number in short, as 1.2 M. */
const short = (number) => {
  for (const [size, name] of SIZES) {
    if (Math.abs(number) >= size * 0.9995) {
      const scaled = number / size;
      return `${scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)} ${name}`;
    }
  }
  return count(number);
};

const seconds = (value) => {
  if (value === null || value === undefined) return "–";
  if (value < 0.9995) return `${(value * 1000).toFixed(value < 0.00995 ? 1 : 0)} ms`;
  return value < 99.95 ? `${value.toFixed(2)} s` : `${count(Math.round(value))} s`;
};

const rate = (value) => (value === null || value === undefined ? "–" : count(Math.round(value)));

/** A share of a whole; `–` where there is no whole. */
const percent = (part, whole) => {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  if (part && share < 0.1) return "< 0.1 %";
  if (part !== whole && share > 99.9) return "> 99.9 %";
  return `${share.toFixed(share === 100 || share === 0 ? 0 : 1)} %`;
};

const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** An ISO time as `2026-11-21 16:30:05`, always in UTC. */
const time = (iso, digits = 19) => iso.slice(0, digits).replace("T", " ");

const bucketName = (iso, bucket) =>
  bucket === "hour" ? `${time(iso, 16)} UTC` : iso.slice(0, bucket === "day" ? 10 : 7);

const bucketTick = (iso, bucket) => {
  if (bucket === "hour")
    return iso.slice(11, 13) === "00" ? iso.slice(5, 10) : `${iso.slice(11, 13)}:00`;
  return bucket === "day" ? iso.slice(5, 10) : iso.slice(0, 7);
};

const list = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

/** Calls that neither the service nor anybody here has counted. */
const uncounted = (totals) =>
  totals.uncounted_calls ?? Math.max(totals.calls_without_usage - totals.estimated_calls, 0);

/** What is not certain of a total, in words; empty where all is certain. */
const doubts = (totals) => {
  const found = [];
  const unpriced = totals.unpriced_calls;
  if (unpriced) found.push(`${plural(unpriced, "call")} without a known price`);
  const silent = uncounted(totals);
  if (silent) found.push(`${plural(silent, "call")} without usage from the service`);
  const guessed = totals.estimated_calls;
  if (guessed) found.push(`${plural(guessed, "call")} estimated, the service not having counted`);
  return list(found);
};

/** The same in as few words as a row has room for. */
const briefDoubts = (totals) =>
  [
    [totals.unpriced_calls, "unpriced"],
    [uncounted(totals), "without usage"],
    [totals.estimated_calls, "estimated"],
  ]
    .filter(([number]) => number)
    .map(([number, words]) => `${count(number)} ${words}`)
    .join(", ");

/** An amount on an axis: no more digits than the step between two lines needs. */
const axisUsd = (value, step) => {
  let places = 0;
  while (places < SCALE && Math.abs(step * 10 ** places - Math.round(step * 10 ** places)) > 1e-6)
    places += 1;
  return `$${fixed(toUnits(value.toFixed(SCALE)), places === 1 ? 2 : places)}`;
};

/** Whether more was spent than a total says: then it is a lower bound. */
const isPartial = (totals) => totals.unpriced_calls > 0 || uncounted(totals) > 0;

/** A total of money, marked as in the commands: never a plain zero where a price is missing. */
const spend = (totals) => {
  if (isPartial(totals))
    return toUnits(totals.cost) === 0n ? "unknown" : `≥ ${usd(totals.cost)}`;
  return `${totals.estimated_calls ? "~ " : ""}${usd(totals.cost)}`;
};

/** What caches have saved: without a price nobody knows what their tokens are worth. */
const saving = (totals) => {
  const shown = usd(totals.cache_savings);
  if (!isPartial(totals) || !totals.cached_input_tokens) return shown;
  return spend(totals) === "unknown" ? "unknown" : `≥ ${shown}`;
};
