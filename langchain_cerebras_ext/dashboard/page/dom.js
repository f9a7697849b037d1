// Elements from plain calls, and a patch that changes only what differs, so that focus,
// scrolling and open parts stay where they are. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "rect", "line", "path", "circle", "text", "title"]);

/** An element: properties are attributes, children are elements or text. */
const el = (tag, attributes = {}, ...children) => {
  const made = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "vars") setVars(made, value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    made.append(child instanceof Node ? child : String(child));
  }
  return made;
};

/** Custom properties by the object model: the policy allows no style attributes. */
const setVars = (node, vars) => {
  node.vars = vars;
  for (const [name, value] of Object.entries(vars)) node.style.setProperty(name, value);
};

const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute("data-key") : null);
const isSame = (old, fresh) =>
  old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);

// What the reader has done to an element is not undone.
const KEPT = new Set(["open", "style"]);

const patchAttributes = (old, fresh) => {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (!KEPT.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (fresh.vars) setVars(old, fresh.vars);
  if (old.nodeName === "INPUT" && document.activeElement !== old) {
    old.checked = fresh.checked;
    if (fresh.hasAttribute("value")) old.value = fresh.getAttribute("value");
  }
  if (old.nodeName === "OPTION") old.selected = fresh.selected;
};

const patchNode = (old, fresh) => {
  if (old.nodeType !== 1) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  patchAttributes(old, fresh);
  patchChildren(old, [...fresh.childNodes]);
};

/** Make a parent's children look like these, with the nodes that are there. */
const patchChildren = (parent, fresh) => {
  const byKey = new Map();
  for (const node of parent.childNodes) {
    const key = keyOf(node);
    if (key !== null) byKey.set(key, node);
  }
  let place = parent.firstChild;
  for (const node of fresh) {
    const key = keyOf(node);
    const known = key === null ? null : byKey.get(key);
    if (known && isSame(known, node)) {
      if (known !== place) parent.insertBefore(known, place);
      else place = place.nextSibling;
      patchNode(known, node);
    } else if (place && key === null && isSame(place, node)) {
      const next = place.nextSibling;
      patchNode(place, node);
      place = next;
    } else {
      parent.insertBefore(node, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
};

/** Show these children in a place. */
const show = (place, ...children) => {
  const focused = document.activeElement;
  const fresh = document.createElement("div");
  fresh.append(...children.flat(Infinity).filter((child) => child || child === 0));
  patchChildren(place, [...fresh.childNodes]);
  // A row that has moved takes its focus along.
  if (focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true });
  }
};

const byId = (id) => document.getElementById(id);
