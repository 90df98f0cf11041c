// Tables that sort by any column; the heads are buttons, so that keys and screen readers reach them.
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const first = head.dataset.better === "lower" || !head.classList.contains("num") ? "ascending" : "descending";
      const way = before ? (before === "ascending" ? "descending" : "ascending") : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const key = (row) => {
        const cell = row.cells[place], value = cell.dataset.value ?? cell.textContent.trim();
        const number = Number(value);
        return value === "" || Number.isNaN(number) ? (cell.classList.contains("num") ? NaN : value) : number;
      };
      const sign = way === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => compared(a, b, sign));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

function compared(a, b, sign) {
  const missing = (v) => typeof v === "number" && Number.isNaN(v);
  if (missing(a) || missing(b)) return missing(a) - missing(b); // last, whatever the way
  if (typeof a === "string" || typeof b === "string") return sign * String(a).localeCompare(String(b));
  return sign * (a - b);
}

function pairs() {
  const table = byId("pairs-table");
  if (!table) return;
  const chosen = byId("pairs-metric"), near = byId("pairs-neighbours");
  const show = () => {
    let count = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = (chosen.value && row.dataset.column !== chosen.value) || (near.checked && row.dataset.neighbours !== "true");
      count += !row.hidden;
    }
    byId("pairs-count").textContent = `${count} pairs`;
  };
  chosen.addEventListener("change", show);
  near.addEventListener("change", show);
  show();
}
