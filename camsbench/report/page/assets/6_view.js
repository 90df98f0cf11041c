// The large view of an image: picture with boxes, each method's map, curves, scores.
const shown = { image: null, palette: "inferno", opacity: 0.6 };

function tableOf(image) {
  const used = columns.filter((column) => lines.some((_, l) => Number.isFinite(valueOf(l, column, image))));
  const rows = lines.map((line, l) => element("tr", {}, element("th", { scope: "row" }, key(l), " ", line.label),
    element("td", {}, nameOf(data.lines[l].targets[image])), ...used.map((c) => element("td", { class: "num" }, said(c, valueOf(l, c, image)))),
    element("td", {}, [data.lines[l].flags[image] & DEGENERATE && "degenerate", data.lines[l].flags[image] & ERROR && "error"].filter(Boolean).join(", "))));
  return element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Scores" }, element("table", {},
    element("thead", {}, element("tr", {}, ...["method", "explains", ...used.map(titleOf), ""].map((t, i) => element("th", { scope: "col", class: i > 1 ? "num" : "" }, t)))),
    element("tbody", {}, ...rows)));
}

async function paint(canvas, base, map) {
  const load = (src) => new Promise((done, failed) => { const i = new Image(); i.onload = () => done(i); i.onerror = failed; i.src = src; });
  const [below, above] = await Promise.all([load(base.src), load(map.src)]);
  canvas.width = base.width;
  canvas.height = base.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(above, 0, 0, base.width, base.height);
  const grey = context.getImageData(0, 0, base.width, base.height);
  context.drawImage(below, 0, 0, base.width, base.height);
  const picture = context.getImageData(0, 0, base.width, base.height);
  const table = pictures.palettes[shown.palette], share = shown.opacity;
  for (let p = 0; p < grey.data.length; p += 4) {
    const at = 3 * grey.data[p];
    for (let c = 0; c < 3; c++) picture.data[p + c] = (1 - share) * picture.data[p + c] + share * table[at + c];
  }
  context.putImageData(picture, 0, 0);
}

function mapsOf(image) {
  const runs = Object.entries(pictures.images[image] ?? {});
  if (!runs.length) return [element("p", {}, Object.keys(pictures.images).length
    ? "The maps of this image are not in this report: report.maps=N, all or worst chooses which are."
    : "This report holds no maps: python -m camsbench.report RUN report.maps=N (or all, or worst) puts them in.")];
  const made = [];
  const controls = element("p", { class: "controls" },
    element("label", {}, "Colours ", element("select", { id: "palette", onchange: (e) => { shown.palette = e.target.value; repaint(); } },
      ...Object.keys(pictures.palettes).map((name) => element("option", { selected: name === shown.palette }, name)))),
    element("label", {}, "Map over picture ", element("input", { type: "range", min: 0, max: 1, step: 0.05, value: shown.opacity, id: "opacity",
      oninput: (e) => { shown.opacity = Number(e.target.value); repaint(); } })));
  made.push(controls);
  for (const [run, known] of runs) {
    const base = { src: pictures.files[known.src], width: known.width, height: known.height };
    const boxes = known.boxes.map(([x0, y0, x1, y1]) => drawn("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, fill: "none", stroke: "#00e5ff", "stroke-width": 2 }));
    const figures = [element("figure", {}, element("div", {}, element("img", { src: base.src, alt: `the picture, label ${nameOf(data.labels[image])}` +
      (boxes.length ? `, ${boxes.length} box${boxes.length > 1 ? "es" : ""}` : "") }),
      drawn("svg", { viewBox: `0 0 ${known.width} ${known.height}`, "aria-hidden": "true" }, ...boxes)),
      element("figcaption", {}, content.runs.length > 1 ? content.runs[run] : "picture", element("span", {}, `label: ${nameOf(data.labels[image])}`)))];
    for (const [l, map] of Object.entries(known.maps)) {
      const canvas = element("canvas", { role: "img", "aria-label": `map of ${lines[l].label}: ${map.alt}` });
      canvas.repaint = () => paint(canvas, base, { src: pictures.files[map.src] });
      const target = data.lines[l].targets[image], sure = valueOf(Number(l), byName("probability"), image);
      figures.push(element("figure", {}, element("div", {}, canvas), element("figcaption", {}, lines[l].label,
        element("span", {}, `${nameOf(target)} ${(100 * sure).toFixed(2)} %`), element("span", {}, map.alt))));
    }
    made.push(element("div", { class: "maps" }, ...figures));
    const names = Object.keys(known.maps).map((l) => lines[l].label);
    if (names.length > 1) made.push(element("details", {}, element("summary", {}, "How alike are the maps? (Spearman's rank correlation)"),
      element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Correlation of maps" }, element("table", { class: "matrix" },
        element("thead", {}, element("tr", {}, element("td"), ...names.map((n) => element("th", { scope: "col" }, n)))),
        element("tbody", {}, ...known.agree.map((row, r) => element("tr", {}, element("th", { scope: "row" }, names[r]),
          ...row.map((v) => element("td", { class: "num", style: `--w:${Math.abs(v ?? 0)}`, "data-sign": v >= 0 ? "+" : "-" }, v == null ? "–" : v.toFixed(2))))))))));
  }
  return made;
}

const repaint = () => document.querySelectorAll("#view canvas").forEach((canvas) => canvas.repaint());

function view(image) {
  shown.image = image;
  const place = list.order.indexOf(image), body = byId("view-body");
  byId("view-title").textContent = `${data.ids[image]} – ${nameOf(data.labels[image])}`;
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place + 1 >= list.order.length;
  const parts = [];
  if (content.errors[image]) parts.push(element("p", { class: "warning" }, content.errors[image]));
  parts.push(...mapsOf(image));
  const names = [...new Set(data.curves.map((c) => c.name))];
  const queue = []; // drawn when their places have a width
  const charts = names.map((name) => {
    const series = data.curves.filter((c) => c.name === name && c.of(image)).map((c) => ({ line: c.line, y: [...c.of(image)],
      note: byName(name) ? said(byName(name), valueOf(c.line, byName(name), image)) : "" }));
    if (!series.length) return null;
    const chart = element("div", { class: "chart" });
    queue.push(() => drawCurves(chart, series, { name, height: 260 }));
    return element("div", {}, element("h3", {}, name), chart);
  }).filter(Boolean);
  if (charts.length) parts.push(element("div", { class: "cols" }, ...charts));
  parts.push(element("h3", {}, "Scores"), tableOf(image));
  release(body);
  body.replaceChildren(...parts);
  if (!byId("view").open) byId("view").showModal();
  body.scrollTop = 0;
  queue.forEach((draw) => draw());
  repaint();
}

function step(by) {
  const next = list.order[list.order.indexOf(shown.image) + by];
  if (next === undefined) return;
  view(next);
  const page = Math.floor(list.order.indexOf(next) / PAGE);
  if (page !== list.page) { list.page = page; showPage(); }
}

function viewer() {
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", () => byId("view").close());
  byId("view").addEventListener("close", () => document.querySelector(`[data-image="${shown.image}"] button`)?.focus());
  byId("view").addEventListener("keydown", (event) => {
    if (event.target.matches("input, select")) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else return;
    event.preventDefault();
  });
}
