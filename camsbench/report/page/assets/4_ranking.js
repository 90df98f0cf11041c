// Mean ranks of the methods under a metric, each with half of Nemenyi's critical difference on both sides.
function drawRanking(target, ranking) {
  const rows = [...ranking.methods].sort((a, b) => a.rank - b.rank), half = ranking.critical / 2;
  const narrow = (width) => width < 560, rowHeight = (width) => (narrow(width) ? 44 : 30);
  const labels = rows.map(({ line }) => ({ label: lines[line].label }));
  const differs = ranking.p < 0.05 ? "at least one method differs" : "no difference is shown";
  const p = ranking.p < 0.001 ? "p < 0.001" : `p = ${ranking.p.toFixed(3)}`;
  byId("ranking-note").textContent = `${ranking.where}, ${ranking.images.toLocaleString("en")} images. Friedman's test: ${p}, ${differs}. ` +
    `Critical difference of mean ranks: ${ranking.critical.toFixed(2)}. Methods whose bars overlap are not told apart.`;
  const hover = ({ dataIndex }) => {
    const { line, rank, best, low, high } = rows[dataIndex];
    return hint(`${ranking.title}, ${ranking.images.toLocaleString("en")} images`, ["mean rank", "P(best)", "ranks"],
      [[line, rank.toFixed(2), `${(100 * best).toFixed(0)} %`, `${low} to ${high}`]]);
  };
  const renderItem = ({ dataIndex, coordSys }, api) => {
    const { line, rank } = rows[dataIndex], fill = colourOf(line);
    const [[left, y], [middle], [right]] = [rank - half, rank, rank + half].map((x) => api.coord([x, dataIndex]));
    const name = { type: "text", style: { text: lines[line].label, x: coordSys.x, y: y - 22, width: coordSys.width, overflow: "truncate",
      fill: ink("fg"), fontSize: 12, fontFamily: face() } };
    return { type: "group", children: [...(narrow(coordSys.width + 32) ? [name] : []),
      { type: "rect", shape: { x: left, y: y - 4, width: right - left, height: 8, r: 2 }, style: { fill, opacity: 0.45 } },
      { type: "circle", shape: { cx: middle, cy: y, r: 5 }, style: { fill } }] };
  };
  show(target, {
    title: `Mean ranks by ${ranking.title}`, axes: ["x"], hover: { trigger: "item", formatter: hover },
    label: `Mean ranks of the methods by ${ranking.title}, 1 is the best: ` +
      rows.map(({ line, rank }) => `${lines[line].label} ${rank.toFixed(2)}`).join(", "),
    height: (width) => rows.length * rowHeight(width) + (narrow(width) ? 84 : 70),
    option: (width) => ({
      grid: { left: narrow(width) ? 12 : 190, right: 20, top: narrow(width) ? 30 : 16, bottom: 54 },
      xAxis: axis({ name: "mean rank over images (1 is the best)", min: Math.floor(rows[0].rank - half), max: Math.ceil(rows.at(-1).rank + half) }),
      yAxis: names(labels, narrow(width)),
      series: [{ type: "custom", clip: true, renderItem, data: rows.map(({ rank }, r) => [rank - half, rank + half, rank, r]), encode: { x: [0, 1, 2], y: 3 } }],
    }),
  });
}
