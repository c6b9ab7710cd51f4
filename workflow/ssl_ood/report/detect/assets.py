"""Style and script of the page; plain, so that it opens from a disk in any browser."""

from ssl_ood.report.web import part

STYLE = (
    part("base.css")
    + """
body { max-width: 80rem; padding: 1rem }
.cards { list-style: none; display: grid; gap: .75rem; padding: 0; margin: 0;
  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)) }
.card { border: 1px solid #d4d4d4; border-radius: 6px; padding: .6rem; max-width: none;
  break-inside: avoid }
.card.flagged { border-color: #b91c1c }
.card header { display: flex; gap: .5rem; align-items: baseline; flex-wrap: wrap }
.card b { font-size: 1.05rem }
.name { font-size: .85rem; overflow-wrap: anywhere; display: block; margin: .1rem 0 .4rem }
.numbers { font-size: .85rem; color: #404040 }
.pictures { display: flex; gap: .5rem; align-items: flex-start; margin: 0 }
.pictures figure { margin: 0; min-width: 0 }
.pictures figcaption { font-size: .75rem; color: #404040; overflow-wrap: anywhere }
.own { flex: 0 0 32% } .near { flex: 1 1 0 }
.frame { position: relative; display: block }
.frame img { width: 100%; aspect-ratio: 1; display: block; background: #f5f5f5;
  outline: 1px solid #d4d4d4; outline-offset: -1px }
.frame img.small { image-rendering: pixelated }
.frame img.heat { position: absolute; inset: 0; background: none; outline: none }
.no-heat .heat { visibility: hidden }
.none { display: grid; place-items: center; aspect-ratio: 1; background: #f5f5f5; color: #525252;
  font-size: .75rem; text-align: center; padding: .2rem }
svg { width: 100%; height: auto; max-width: 48rem; display: block }
table { width: 100% }
td.words { white-space: normal; overflow-wrap: anywhere; min-width: 11rem }
tr.flagged td:first-child { box-shadow: inset 4px 0 #b91c1c }
label { display: inline-flex; gap: .4rem; align-items: center; min-height: 2.75rem }
input[type=search] { font: inherit; padding: .4rem; border: 1px solid #737373; border-radius: 4px;
  min-width: 12rem }
input[type=checkbox] { width: 1.25rem; height: 1.25rem }
@media (max-width: 30rem) {
  svg text { font-size: 22px }
  body { padding: .75rem } .cards { grid-template-columns: 1fr }
}
@media print {
  .cards { grid-template-columns: repeat(3, 1fr) }
}
"""
)

SCRIPT = (
    part("sort.js")
    + """
(() => {
  const body = document.querySelector("#images").tBodies[0];
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
)
