// The frame of every chart: the library's drawing, its words, its buttons.
const framed = new Set();

// Puts a chart into a place, or redraws the one that is there. What it is told: `title`, `label` (its words), `axes` (those
// that zoom), `hover` (what hovering says), `height` and `option` (the library's) at a width; where it has them, `focus` (what
// buttons zoom about, else the middle) and `legend` (of its picture).
function show(target, told) {
  const held = (target.held ??= frame(target));
  if (held.told?.title !== told.title) held.zoom = told.axes.map(() => [0, 100]);
  held.told = told;
  held.tools.setAttribute("aria-label", `Chart: ${told.title}`);
  held.plot.setAttribute("aria-label", told.label);
  held.draw();
}

function frame(target) {
  const held = { zoom: [], chart: null, plot: element("div", { class: "plot", role: "img", tabindex: 0 }) };
  const button = (name, text, onclick) => element("button", { type: "button", "aria-label": name, title: name, onclick }, text);
  const closer = button("Zoom in", "+", () => turn(held, CLOSER));
  const wider = button("Zoom out", "−", () => turn(held, 1 / CLOSER));
  const whole = button("Reset zoom", "⟲", () => { turn(held, 100); closer.focus(); });
  held.tools = element("div", { class: "chart-tools", role: "group" }, closer, wider, whole,
    button("Save as PNG", "PNG", () => keep(held, "png")), button("Save as SVG", "SVG", () => keep(held, "svg")));
  held.plot.addEventListener("keydown", (event) => pressed(held, event));
  held.marked = () => { wider.disabled = whole.disabled = entire(held); };
  held.draw = () => draw(held, target.clientWidth);
  // A frame later: a change of height within the observer's turn would be an error of the page.
  held.observer = new ResizeObserver(() => requestAnimationFrame(() => { if (target.clientWidth !== held.width) held.draw(); }));
  held.observer.observe(target);
  framed.add(held);
  target.replaceChildren(held.tools, held.plot);
  return held;
}

function draw(held, width) {
  if (!width) return; // in a closed dialog
  const height = held.told.height(width);
  held.width = width;
  held.plot.style.height = `${height}px`;
  held.chart ??= opened(held, width, height);
  held.chart.resize({ width, height });
  held.chart.setOption(dressed(held, width, held.chart), true);
  held.marked();
}

function opened(held, width, height) {
  const chart = echarts.init(held.plot, null, { renderer: "svg", width, height });
  chart.on("datazoom", () => {
    const before = entire(held);
    held.zoom = chart.getOption().dataZoom.map(({ start, end }) => [start, end]);
    held.marked();
    if (before !== entire(held)) chart.setOption(dressed(held, held.width, chart)); // other ticks
  });
  return chart;
}

// Takes the charts out of a place that is filled anew.
function release(place) {
  for (const held of framed) if (place.contains(held.plot)) {
    held.observer.disconnect();
    held.chart?.dispose();
    framed.delete(held);
    delete held.plot.parentElement.held;
  }
}
