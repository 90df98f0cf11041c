// Quality against the seconds of an image: a point a method.
function drawTime(target, column) {
  const clock = columns.find((c) => c.name === "time" && lines.some((_, i) => data.lines[i].values.time)) ?? byName("seconds");
  byId("time-note").textContent = clock.name === "time"
    ? "Median seconds of one image, nothing shared (metric=time), on the machine of the run."
    : "Seconds of an image within a batch, work that methods share left out; metric=time measures one image alone.";
  const middle = (values) => { const s = values.filter(Number.isFinite).sort(); return s.length ? quantile(s, 0.5) : NaN; };
  const average = (values) => { const s = values.filter(Number.isFinite); return s.reduce((a, b) => a + b, 0) / s.length; };
  const scale = column.percent ? 100 : 1;
  const found = lines.map(({ label }, line) => ({ line, label, t: Math.max(1e-5, middle(data.lines[line].values[clock.name] ?? new Float32Array())),
    q: scale * average(data.lines[line].values[column.name] ?? new Float32Array()) })).filter((p) => Number.isFinite(p.t) && Number.isFinite(p.q));
  if (!found.length) { release(target); return target.replaceChildren("No method has both."); }
  const title = `${titleOf(column)}${column.percent ? " (percent)" : ""}`;
  show(target, {
    title: `${title} over seconds`, axes: ["x", "y"],
    hover: { trigger: "item", formatter: ({ data: { point } }) => hint("", [column.title, "an image"], [[point.line, short(point.q), duration(point.t)]]) },
    focus: [found.map((p) => Math.log10(p.t)), found.map((p) => p.q)].map((values) => quantile(values.sort((a, b) => a - b), 0.5)),
    label: `${column.title} against seconds: ` + found.map((p) => `${p.label} ${short(p.q)} in ${short(p.t)} s`).join(", "),
    height: () => Math.max(380, 60 + 18 * found.length),
    option: (width, chart, whole) => ({
      grid: { left: 54, right: 24, top: 34, bottom: 50 },
      // Logarithms of our own: the library's logarithmic axis zooms unevenly.
      xAxis: axis({ name: "seconds an image (logarithmic)", min: ({ min }) => Math.floor(min), max: ({ max }) => Math.ceil(max + 1e-9),
        minInterval: whole ? 1 : 0, splitNumber: Math.max(3, Math.floor(width / 95)), axisLabel: { formatter: (v) => duration(10 ** v) } }),
      yAxis: axis({ name: title, nameLocation: "end", nameGap: 14, nameTextStyle: { align: "left", padding: [0, 0, 0, -46], color: ink("soft") } }),
      series: [dots(found, width, chart)],
    }),
  });
}

const duration = (t) => (t < 0.9e-3 ? `${short(1e6 * t)} µs` : t < 0.9 ? `${short(1e3 * t)} ms` : `${short(t)} s`);

// Names stand towards the middle, so that none leaves the chart.
function dots(found, width, chart) {
  const logs = found.map((p) => Math.log10(p.t)), middle = (Math.min(...logs) + Math.max(...logs)) / 2;
  const most = Math.floor((width / 2 - 50) / 7), shortened = (text) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  return { type: "scatter", symbolSize: 11, labelLayout: apart(found, logs, chart), labelLine: { show: true, lineStyle: { color: ink("soft") } },
    data: found.map((point, i) => ({ value: [logs[i], point.q], point, itemStyle: { color: colourOf(point.line), borderColor: ink("fg"), opacity: 1 },
      label: { show: true, formatter: shortened(point.label), color: ink("fg"), fontSize: 12, position: logs[i] > middle ? "left" : "right" } })) };
}

// The nearest free place of each name above or below its own, with a line to its point; a name without one gives way.
function apart(found, logs, chart) {
  const HIGH = 14, overlap = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
  const centres = () => found.map((point, i) => chart.convertToPixel({ gridIndex: 0 }, [logs[i], point.q]));
  let taken = [], seen = new Set(), drawing = "";
  return ({ dataIndex, labelRect, rect }) => {
    const dots = centres();
    if (seen.has(dataIndex) || drawing !== String(dots)) { // another drawing begins
      taken = dots.map(([x, y]) => ({ x: x - 6, y: y - 6, width: 12, height: 12 }));
      seen = new Set();
      drawing = String(dots);
    }
    seen.add(dataIndex);
    const { x, width } = labelRect, own = rect.y + (rect.height - HIGH) / 2;
    const places = Array.from({ length: 300 }, (_, i) => own + (i % 2 ? -5 : 5) * Math.ceil(i / 2));
    const free = (y) => y > 20 && y + HIGH < chart.getHeight() - 50 && !taken.some((other) => overlap({ x, y, width, height: HIGH }, other));
    const place = places.find(free), y = place ?? own;
    taken.push({ x, y, width, height: HIGH });
    return { x, y: y + HIGH / 2, align: "left", verticalAlign: "middle", hideOverlap: place === undefined };
  };
}
