// The report's numbers: JSON, and typed arrays that are unpacked when the page opens.
const content = JSON.parse(byId("content").textContent);
const pictures = JSON.parse(byId("pictures").textContent);
const lines = content.lines;
const columns = content.columns;
const data = {};

const FORMS = { f32: Float32Array, i32: Int32Array, u8: Uint8Array };
const DEGENERATE = 2, ERROR = 4;

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function unpack() {
  const stream = new Blob([bytesOf(byId("packed").textContent)]).stream();
  const buffer = await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  byId("packed").remove();
  const at = ([offset, length, form]) =>
    form === "text"
      ? new TextDecoder().decode(new Uint8Array(buffer, offset, length)).split("\n")
      : new FORMS[form](buffer, offset, length / FORMS[form].BYTES_PER_ELEMENT);
  data.ids = at(content.ids);
  data.labels = at(content.labels);
  data.disagreement = at(content.disagreement);
  data.lines = lines.map((line) => ({
    flags: at(line.flags),
    targets: at(line.targets),
    values: Object.fromEntries(Object.entries(line.values).map(([name, place]) => [name, at(place)])),
  }));
  data.curves = content.curves.map((curve) => {
    const images = at(curve.images), values = at(curve.values), rows = new Map();
    images.forEach((image, row) => rows.set(image, row));
    return { ...curve, of: (image) => rows.has(image)
      ? values.subarray(rows.get(image) * curve.points, (rows.get(image) + 1) * curve.points) : null };
  });
}

const valueOf = (line, column, image) => data.lines[line].values[column.name]?.[image] ?? NaN;
const nameOf = (index) => (index < 0 ? "–" : content.classes[index] ?? `class ${index}`);
const metrics = columns.filter((column) => column.better && column.name !== "seconds");
const byName = (name) => columns.find((column) => column.name === name);

// Colours that people without colour vision tell apart (Okabe and Ito 2008, without yellow), then the same with dashes.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8f96"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const colourOf = (line) => COLOURS[line % COLOURS.length];
const dashOf = (line) => DASHES[Math.floor(line / COLOURS.length) % DASHES.length];
