// Every image's value under each method: a row each, with its shape, middle half, median and 5 to 95 % range.
const BINS = 48, QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95];

function quantile(sorted, q) {
  const place = q * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

// The rows' numbers: counts in bins, as the library is not given every image, and quantiles.
function distribution(column) {
  const scale = column.percent ? 100 : 1;
  const rows = lines.map((line, i) => {
    const values = (data.lines[i].values[column.name] ?? new Float32Array()).filter(Number.isFinite).map((v) => v * scale);
    return { line: i, label: line.label, values: values.sort() };
  }).filter(({ values }) => values.length);
  let low = Infinity, high = -Infinity;
  for (const { values } of rows) { // not all of it, so that one outlier does not flatten the rest
    low = Math.min(low, quantile(values, 0.005));
    high = Math.max(high, quantile(values, 0.995));
  }
  if (high <= low) { low -= 0.5; high += 0.5; }
  for (const row of rows) {
    row.counts = new Array(BINS).fill(0);
    for (const v of row.values) row.counts[Math.min(BINS - 1, Math.max(0, Math.floor(((v - low) / (high - low)) * BINS)))]++;
    row.marks = QUANTILES.map((q) => quantile(row.values, q));
    row.beyond = [row.values[0] < low, row.values[row.values.length - 1] > high];
  }
  return { low, high, rows };
}

function drawDistribution(target, column) {
  const { low, high, rows } = distribution(column);
  if (!rows.length) { release(target); return target.replaceChildren("No image has a value."); }
  const narrow = (width) => width < 560, rowHeight = (width) => (narrow(width) ? 68 : 46);
  const edge = (b) => low + (b * (high - low)) / BINS;
  const title = titleOf(column) + (column.percent ? ", percent" : "");
  const hover = ([{ dataIndex }]) => {
    const bin = Math.min(BINS - 1, Math.max(0, dataIndex - 1)); // the ends are there twice
    const [below, above] = [0, 1].map((side) => rows.some((row) => row.beyond[side]));
    const from = bin === 0 && below ? "" : short(edge(bin)), to = bin === BINS - 1 && above ? "" : short(edge(bin + 1));
    const range = from && to ? `${from} to ${to}` : from ? `${from} and more` : `up to ${to}`;
    return hint(`${column.title} ${range}`, ["images", "median", "middle half"], rows.map(({ line, counts, values, marks }) =>
      [line, `${((100 * counts[bin]) / values.length).toFixed(1)} %`, short(marks[2]), `${short(marks[1])} to ${short(marks[3])}`]));
  };
  show(target, {
    title: `Distribution of ${title}`, axes: ["x"], hover: { trigger: "axis", formatter: hover },
    label: `Distribution of ${column.title} over images, a row a method: ` +
      rows.map(({ label, marks }) => `${label} median ${short(marks[2])}`).join(", "),
    height: (width) => rows.length * rowHeight(width) + 66,
    option: (width) => ({
      grid: { left: narrow(width) ? 12 : 190, right: 20, top: 12, bottom: 54 },
      xAxis: axis({ name: title, axisPointer: { snap: true } }),
      yAxis: [names(rows, narrow(width)), { type: "value", min: 0, max: rows.length, show: false }],
      series: [...rows.map((row, r) => shape(row, rows.length - 1 - r, edge, rowHeight(width))), summary(rows, rowHeight(width), narrow(width))],
    }),
  });
}

// The methods' names beside the rows; on a phone they stand above each.
const names = (rows, narrow) => ({
  type: "category", inverse: true, data: rows.map((row) => row.label), axisLine: { show: false }, axisTick: { show: false },
  axisPointer: { type: "none", triggerTooltip: false },
  axisLabel: { show: !narrow, color: ink("fg"), fontSize: 12, interval: 0, lineHeight: 14, width: 176, overflow: "break" },
});

// The histogram of a row, as steps. A row is one high, its line of no images lies 14 pixels above its end, and its shape is 26 pixels high.
function shape({ line, label, counts }, row, edge, rowHeight) {
  const most = Math.max(...counts), at = (count) => row + (14 + (26 * count) / most) / rowHeight;
  const points = counts.map((count, b) => [edge(b + 0.5), at(count)]);
  return { type: "line", name: label, yAxisIndex: 1, step: "middle", symbol: "none",
    data: [[edge(0), at(counts[0])], ...points, [edge(BINS), at(counts[BINS - 1])]],
    lineStyle: { width: 0 }, itemStyle: { color: colourOf(line) }, emphasis: { disabled: true },
    areaStyle: { color: colourOf(line), opacity: 0.45, origin: at(0) } };
}

// The 5 to 95 % range, the middle half and the median of every row.
function summary(rows, rowHeight, narrow) {
  const renderItem = ({ dataIndex, coordSys }, api) => {
    const row = rows[dataIndex], fill = colourOf(row.line);
    const [p5, p25, p50, p75, p95] = row.marks.map((v) => api.coord([v, 0])[0]);
    const y = api.coord([0, rows.length - 1 - dataIndex + 10 / rowHeight])[1];
    const box = (x, width, top, height, colour) => ({ type: "rect", shape: { x, y: y + top, width, height }, style: { fill: colour } });
    const name = { type: "text", style: { text: row.label, x: coordSys.x, y: y - 47, width: coordSys.width, overflow: "truncate",
      fill: ink("fg"), fontSize: 12, fontFamily: face() } };
    return { type: "group", children: [...(narrow ? [name] : []), box(p5, p95 - p5, -0.75, 1.5, fill), box(p25, Math.max(1, p75 - p25), -3, 6, fill),
      box(p50 - 1, 2, -6, 12, ink("fg"))] };
  };
  return { type: "custom", yAxisIndex: 1, clip: true, silent: true, tooltip: { show: false }, renderItem,
    data: rows.map((row, r) => [row.marks[0], rows.length - r - 0.5, row.marks[4]]), encode: { x: [0, 2], y: 1, tooltip: [] } };
}
