"""figure_negative_sources: where the negatives come from, and what that changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.report.figures.points import (
    draw_bars,
    draw_points,
    interval_words,
    legend_below,
    truncated_label,
)
from ssl_ood.report.figures.style import (
    BOTH,
    IN_DISTRIBUTION,
    PAGE,
    SOURCES,
    Style,
    new_figure,
    save_figure,
)
from ssl_ood.report.options import Scored
from ssl_ood.report.records import Record, measure
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import score_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ssl_ood.report.make import Files

AUXILIARY, OUT_DOMAIN = "auxiliary", "out_domain"  # sources that a study names for each dataset
OWN, TOGETHER = "in_distribution", "both"
TITLES = {
    OWN: "In-distribution images",
    AUXILIARY: "Auxiliary images",
    TOGETHER: "Both",
    OUT_DOMAIN: "Out-of-domain auxiliary images",
}
STYLES = {
    OWN: Style(IN_DISTRIBUTION, "o"),
    AUXILIARY: Style(SOURCES[0], "s"),
    TOGETHER: Style(BOTH, "D"),
    OUT_DOMAIN: Style(SOURCES[1], "^"),
}
LEFT, RIGHT = (OWN, AUXILIARY, TOGETHER), (AUXILIARY, OUT_DOMAIN)
APART, BESIDE = 0.25, 0.1  # from source to source, and from a mean to the seeds that it is of


class Place(NamedTuple):
    """A position on the x axis: an OOD set, and the records there by the role of the negatives."""

    title: str
    records: dict[str, Record]


@register(
    "figure",
    "negative_sources",
    title="Sources of negatives",
    notes="AUROC by where the negatives come from (figure 7.2).",
    needs={"measurements"},
    settings=Scored,
)
def negative_sources_figure(results: Results, _: Files, prefix: Path) -> None:
    """Figure 7.2: negatives from in-distribution, auxiliary images or both; in-domain or not.

    The right panel has the datasets for which both kinds of auxiliary images were run; without any
    there is no such panel.
    """
    places = [place for home in results.in_distributions() for place in _places(results, home)]
    left = [p for p in places if set(LEFT) & set(p.records)]
    right = [p for p in places if set(RIGHT) <= set(p.records)]
    panels = [(left, LEFT, "Source of the negatives")] * bool(left)
    panels += [(right, RIGHT, "Domain of the auxiliary images")] * bool(right)
    if not panels:
        raise UserError(
            f"{results.spec['name']}: no strategy with negatives has an AUROC; compute the metrics "
            "of its runs first."
        )
    ratios = [max(len(places), 2) for places, *_ in panels]
    width = min(PAGE, 0.9 + 1.15 * sum(ratios))
    figure, grid = new_figure(width, 3.1, 1, len(panels), sharey=True, width_ratios=ratios)
    records = []
    for axes, (shown, roles, title) in zip(grid[0], panels, strict=True):
        rows = _draw(axes, results, shown, roles)
        records += [{"panel": title} | row for row in rows]
        axes.set_title(title, loc="left")
    truncated_label(grid[0, 0], f"AUROC ({score_title(results.score)})", 2, 1.0)
    words = interval_words(results, [record["n"] for record in records])
    legend_below(figure, TITLES, 2 if width < 5 else 4, f"Bars: {words}")
    save_figure(figure, prefix, records)


def _draw(
    axes: Axes, results: Results, shown: Sequence[Place], roles: Sequence[str]
) -> list[dict[str, Any]]:
    """One panel: means and intervals, each seed beside them, small, where there are several.

    Returns the rows of its csv.
    """
    import pandas as pd

    records, places, seeds = [], [], []
    for position, place in enumerate(shown):
        there = [role for role in roles if role in place.records]
        for i, role in enumerate(there):
            row = place.records[role]
            x = position + APART * (i - (len(there) - 1) / 2)
            records.append({"source": role} | row)
            places.append(x)
            if row["n"] > 1:
                by_seed = results.by_seed(
                    row["in_distribution"], row["strategy"], ood=row["dataset"]
                )
                seeds += [(role, x + BESIDE, each.value) for each in by_seed.values()]
    frame = pd.DataFrame(records).assign(x=places)
    bars = [frame["measured"] - frame["low"], frame["high"] - frame["measured"]]
    styles = {role: STYLES[role] for role in roles if role in set(frame["source"])}
    draw_bars(axes, frame, "source", styles, y="measured", yerr=bars)
    draw_points(axes, frame, "source", styles, y="measured", legend="full")
    if seeds:
        small = pd.DataFrame(seeds, columns=["source", "x", "y"])
        dots = {role: Style(style.colour, "o") for role, style in styles.items()}
        draw_points(axes, small, "source", dots, s=6, alpha=0.7, linewidth=0, zorder=2)
    axes.set_xticks(range(len(shown)), [place.title for place in shown])
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_xlabel("")
    axes.grid(visible=False, axis="x")
    for x in range(1, len(shown)):
        axes.axvline(x - 0.5, color="#e6e6e6", linewidth=0.5, zorder=0)
    return records


def _places(results: Results, home: str) -> list[Place]:
    places = []
    for ood in results.ood_sets(home):
        records: dict[str, Record] = {}
        for strategy in results.strategies(home):
            role = _role(results, strategy)
            record = measure(results, home, strategy, dataset=ood, unit="fraction")
            if role and record["n"]:
                records.setdefault(role, record)
        titles = results.title("datasets", home), results.title("datasets", ood)
        places.append(Place("\n".join(titles), records))
    return places


def _role(results: Results, strategy: str) -> str | None:
    """Where a strategy takes its negatives from, as the config's pairs of it tell."""
    sources = {pair["source"] for pair in results.spec["strategies"].get(strategy, [])}
    if len(sources) > 1:
        return TOGETHER if OWN in sources else None
    return next((role for role in (OWN, AUXILIARY, OUT_DOMAIN) if sources == {role}), None)
