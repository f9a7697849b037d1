// Tables, tiles and notices: data to elements, nothing else.

const button = (act, text, more = {}) =>
  el("button", { type: "button", "data-act": act, ...more }, text);

const csvLink = (path, extra, what) =>
  el(
    "a",
    {
      class: "quiet",
      href: address(path, { ...extra, format: "csv" }),
      download: true,
      "aria-label": `Download ${what} as CSV`,
    },
    "CSV",
  );

const classOf = (column) =>
  [column.num && "num", column.extra && "extra"].filter(Boolean).join(" ") || null;

const empty = (text) => el("p", { class: "empty" }, text);

/**
 * A table: columns have a `label`, a `cell(row)`, and `num` for numbers.
 *
 * A row is marked as chosen where it is part of the filter.
 */
const table = ({ caption, columns, rows, key, chosen, className }) =>
  el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: className },
      el("caption", { class: "unseen" }, caption),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          columns.map((column) =>
            el(
              "th",
              {
                scope: "col",
                class: classOf(column),
                "aria-sort": column.sorted && "descending",
                title: column.title,
              },
              column.sort
                ? button("sort", column.label, {
                    "data-table": column.table,
                    "data-value": column.sort,
                    class: "head",
                    "aria-label": `Sort by ${column.label}`,
                  })
                : column.label,
            ),
          ),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            { "data-key": `row-${key(row)}`, class: chosen && chosen(row) && "chosen" },
            columns.map((column, index) =>
              el(
                index ? "td" : "th",
                {
                  class: classOf(column),
                  scope: index ? null : "row",
                  title: column.exact && column.exact(row),
                },
                column.cell(row),
              ),
            ),
          ),
        ),
      ),
    ),
  );

const keyText = (value) => (value === null ? "null" : `=${value}`);

/** A value that filters when it is pressed. */
const pick = (split, value) => {
  const act = isChosen(split, value) ? "Show others too" : "Show only these";
  const told = isTooLong(value) ? "Too long for a filter" : act;
  return button("pick", nameOf(split, value), {
    class: `pick${value === null ? " unknown" : ""}`,
    "data-split": split,
    "data-value": value === null ? null : value,
    "aria-pressed": String(isChosen(split, value)),
    disabled: isTooLong(value),
    title: `${told}${value === null ? "" : `: ${value}`}`,
  });
};

/** A bar as long as a share of a whole. */
const bar = (part, whole, color) =>
  el(
    "span",
    { class: "meter", "aria-hidden": "true" },
    el("span", { vars: { "--part": whole ? Math.min(1, part / whole) : 0, "--color": color } }),
  );

const doubtNote = (totals) => {
  const words = briefDoubts(totals);
  return words && el("small", { class: "doubt", title: `Not certain: ${doubts(totals)}.` }, words);
};

const tokensOf = (totals) => totals.input_tokens + totals.output_tokens;

const tile = (id, label, value, notes, exact) =>
  el(
    "div",
    { class: "tile", id: `tile-${id}` },
    el("h3", {}, label),
    el("p", { class: "value", title: exact }, value),
    notes
      .filter(Boolean)
      .map((note) => el("p", { class: note.doubt ? "note doubt" : "note" }, note.text || note)),
  );

const GROUP_TOP = 8;
const GROUP_ALL = 100;

const groupQuery = (split) => ({
  by: split,
  sort: view.sorts[split] || "cost",
  limit: view.limits[split] || GROUP_TOP,
});

/** What is not in the rows above it. */
const rest = () => el("span", { class: "pick unknown" }, "all others");

/** One table of totals by one split, with the rest as one row. */
const groupCard = (split, data) => {
  const sort = view.sorts[split] || "cost";
  const cost = Number(data.totals.cost);
  const whole = data.totals;
  const isOthers = (row) => row.isRest;
  const rows = [...data.rows];
  if (data.others) rows.push({ ...data.others, isRest: true });
  const column = (label, name, more) => ({
    label,
    num: true,
    sort: name,
    table: split,
    sorted: sort === name,
    ...more,
  });
  return el(
    "section",
    { class: "card", "data-key": `group-${split}`, id: `by-${split}` },
    el(
      "header",
      {},
      el("h3", {}, `By ${SPLITS[split].toLowerCase()}`),
      el(
        "span",
        { class: "count" },
        data.more ? `top ${data.rows.length}` : plural(data.rows.length, "value"),
      ),
      csvLink("groups", groupQuery(split), `spend by ${split}`),
    ),
    split === "tag" &&
      rows.length > 1 &&
      el("p", { class: "hint" }, "A call with several tags counts under each."),
    rows.length
      ? table({
          caption: `Spend by ${SPLITS[split].toLowerCase()}`,
          className: "groups",
          rows,
          key: (row) => (isOthers(row) ? "others" : keyText(row.key)),
          chosen: (row) => !isOthers(row) && isChosen(split, row.key),
          columns: [
            {
              label: SPLITS[split],
              cell: (row) => [
                isOthers(row) ? rest() : pick(split, row.key),
                bar(Number(row.cost), cost),
                doubtNote(row),
              ],
            },
            column("Spend", "cost", { cell: spend, exact: (row) => exactUsd(row.cost) }),
            {
              label: "Share",
              num: true,
              cell: (row) => (spend(row) === "unknown" ? "–" : percent(Number(row.cost), cost)),
            },
            column("Calls", "calls", {
              cell: (row) => count(row.calls),
              exact: (row) => percent(row.calls, whole.calls),
            }),
            column("Failed", "failed", {
              extra: true,
              cell: (row) => percent(row.failed, row.calls),
              exact: (row) => plural(row.failed, "failed call"),
            }),
            {
              label: "Tokens",
              num: true,
              extra: true,
              cell: (row) => short(tokensOf(row)),
              exact: (row) => count(tokensOf(row)),
            },
          ],
        })
      : empty("No calls."),
    (data.more || view.limits[split]) &&
      button("more", view.limits[split] ? "Show fewer" : `Show up to ${GROUP_ALL}`, {
        class: "quiet",
        "data-split": split,
        "aria-expanded": String(Boolean(view.limits[split])),
      }),
  );
};
