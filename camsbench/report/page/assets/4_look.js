// What all charts look like, in the theme's colours: axes, hints, keys of the lines.
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const face = () => getComputedStyle(document.body).fontFamily.replaceAll('"', "'"); // the library does not escape quotes
const short = (v) => String(Number(v.toPrecision(3)));
const tick = (v) => String(Number(v.toPrecision(6)));

// An axis of numbers as all charts have it.
const axis = (more = {}) => ({
  type: "value", scale: true, nameLocation: "middle", nameGap: 28, nameTextStyle: { color: ink("soft"), fontSize: 12 },
  axisLine: { show: false, onZero: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: ink("line") } },
  ...more, axisLabel: { color: ink("soft"), fontSize: 12, hideOverlap: true, formatter: tick, ...more.axisLabel },
});

// The chart's own option, in the theme's colours and with what all charts have.
function dressed(held, width, chart) {
  const fine = matchMedia("(hover: hover)").matches; // a finger that drags scrolls the page
  const { told, zoom } = held, whole = entire(held), option = told.option(width, chart, whole);
  const ends = whole ? null : false; // the ends of a zoomed axis are no round numbers
  for (const name of told.axes) Object.assign([option[`${name}Axis`]].flat()[0].axisLabel, { showMinLabel: ends, showMaxLabel: ends });
  return {
    animation: false,
    textStyle: { fontFamily: face(), fontSize: 12, color: ink("fg") },
    dataZoom: told.axes.map((name, i) => ({ type: "inside", [`${name}AxisIndex`]: 0, filterMode: "none", minSpan: 1,
      start: zoom[i][0], end: zoom[i][1], zoomOnMouseWheel: "ctrl", moveOnMouseMove: fine })),
    ...option,
    tooltip: { confine: true, transitionDuration: 0, padding: [6, 8], backgroundColor: ink("panel"), borderColor: ink("line"),
      textStyle: { color: ink("fg"), fontSize: 12 }, axisPointer: { lineStyle: { color: ink("soft") } }, ...told.hover },
  };
}

// What hovering says: a head, names of columns, and a row a line.
const hint = (head, names, rows) => element("div", { class: "hint" }, element("b", {}, head), element("table", {}, element("tbody", {},
  element("tr", {}, element("td"), ...names.map((name) => element("td", { class: "num soft" }, name))),
  ...rows.map(([line, ...cells]) => element("tr", {}, element("td", {}, key(line), lines[line].label),
    ...cells.map((cell) => element("td", { class: "num" }, cell)))))));

function key(line) {
  return drawn("svg", { width: 26, height: 10, "aria-hidden": "true" },
    drawn("line", { x1: 0, x2: 24, y1: 5, y2: 5, stroke: colourOf(line), "stroke-width": 3, "stroke-dasharray": dashOf(line) }));
}
