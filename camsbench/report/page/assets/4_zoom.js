// The zoom of a chart by buttons and keys; the wheel with Ctrl, two fingers and dragging are the library's.
const CLOSER = 0.75;
const KEYS = { "+": [CLOSER], "=": [CLOSER], "-": [1 / CLOSER], 0: [100],
  ArrowLeft: [1, -0.2], ArrowRight: [1, 0.2], ArrowUp: [1, 0, 0.2], ArrowDown: [1, 0, -0.2] };

const entire = ({ zoom }) => zoom.every(([start, end]) => end - start > 99.9);

// By a factor, and aside by shares of what is seen, to the right and up.
function turn(held, factor, right = 0, up = 0) {
  const about = factor < 1 ? focus(held) : [0.5, 0.5], aside = [right, up];
  held.chart.dispatchAction({ type: "dataZoom", batch: held.zoom.map((range, i) => {
    const [start, end] = moved(range, factor, about[i], aside[i]);
    return { dataZoomIndex: i, start, end };
  }) });
}

function pressed(held, event) {
  const known = KEYS[event.key], idle = event.key.startsWith("Arrow") && entire(held);
  if (!known || idle || event.ctrlKey || event.metaKey || event.altKey) return;
  turn(held, ...known);
  event.preventDefault();
  event.stopPropagation(); // arrows turn the pages of the large view
}

// A range in percent: by a factor, about a place within it and aside, both in shares of it.
function moved([start, end], factor, about, aside) {
  const length = Math.min(100, Math.max(1, (end - start) * factor));
  const first = Math.min(100 - length, Math.max(0, start + about * (end - start) - length / 2 + aside * length));
  return [first, first + length];
}

// Where the chart's focus lies in what is seen, shares from the left and from below; the middle, where it is not seen.
function focus({ told, chart }) {
  if (!told.focus) return [0.5, 0.5];
  const { left, right, top, bottom } = chart.getOption().grid[0], [x, y] = chart.convertToPixel({ gridIndex: 0 }, told.focus);
  const wide = chart.getWidth() - left - right, high = chart.getHeight() - top - bottom;
  return [(x - left) / wide, 1 - (y - top) / high].map((share) => (share >= 0 && share <= 1 ? share : 0.5));
}
