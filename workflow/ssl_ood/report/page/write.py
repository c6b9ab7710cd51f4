"""Writes report.html of a results folder: one file, below 10 MB, that needs no network."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ssl_ood.common.commit import commit, version
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json, write_text
from ssl_ood.common.registry import lookup
from ssl_ood.report.chain import MEASUREMENTS, SHORTCUTS, Chains, Origin
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.page import landing
from ssl_ood.report.page.content import (
    SECTIONS,
    ShownTable,
    costs_table,
    coverage_table,
    is_there,
    negative_sets,
    section_of,
    shown_figure,
    shown_table,
)
from ssl_ood.report.page.evidence import refuse_other_images, run_facts, set_facts, used_origins
from ssl_ood.report.page.graph import drawn
from ssl_ood.report.page.pictures import embedded
from ssl_ood.report.table_html import table_element
from ssl_ood.report.web import POLICY, part
from ssl_ood.study.coverage import read_coverage, summary
from ssl_ood.study.runs import Experiments

FOLDER = Path(__file__).parent
TITLE = "Label-free out-of-distribution detection, reproduced"
TITLE_OWN = "Images unlike the others: networks trained without labels"
GRAPH = "job_graph.json"  # written by the workflow before its first job
MOST_BYTES = 10_000_000  # of the page
MOST_PICTURES = 7_500_000  # of them those of its pictures
FEWEST_BYTES = 3_000_000  # left for pictures, or the settings of the runs are left out
ROUNDING = 20_000  # for the sizes of the pictures, which stand beside them


def write_report(experiments: Experiments, output: Path) -> Path:
    """Writes the page of what is in the config's results folder, whole or not at all.

    Raises UserError where nothing was made, and where a number does not follow from its files.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html")
    context = _context(experiments)
    paths, results = context["paths"], Path(experiments.config.results_dir)
    blank = {"pictures": dict.fromkeys(paths, ("", 1, 1))}
    left = MOST_BYTES - len(page.render(context | blank).encode())
    if left < FEWEST_BYTES:  # hundreds of runs: their settings lie beside
        context["with_settings"] = False
        left = MOST_BYTES - len(page.render(context | blank).encode())
    pictures = embedded([results / path for path in paths], min(left - ROUNDING, MOST_PICTURES))
    context["pictures"] = {path: pictures[results / path] for path in paths}
    text = page.render(context)
    if len(text.encode()) >= MOST_BYTES:
        raise UserError(
            f"The page would be of {len(text.encode()) / 1e6:.1f} MB, which is too large to send: "
            "make it with a config of fewer tables and figures (`ssl_ood report --configfile`)."
        )
    write_text(output, text + "\n")
    return output


def _context(experiments: Experiments) -> dict[str, Any]:
    results = Path(experiments.config.results_dir)
    chains = Chains(results)
    targets = list(experiments.targets.values())
    made = [target for target in targets if is_there(target, results)]
    if not made:
        raise UserError(f"{results} has no table and no figure: make them with `snakemake all`.")
    tables = {t.name: shown_table(t, experiments, chains) for t in made if t.kind == "table"}
    figures = {t.name: shown_figure(t, experiments) for t in made if t.kind == "figure"}
    lead = next((figures[t.name] for t in made if lookup(t.kind, t.form).more.get("finding")), None)
    negatives = negative_sets(results)
    sections = []
    for section, title in SECTIONS.items():
        names = [t.name for t in made if section_of(t) == section]
        own = [tables[n] for n in names if n in tables]
        pictures = [figures[n] for n in names if n in figures and figures[n] is not lead]
        if own or pictures or (section == "negatives" and negatives):
            sections.append((section, title, own, pictures))
    claims = [tables[t.name] for t in made if section_of(t) == "claims" and t.kind == "table"]
    found, counts = landing.findings(claims)
    evidence = _evidence(experiments, chains, tables.values())
    trained = {r for r in experiments.runs if (results / "runs" / r / "train.json").exists()}
    costs = costs_table(results)
    graph = _graph(results)
    of_thesis = any(experiments.config.studies[t.settings.study].chapter for t in made)
    # Of own images alone, the thesis's tables are not what is missing.
    unmade = [t for t in targets if t not in made]
    unmade = [t for t in unmade if of_thesis or t.settings.study in experiments.own]
    paths = [f.path for f in figures.values()] + [one["path"] for one in negatives]
    contents = [("measured", "Measured"), ("missing", "Missing"), ("cost", "Cost")]
    contents += [(section, title) for section, title, *_ in sections]
    contents += [("costs", "Costs")] * (costs is not None)
    contents += [("coverage", "Coverage")] * of_thesis
    contents += [("runs", "Runs"), ("images", "Images")] * bool(evidence["runs"])
    contents += [("jobs", "Jobs")] * bool(graph)
    return {
        "title": TITLE if of_thesis else TITLE_OWN,
        "policy": POLICY,
        "style": Markup(part("base.css") + (FOLDER / "page.css").read_text(encoding="utf-8")),
        "script": Markup(part("sort.js") + (FOLDER / "page.js").read_text(encoding="utf-8")),
        "results_name": results.name,
        "version": version(),
        "commit": commit(),
        "short": _short(commit()),
        "contents": contents,
        "asked": landing.asked(experiments, made),
        "not_medical": landing.NOT_MEDICAL,
        "found": found,
        "counts": counts,
        "lead": lead,
        "measured": landing.measured_on(experiments, made, trained),
        "missing": landing.missing(experiments, made, unmade),
        "cost": landing.cost(costs),
        "costs": costs,
        "of_thesis": of_thesis,
        "coverage": coverage_table(),
        "coverage_summary": summary(read_coverage()),
        "sections": sections,
        "negatives": negatives,
        "paths": paths,
        "with_settings": True,
        "graph": graph,
        "element": _element,
        "plain": lambda table: Markup(table_element(table)),
        "rows": _rows,
        "download": _download,
        "exact": lambda value: f"{value!r}",
        "row_anchor": row_anchor,
        **evidence,
    }


def _evidence(
    experiments: Experiments, chains: Chains, tables: Sequence[ShownTable]
) -> dict[str, Any]:
    """The runs, pairs and packed sets that numbers come from, and the commits of the trainings."""
    origins = used_origins(entry for shown in tables for entry in shown.entries.values())
    used = origins.get(MEASUREMENTS, {})
    order = [*(run for run in experiments.runs if run in used), *used]
    runs = [run_facts(run, used[run], chains) for run in dict.fromkeys(order)]
    paths = [path for run in runs for path, *_ in run.sets]
    sets = set_facts(paths, chains, experiments.datasets)
    refuse_other_images(runs, sets)
    pairs = {name: [of[i] for i in sorted(of)] for name, of in origins.get(SHORTCUTS, {}).items()}
    commits = Counter(chains.training(run.run)["versions"].get("commit") for run in runs)
    named = {str(c or "not known"): n for c, n in commits.most_common()}
    return {"runs": runs, "pairs": pairs, "sets": sets, "commits": named}


def _short(name: str | None) -> str:
    """A commit in a few letters, and whether files differ from it."""
    head, _, changes = (name or "not known").partition("+")
    return f"{head[:10]} with changes" if changes else head[:10]


def row_anchor(origin: Origin) -> str:
    """The anchor of a row of measurements on the page."""
    folder = origin.file.partition("/")[0]
    return f"{'run' if folder == MEASUREMENTS else 'pair'}-{origin.run}-{origin.row}"


def _element(shown: ShownTable) -> Markup:
    """The table, whose cells lead to their entries."""

    def link(of: Sequence[int]) -> str:
        return next((f"#{shown.table.name}-{i}" for i in of if i in shown.entries), "")

    return Markup(table_element(shown.table, link))


def _rows(origins: Sequence[Origin]) -> Markup:
    """Rows of measurements, each with its anchor."""
    header = ["Row", "Metric", "Against", "Score", "τ", "Value", "Low", "High", "In", "Out"]
    lines = []
    for o in origins:
        numbers = [o.temperature, o.value, o.low, o.high]
        τ, *others = ("" if math.isnan(x) else f"{x!r}" for x in numbers)
        words = [str(o.row), o.metric, o.dataset, o.score, τ, *others, f"{o.n_in:,}"]
        lines.append([Cell(word) for word in [*words, f"{o.n_out:,}"]])
    table = Table("rows", f"Rows of {origins[0].file}", header, lines, [], text_columns=4)
    text = table_element(table, anchors=[row_anchor(o) for o in origins])
    return Markup(f'<div class="scroll" tabindex="0" role="region" aria-label="Rows">{text}</div>')


def _download(text: str) -> str:
    """The address of a csv file that travels with the page."""
    return f"data:text/csv;base64,{base64.b64encode(text.encode()).decode()}"


def _graph(results: Path) -> Markup | None:
    """The graph of the jobs that the workflow wrote; None where it has written none."""
    path = results / GRAPH
    if not path.is_file():
        return None
    told = read_json(path)
    return Markup(drawn(told["rules"], [tuple(edge) for edge in told["edges"]]))
