"use strict";
// Tables of the class `sortable`: a press on a title sorts by its column, a second one the other way
// round. Each tbody is sorted for itself; a row of the class `below` stays under the row above it, a
// `heading` stays first, and what is no number comes last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const value = (row, i) => {
    const text = row.cells[i].dataset.value ?? row.cells[i].textContent.trim();
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const kind = (v) => (typeof v === "number" ? 0 : v === "" || v === "—" ? 2 : 1);
  const compare = (a, b, down) => {
    if (kind(a) !== kind(b)) return kind(a) - kind(b);
    const order = kind(a) === 0 ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return down ? -order : order;
  };
  const groups = (body) => {
    const found = [];
    for (const row of body.rows) {
      if (row.classList.contains("below") && found.length) found[found.length - 1].push(row);
      else found.push([row]);
    }
    return found;
  };
  heads.forEach((head, i) => {
    let button = head.querySelector("button");
    if (!button) {
      button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
    }
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      table.classList.add("sorted");
      for (const body of table.tBodies) {
        const all = groups(body);
        const fixed = all.filter((rows) => rows[0].classList.contains("heading"));
        const free = all.filter((rows) => !rows[0].classList.contains("heading"));
        const keyed = free.map((rows) => [value(rows[0], i), rows]);
        keyed.sort((a, b) => compare(a[0], b[0], down));
        body.append(...fixed.flat(), ...keyed.flatMap((pair) => pair[1]));
      }
    });
  });
}
