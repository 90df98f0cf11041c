// Charts as SVG: distributions, curves, time against quality.
const ticksOf = (low, high, count = 5) => {
  const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((s) => s * power >= raw * 0.999);
  const ticks = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step) ticks.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  return ticks;
};

const short = (v) => String(Number(v.toPrecision(3)));

// As wide as the place for it: text keeps its size on a phone.
const widthOf = (target, most) => Math.max(300, Math.min(most, target.clientWidth || most));

function quantile(sorted, q) {
  const place = q * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

function drawDistribution(target, column) {
  const scale = column.percent ? 100 : 1;
  const found = lines.map((line, i) => {
    const values = (data.lines[i].values[column.name] ?? new Float32Array()).filter(Number.isFinite).map((v) => v * scale);
    return { line, i, values: values.sort() };
  }).filter(({ values }) => values.length);
  if (!found.length) return target.replaceChildren("No image has a value.");
  let low = Infinity, high = -Infinity;
  for (const { values } of found) { // whiskers, so that one outlier does not flatten the rest
    low = Math.min(low, quantile(values, 0.005));
    high = Math.max(high, quantile(values, 0.995));
  }
  if (high <= low) { low -= 0.5; high += 0.5; }
  const width = widthOf(target, 860), narrow = width < 560;
  const left = narrow ? 12 : 190, right = 20, rowHeight = narrow ? 62 : 46, top = 10;
  const height = top + found.length * rowHeight + 46;
  const x = (v) => left + ((Math.min(high, Math.max(low, v)) - low) / (high - low)) * (width - left - right);
  const root = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img",
    "aria-label": `Distribution of ${column.title} over images, a row a method: ` + found.map(({ line, values }) =>
      `${line.label} median ${short(quantile(values, 0.5))}`).join(", ") });
  for (const t of ticksOf(low, high, 6)) {
    root.append(drawn("line", { class: "axis", x1: x(t), x2: x(t), y1: top, y2: height - 40 }));
    root.append(drawn("text", { class: "soft", x: x(t), y: height - 24, "text-anchor": "middle" }, short(t)));
  }
  root.append(drawn("text", { class: "soft", x: left, y: height - 6 }, titleOf(column) + (column.percent ? ", percent" : "")));
  const BINS = 48;
  found.forEach(({ line, i, values }, row) => {
    const base = top + (row + 1) * rowHeight - 12, counts = new Array(BINS).fill(0);
    for (const v of values) counts[Math.min(BINS - 1, Math.max(0, Math.floor(((v - low) / (high - low)) * BINS)))]++;
    const most = Math.max(...counts), step = (width - left - right) / BINS;
    const shape = counts.map((c, b) => `L${left + b * step},${base - (c / most) * 26}L${left + (b + 1) * step},${base - (c / most) * 26}`).join("");
    root.append(drawn("path", { d: `M${left},${base}${shape}L${width - right},${base}Z`, fill: colourOf(i), opacity: 0.45 }));
    const [p5, p25, p50, p75, p95] = [0.05, 0.25, 0.5, 0.75, 0.95].map((q) => quantile(values, q));
    root.append(drawn("line", { x1: x(p5), x2: x(p95), y1: base + 4, y2: base + 4, stroke: colourOf(i), "stroke-width": 1.5 }));
    root.append(drawn("rect", { x: x(p25), y: base + 1, width: Math.max(1, x(p75) - x(p25)), height: 6, fill: colourOf(i) }));
    root.append(drawn("line", { x1: x(p50), x2: x(p50), y1: base - 2, y2: base + 10, stroke: "currentColor", "stroke-width": 2 }));
    root.append(narrow ? drawn("text", { x: left, y: base - 32 }, line.label)
      : drawn("text", { x: left - 8, y: base, "text-anchor": "end" }, line.label));
  });
  target.replaceChildren(root);
}

// A line chart of some lines: each { line, y, low?, high?, note }.
function drawCurves(target, series, { name, bands = true, most = 620, height = 340 }) {
  const hidden = (target.hiddenLines ??= new Set());
  const draw = () => {
    const shown = series.filter(({ line }) => !hidden.has(line));
    const width = widthOf(target, most), left = 46, right = 24, top = 12, bottom = 40;
    let low = 0, high = 0.1;
    for (const s of shown) for (const list of bands ? [s.y, s.low ?? [], s.high ?? []] : [s.y]) for (const v of list) {
      if (v != null && Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
    }
    const x = (p) => left + p * (width - left - right), y = (v) => height - bottom - ((v - low) / (high - low)) * (height - top - bottom);
    const root = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img",
      "aria-label": `${name} curves: ` + shown.map((s) => `${lines[s.line].label} ${s.note}`).join(", ") });
    for (const t of ticksOf(low, high)) {
      root.append(drawn("line", { class: "axis", x1: left, x2: width - right, y1: y(t), y2: y(t) }));
      root.append(drawn("text", { class: "soft", x: left - 6, y: y(t) + 4, "text-anchor": "end" }, short(t)));
    }
    for (const t of [0, 0.25, 0.5, 0.75, 1]) root.append(drawn("text", { class: "soft", x: x(t), y: height - bottom + 16, "text-anchor": "middle" }, `${t * 100} %`));
    root.append(drawn("text", { class: "soft", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "share of the steps"));
    const path = (list) => list.map((v, i) => (v == null || !Number.isFinite(v) ? null : `${x(i / (list.length - 1)).toFixed(1)},${y(v).toFixed(1)}`)).filter(Boolean);
    if (bands) for (const s of shown) if (s.low) {
      root.append(drawn("polygon", { points: [...path(s.low), ...path(s.high).reverse()].join(" "), fill: colourOf(s.line), opacity: 0.12 }));
    }
    for (const s of shown) {
      root.append(drawn("polyline", { points: path([...s.y]).join(" "), fill: "none", stroke: colourOf(s.line), "stroke-width": 2, "stroke-dasharray": dashOf(s.line) }));
    }
    const buttons = element("div", { class: "legend-buttons" }, ...series.map((s) =>
      element("button", { type: "button", "aria-pressed": String(!hidden.has(s.line)), onclick: () => {
        hidden.has(s.line) ? hidden.delete(s.line) : hidden.add(s.line);
        draw();
        target.querySelector(`[data-line="${s.line}"]`)?.focus();
      }, "data-line": s.line }, key(s.line), `${lines[s.line].label} ${s.note}`)));
    target.replaceChildren(root, buttons);
  };
  draw();
}

function key(line) {
  return drawn("svg", { width: 26, height: 10, "aria-hidden": "true" },
    drawn("line", { x1: 0, x2: 24, y1: 5, y2: 5, stroke: colourOf(line), "stroke-width": 3, "stroke-dasharray": dashOf(line) }));
}

function drawTime(target, column) {
  const clock = columns.find((c) => c.name === "time" && lines.some((_, i) => data.lines[i].values.time)) ?? byName("seconds");
  byId("time-note").textContent = clock.name === "time"
    ? "Median seconds of one image, nothing shared (metric=time), on the machine of the run."
    : "Seconds of an image within a batch, work that methods share left out; metric=time measures one image alone.";
  const middle = (values) => { const s = values.filter(Number.isFinite).sort(); return s.length ? quantile(s, 0.5) : NaN; };
  const average = (values) => { const s = values.filter(Number.isFinite); return s.reduce((a, b) => a + b, 0) / s.length; };
  const scale = column.percent ? 100 : 1;
  const points = lines.map((line, i) => ({ line, i, t: Math.max(1e-5, middle(data.lines[i].values[clock.name] ?? new Float32Array())),
    q: scale * average(data.lines[i].values[column.name] ?? new Float32Array()) })).filter((p) => Number.isFinite(p.t) && Number.isFinite(p.q));
  if (!points.length) return target.replaceChildren("No method has both.");
  const width = widthOf(target, 760), height = 380, left = 50, right = 140, top = 14, bottom = 46;
  const times = points.map((p) => Math.log10(p.t)), quality = points.map((p) => p.q);
  const pad = (a, b) => ((b - a) || 1) * 0.08;
  const t0 = Math.floor(Math.min(...times)), t1 = Math.ceil(Math.max(...times) + 1e-9);
  const [qa, qb] = [Math.min(...quality), Math.max(...quality)], q0 = qa - pad(qa, qb), q1 = qb + pad(qa, qb);
  const x = (t) => left + ((Math.log10(t) - t0) / (t1 - t0 || 1)) * (width - left - right);
  const y = (q) => height - bottom - ((q - q0) / (q1 - q0)) * (height - top - bottom);
  const root = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": `${column.title} against seconds: ` +
    points.map((p) => `${p.line.label} ${short(p.q)} in ${short(p.t)} s`).join(", ") });
  for (let t = t0; t <= t1; t++) {
    root.append(drawn("line", { class: "axis", x1: x(10 ** t), x2: x(10 ** t), y1: top, y2: height - bottom }));
    root.append(drawn("text", { class: "soft", x: x(10 ** t), y: height - bottom + 16, "text-anchor": "middle" }, `${short(10 ** t)} s`));
  }
  for (const q of ticksOf(q0, q1)) {
    root.append(drawn("line", { class: "axis", x1: left, x2: width - right, y1: y(q), y2: y(q) }));
    root.append(drawn("text", { class: "soft", x: left - 6, y: y(q) + 4, "text-anchor": "end" }, short(q)));
  }
  root.append(drawn("text", { class: "soft", x: left, y: height - 6 }, `${titleOf(column)}${column.percent ? " (percent)" : ""} over seconds an image (logarithmic)`));
  const taken = [];
  for (const p of points.sort((a, b) => y(a.q) - y(b.q))) {
    let place = y(p.q) + 4;
    const near = () => taken.some(([tx, ty]) => Math.abs(tx - x(p.t)) < 130 && Math.abs(ty - place) < 13);
    while (near()) place += 13;
    taken.push([x(p.t), place]);
    root.append(drawn("circle", { cx: x(p.t), cy: y(p.q), r: 5.5, fill: colourOf(p.i), stroke: "currentColor" }));
    if (Math.abs(place - y(p.q) - 4) > 6) root.append(drawn("line", { x1: x(p.t), y1: y(p.q), x2: x(p.t) + 9, y2: place - 4, stroke: "currentColor", opacity: 0.5 }));
    root.append(drawn("text", { x: x(p.t) + 11, y: place }, p.line.label));
  }
  target.replaceChildren(root);
}
