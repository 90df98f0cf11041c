// The list of images: filtered and sorted here, a page at a time.
const PAGE = 25;
const list = { order: [], page: 0 };

function sorting() {
  const extra = [["order", "order of the run"], ["disagreement", "disagreement of methods"], ["probability", "probability"]];
  options(byId("sort-metric"), [...extra, ...columns.filter((c) => c.name !== "probability").map((c) => [c.name, titleOf(c)])]);
  options(byId("sort-line"), [["mean", "the mean over methods"], ...lines.map((line, i) => [i, line.label])]);
}

const meanOf = (column, image) => {
  let total = 0, count = 0;
  for (let i = 0; i < lines.length; i++) {
    const v = valueOf(i, column, image);
    if (Number.isFinite(v)) { total += v; count++; }
  }
  return count ? total / count : NaN;
};

function keys() {
  const name = byId("sort-metric").value, line = byId("sort-line").value, made = new Float64Array(content.images);
  const column = byName(name);
  for (let i = 0; i < made.length; i++) {
    made[i] = name === "order" ? i : name === "disagreement" ? data.disagreement[i]
      : line === "mean" ? meanOf(column, i) : valueOf(Number(line), column, i);
  }
  return made;
}

function refresh() {
  const sought = byId("find").value.trim().toLowerCase(), part = Number(byId("apart").value);
  const [errors, degenerate, mistaken, maps] = ["errors", "degenerate", "mistaken", "maps"].map((n) => byId(`only-${n}`).checked);
  const apart = part ? quantile(data.disagreement.filter(Number.isFinite).sort(), part) : -Infinity;
  const classes = new Set(Object.keys(content.classes).filter((c) => c === sought || content.classes[c].toLowerCase().includes(sought)).map(Number));
  const kept = [];
  for (let i = 0; i < content.images; i++) {
    if (part && !(data.disagreement[i] >= apart)) continue;
    if (maps && !(i in pictures.images)) continue;
    if (errors && !data.lines.some((line) => line.flags[i] & ERROR)) continue;
    if (degenerate && !data.lines.some((line) => line.flags[i] & DEGENERATE)) continue;
    if (mistaken && !data.lines.some((line) => line.targets[i] >= 0 && line.targets[i] !== data.labels[i])) continue;
    if (sought && !classes.has(data.labels[i]) && !data.lines.some((line) => classes.has(line.targets[i])) &&
        !data.ids[i].toLowerCase().includes(sought)) continue;
    kept.push(i);
  }
  const key = keys(), sign = byId("descending").checked ? -1 : 1;
  kept.sort((a, b) => compared(key[a], key[b], sign) || a - b);
  list.order = kept;
  list.page = 0;
  showPage();
}

function showPage() {
  const chosen = byName(byId("sort-metric").value) ?? byName("adcc") ?? metrics[0] ?? columns[0];
  const pages = Math.max(1, Math.ceil(list.order.length / PAGE)), start = list.page * PAGE;
  const visible = list.order.slice(start, start + PAGE);
  const pictured = Object.keys(pictures.images).length > 0;
  byId("found").textContent = `${list.order.length.toLocaleString("en")} of ${content.images.toLocaleString("en")} images. The numbers are ${chosen.title}${chosen.percent ? ", percent" : ""}.`;
  byId("page").textContent = `page ${list.page + 1} of ${pages}`;
  byId("previous-page").disabled = list.page === 0;
  byId("next-page").disabled = list.page + 1 >= pages;
  const head = [...(pictured ? ["picture"] : []), "image", "label", "explained class", "part"];
  byId("image-table").tHead.replaceChildren(element("tr", {}, ...head.map((t) => element("th", { scope: "col" }, t)),
    ...lines.map((line) => element("th", { scope: "col", class: "num" }, line.label))));
  const spread = visible.flatMap((i) => lines.map((_, l) => valueOf(l, chosen, i))).filter(Number.isFinite);
  const low = Math.min(0, ...spread), high = Math.max(...spread, low + 1e-12);
  byId("image-table").tBodies[0].replaceChildren(...visible.map((image) => {
    const targets = [...new Set(data.lines.map((line) => line.targets[image]).filter((t) => t >= 0))];
    const tags = [];
    if (data.lines.some((line) => line.flags[image] & ERROR)) tags.push(element("span", { class: "tag" }, "error"));
    if (data.lines.some((line) => line.flags[image] & DEGENERATE)) tags.push(element("span", { class: "tag" }, "degenerate"));
    const open = element("button", { type: "button", onclick: (event) => { event.stopPropagation(); view(image); } }, data.ids[image]);
    const cells = [element("td", {}, open, " ", ...tags), element("td", {}, nameOf(data.labels[image])),
      element("td", {}, targets.map(nameOf).join(", ") || "–"),
      element("td", { class: "num" }, Number.isFinite(data.disagreement[image]) ? data.disagreement[image].toFixed(2) : "–"),
      ...lines.map((line, l) => {
        const v = valueOf(l, chosen, image);
        const bar = Number.isFinite(v) ? [element("i", { style: `width:${(100 * Math.max(0, v - low)) / (high - low)}%` })] : [];
        return element("td", { class: "num bar-cell" }, said(chosen, v), ...bar);
      })];
    if (pictured) {
      const known = Object.values(pictures.images[image] ?? {})[0];
      cells.unshift(element("td", {}, known ? element("img", { src: pictures.files[known.src], alt: nameOf(data.labels[image]), loading: "lazy" }) : ""));
    }
    return element("tr", { onclick: () => view(image), "data-image": image }, ...cells);
  }));
}

function browse() {
  sorting();
  byId("filters").addEventListener("input", refresh);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(refresh));
  byId("previous-page").addEventListener("click", () => { list.page--; showPage(); });
  byId("next-page").addEventListener("click", () => { list.page++; showPage(); });
  refresh();
}
