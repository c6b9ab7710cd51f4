"""Style and script of the page; plain, so that it opens from a disk in any browser."""

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto;
  max-width: 80rem; padding: 1rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p, li { max-width: 48rem }
.notice { border-left: 4px solid #b45309; background: #fffbeb; padding: .4rem .8rem;
  margin: 1rem 0 }
.cards { list-style: none; display: grid; gap: .75rem; padding: 0; margin: 0;
  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)) }
.card { border: 1px solid #d4d4d4; border-radius: 6px; padding: .6rem; max-width: none;
  break-inside: avoid }
.card.flagged { border-color: #b91c1c }
.card header { display: flex; gap: .5rem; align-items: baseline; flex-wrap: wrap }
.card b { font-size: 1.05rem }
.badge { background: #b91c1c; color: #fff; border-radius: 4px; padding: 0 .4rem; font-size: .85rem }
.name { font-size: .85rem; overflow-wrap: anywhere; display: block; margin: .1rem 0 .4rem }
.numbers { font-size: .85rem; color: #404040 }
.pictures { display: flex; gap: .5rem; align-items: flex-start; margin: 0 }
.pictures figure { margin: 0; min-width: 0 }
.pictures figcaption { font-size: .75rem; color: #404040; overflow-wrap: anywhere }
.own { flex: 0 0 32% } .near { flex: 1 1 0 }
nav { display: flex; flex-wrap: wrap; gap: 0 1.25rem }
nav a { color: #1d4ed8; min-height: 2.75rem; display: inline-flex; align-items: center }
.frame { position: relative; display: block }
.frame img { width: 100%; aspect-ratio: 1; display: block; background: #f5f5f5;
  outline: 1px solid #d4d4d4; outline-offset: -1px }
.frame img.small { image-rendering: pixelated }
.frame img.heat { position: absolute; inset: 0; background: none; outline: none }
.no-heat .heat { visibility: hidden }
.none { display: grid; place-items: center; aspect-ratio: 1; background: #f5f5f5; color: #525252;
  font-size: .75rem; text-align: center; padding: .2rem }
.scroll { overflow-x: auto }
svg { width: 100%; height: auto; max-width: 48rem; display: block }
table { border-collapse: collapse; font-size: .875rem; width: 100% }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #e5e5e5;
  white-space: nowrap; vertical-align: top }
th { border-bottom: 2px solid #1a1a1a; padding: 0 }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: .4rem .6rem; cursor: pointer; width: 100%; text-align: inherit; min-height: 2.75rem }
th[aria-sort=ascending] button::after { content: " \\25B2" }
th[aria-sort=descending] button::after { content: " \\25BC" }
td.words, th.words { text-align: left }
td.words { white-space: normal; overflow-wrap: anywhere; min-width: 11rem }
tr.flagged td:first-child { box-shadow: inset 4px 0 #b91c1c }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem }
dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
label { display: inline-flex; gap: .4rem; align-items: center; min-height: 2.75rem }
input[type=search] { font: inherit; padding: .4rem; border: 1px solid #737373; border-radius: 4px;
  min-width: 12rem }
input[type=checkbox] { width: 1.25rem; height: 1.25rem }
summary { cursor: pointer; min-height: 2.75rem; display: flex; align-items: center }
summary::before { content: "\\25B8\\00A0" }
details[open] > summary::before { content: "\\25BE\\00A0" }
button:focus-visible, input:focus-visible, summary:focus-visible { outline: 3px solid #1d4ed8 }
@media (max-width: 30rem) {
  svg text { font-size: 22px }
  body { padding: .75rem } .cards { grid-template-columns: 1fr }
  dl { grid-template-columns: 1fr } dd { margin-bottom: .4rem }
}
@media print {
  body { max-width: none; font-size: 11pt } .tools { display: none }
  .cards { grid-template-columns: repeat(3, 1fr) } .scroll { overflow: visible }
  th button { padding: .2rem; min-height: 0 } h2 { break-after: avoid }
}
"""

SCRIPT = """
"use strict";
(() => {
  const table = document.querySelector("#images");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, i) => {
    const text = row.cells[i].dataset.value ?? row.cells[i].textContent;
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), undefined, { numeric: true });
  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [value(row, i), row]);
    rows.sort((a, b) => (down ? -1 : 1) * compare(a[0], b[0]));
    body.append(...rows.map((pair) => pair[1]));
  }));
  const said = document.querySelector("#said");
  document.querySelector("#filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !row.cells[1].textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    said.textContent = wanted ? `${shown} of ${body.rows.length} rows` : "";
  });
  document.querySelector("#heat")?.addEventListener("change", (event) => {
    document.body.classList.toggle("no-heat", !event.target.checked);
  });
})();
"""
