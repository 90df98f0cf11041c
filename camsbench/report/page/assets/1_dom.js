// Elements, numbers and keys of storage: what every other part needs.
const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function options(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
}

function said(column, value) {
  if (!Number.isFinite(value)) return "–";
  if (column.percent) return (100 * value).toFixed(2);
  if (column.seconds) return value.toFixed(3);
  return String(Number(value.toPrecision(4)));
}

const ARROWS = { higher: " ↑", lower: " ↓", "": "" };
const titleOf = (column) => column.title + ARROWS[column.better];
