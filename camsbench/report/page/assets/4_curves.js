// Curves over the steps: each { line, y, low?, high?, note }. Buttons below show and hide the methods.
function drawCurves(target, series, { name, bands = true, height = 340 }) {
  const hidden = (target.hiddenLines ??= new Set());
  const at = (list, share) => list[Math.round(share * (list.length - 1))]?.toFixed(3) ?? "–";
  const redraw = () => {
    const shown = series.filter(({ line }) => !hidden.has(line)), banded = bands && shown.every((s) => s.low);
    const hover = ([{ value: [share] }]) => hint(`${name} at ${short(100 * share)} % of the steps`, banded ? ["mean", "middle half"] : [""],
      shown.map((s) => [s.line, at(s.y, share), ...(banded ? [`${at(s.low, share)} to ${at(s.high, share)}`] : [])]));
    show(target, {
      title: `${name} curves`, axes: ["x", "y"], hover: { trigger: "axis", formatter: hover },
      legend: shown.map((s) => lines[s.line].label),
      label: `${name} curves: ` + shown.map((s) => `${lines[s.line].label} ${s.note}`).join(", "),
      height: () => height,
      option: () => ({
        grid: { left: 46, right: 24, top: 12, bottom: 46 },
        xAxis: axis({ name: "share of the steps", min: 0, max: 1, splitLine: { show: false },
          axisLabel: { formatter: (v) => `${tick(100 * v)} %` } }),
        yAxis: axis({ scale: false }),
        series: [...(banded ? shown.map(band) : []), ...shown.map(curve)],
      }),
    });
  };
  redraw();
  target.querySelector(".legend-buttons")?.remove();
  target.append(element("div", { class: "legend-buttons" }, ...series.map(({ line, note }) =>
    element("button", { type: "button", "aria-pressed": String(!hidden.has(line)), onclick: ({ currentTarget }) => {
      hidden.has(line) ? hidden.delete(line) : hidden.add(line);
      currentTarget.setAttribute("aria-pressed", String(!hidden.has(line)));
      redraw();
    } }, key(line), `${lines[line].label} ${note}`))));
}

const points = (list) => Array.from(list, (v, i) => [i / (list.length - 1), Number.isFinite(v) ? v : null]);

const curve = ({ line, y }) => ({ type: "line", name: lines[line].label, data: points(y), showSymbol: false, symbol: "circle", connectNulls: true,
  itemStyle: { color: colourOf(line) }, emphasis: { disabled: true },
  lineStyle: { color: colourOf(line), width: 2, type: dashOf(line) ? dashOf(line).split(" ").map(Number) : "solid" } });

// The middle half of the images: one shape of all steps, which the first of them draws.
function band({ line, low, high }) {
  const known = points(low).map(([share, v], i) => [share, v, high[i]]).filter(([, a, b]) => a != null && b != null);
  const renderItem = ({ dataIndex }, api) => dataIndex ? null : { type: "polygon", style: { fill: colourOf(line), opacity: 0.12 },
    shape: { points: [...known.map(([x, a]) => api.coord([x, a])), ...known.map(([x, , b]) => api.coord([x, b])).reverse()] } };
  return { type: "custom", clip: true, silent: true, tooltip: { show: false }, renderItem, data: known, encode: { x: 0, y: [1, 2], tooltip: [] } };
}
