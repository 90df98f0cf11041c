// The page opens: tables first, then what needs the unpacked numbers.
function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const root = document.documentElement;
  root.dataset.theme = dark ? "dark" : "light";
  const turn = () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    framed.forEach((chart) => chart.draw());
  };
  byId("theme").addEventListener("click", turn);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  byId("keys-close").addEventListener("click", () => byId("keys").close());
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "t") turn();
    else if (event.key === "?") byId("keys").showModal();
    else if (event.key === "/") { event.preventDefault(); byId("find").focus(); }
  });
}

function charts() {
  const quality = metrics.map((c) => [c.name, titleOf(c)]);
  const first = (byName("adcc") ?? metrics[0] ?? columns[0]).name;
  for (const [id, draw] of [["distribution", drawDistribution], ["time", drawTime]]) {
    const select = byId(`${id}-metric`), chart = byId(id === "time" ? "time-chart" : id);
    options(select, id === "time" ? quality : columns.map((c) => [c.name, titleOf(c)]));
    select.value = first;
    const redraw = () => draw(chart, byName(select.value));
    select.addEventListener("change", redraw);
    redraw();
  }
  const ranked = byId("ranking-metric");
  if (ranked) {
    const redraw = () => drawRanking(byId("ranking"), content.rankings[Number(ranked.value)]);
    ranked.addEventListener("change", redraw);
    redraw();
  }
  const names = [...new Set(data.curves.map((c) => c.name))];
  if (!names.length) { byId("curves").remove(); document.querySelector('nav a[href="#curves"]')?.remove(); return; }
  options(byId("curve-name"), names.map((n) => [n, n]));
  const redraw = () => {
    const name = byId("curve-name").value;
    const series = data.curves.filter((c) => c.name === name).map((c) => ({ line: c.line, y: c.mean, low: c.low, high: c.high, note: `(${c.n.toLocaleString("en")})` }));
    drawCurves(byId("curve"), series, { name, bands: byId("curve-bands").checked, height: 400 });
  };
  byId("curve-name").addEventListener("change", redraw);
  byId("curve-bands").addEventListener("change", redraw);
  redraw();
}

async function open() {
  theme();
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("i.key").forEach((box) => { box.style.background = colourOf(Number(box.dataset.line)); });
  pairs();
  await unpack();
  charts();
  browse();
  viewer();
  performance.mark("ready");
  document.documentElement.dataset.ready = "true";
}

open().catch((error) => {
  byId("found").textContent = `This browser cannot show the images: ${error.message}`;
  throw error;
});
