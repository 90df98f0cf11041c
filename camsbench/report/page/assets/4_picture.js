// A chart as a file: drawn again beside the page, with its title and, where lines have one, its legend.
const LEGEND = 190; // its width in a picture; in the page it is buttons

function picture(held) {
  const { told } = held, place = Math.max(640, held.width), named = told.legend?.length;
  const width = place + (named ? LEGEND : 0);
  const height = Math.max(told.height(place), named ? 22 * named : 0) + 34;
  const made = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
  const option = dressed(held, place, made);
  made.setOption({ ...option, tooltip: { show: false }, backgroundColor: ink("bg"),
    title: { text: told.title, left: 8, top: 6, textStyle: { fontSize: 14, color: ink("fg") } },
    grid: { ...option.grid, top: option.grid.top + 34, right: option.grid.right + (named ? LEGEND : 0) },
    legend: { show: Boolean(named), data: told.legend, orient: "vertical", right: 8, top: 40, itemWidth: 26,
      itemStyle: { opacity: 0 }, selectedMode: false, textStyle: { color: ink("fg"), width: LEGEND - 50, overflow: "truncate" } } });
  const svg = made.renderToSVGString();
  made.dispose();
  return { url: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`, width, height };
}

async function keep(held, kind) {
  const { url, width, height } = picture(held);
  const name = `${content.title} ${held.told.title}`.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  element("a", { href: kind === "svg" ? url : await pixels(url, width, height), download: `${name}.${kind}` }).click();
}

async function pixels(url, width, height) {
  const image = new Image(), canvas = element("canvas", { width: 2 * width, height: 2 * height });
  image.src = url;
  await image.decode();
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}
