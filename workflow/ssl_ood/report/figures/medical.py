"""The figures of chapters 5 and 7: label efficiency, and where the negatives come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import NO_NEGATIVES, SEEDS
from ssl_ood.report.figures.style import (
    BOTH,
    COLUMN,
    IN_DISTRIBUTION,
    PAGE,
    PLAIN_COLOURS,
    PLAIN_MARKERS,
    SOURCES,
    Style,
    new_figure,
    save_figure,
)
from ssl_ood.report.options import Scored, Titled
from ssl_ood.report.results import Results, Summary
from ssl_ood.report.table_parts import Column, Entry, measure, score_title
from ssl_ood.report.tables.contrastive import (
    ALL,
    abnormal_column,
    fine_tuned,
    initialisations,
    training_images,
    variant_title,
)
from ssl_ood.report.writers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AUXILIARY, OUT_DOMAIN = "auxiliary", "out_domain"  # sources that a study names for each dataset
OWN, TOGETHER = "in_distribution", "both"
ROLES = {
    OWN: ("In-distribution images", Style(IN_DISTRIBUTION, "o")),
    AUXILIARY: ("Auxiliary images", Style(SOURCES[0], "s")),
    TOGETHER: ("Both", Style(BOTH, "D")),
    OUT_DOMAIN: ("Out-of-domain auxiliary images", Style(SOURCES[1], "^")),
}
REPORTED = "Reported in the thesis"
LEFT, RIGHT = (OWN, AUXILIARY, TOGETHER), (AUXILIARY, OUT_DOMAIN)


def interval_words(results: Results, summaries: Iterable[Summary]) -> str:
    """What the bars are: `95 % interval over images`, `... of the mean over 3 seeds`."""
    counts = {s.n for s in summaries}
    level = f"{100 * results.confidence:g} % interval"
    if counts == {1}:
        return f"{level} over images, one {results.repeats.removesuffix('s')}"
    n = str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f"{level} of the mean over {n} {results.repeats}"


def bars(summaries: Sequence[Summary]) -> list[list[float]]:
    """Lengths below and above the means, for `Axes.errorbar`; 0 where there is no interval."""
    below = [0 if math.isnan(s.low) else s.mean - s.low for s in summaries]
    above = [0 if math.isnan(s.high) else s.high - s.mean for s in summaries]
    return [below, above]


def truncated_label(axes: Axes, what: str, digits: int, one: float) -> None:
    """Names the y axis, and says where it starts, since it does not at 0.

    one: a share of 1 in the axis's unit; it starts at a twentieth of that and ends just above it.
    """
    low, high = axes.get_ylim()
    low = math.floor(20 * low / one) * one / 20
    axes.set_ylim(low, min(high, one + 0.03 * (one - low)))  # a marker at 1 is seen whole
    axes.set_ylabel(f"{what}\n(axis starts at {number(low, digits)})")


@register(
    "figure",
    "label_efficiency",
    title="Label efficiency",
    notes="AUROC against the number of labels, one line per initialisation (figure 5.3).",
    needs={"measurements"},
    settings=Titled,
)
def label_efficiency_figure(results: Results, _: Any, prefix: Path) -> None:
    """Figure 5.3: AUROC against the number of labels, a line an initialisation."""
    homes = results.in_distributions()
    figure, grid = new_figure(COLUMN * 1.25 * len(homes), 3.4, 1, len(homes), sharey=True)
    records = []
    for axes, home in zip(grid[0], homes, strict=True):
        records += _draw_label_efficiency(axes, results, home)
    if not records:
        raise UserError(
            f"{results.spec['name']}: no run has an AUROC; compute the metrics of its runs first."
        )
    truncated_label(grid[0, 0], "AUROC (%)", 0, 100.0)
    named = zip(*grid[0, 0].get_legend_handles_labels(), strict=True)
    handles, labels = zip(*sorted(named, key=lambda pair: pair[1] == REPORTED), strict=True)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, handlelength=2.2
    )
    save_figure(figure, prefix, records)


def _draw_label_efficiency(axes: Axes, results: Results, home: str) -> list[dict[str, Any]]:
    from matplotlib.ticker import FixedLocator, NullLocator

    column, points = abnormal_column(results, home), fine_tuned(results, home)
    counts = [int(p.labels) for p in points if p.labels != ALL]
    everything = training_images(results, home) or 2 * max(counts, default=1)
    where = {p.labels: everything if p.labels == ALL else int(p.labels) for p in points}
    names, records, drawn, reported = initialisations(results), [], [], []
    for i, name in enumerate(names):
        style = Style(PLAIN_COLOURS[1:][i % 6], PLAIN_MARKERS[i % len(PLAIN_MARKERS)])
        entries: list[tuple[float, str, Entry]] = []
        for point in points:
            if point.initialisation == name:
                found = measure(results, home, NO_NEGATIVES, column, point.variant)
                # side by side, so that bars of equal counts can be told apart
                x = where[point.labels] * 1.05 ** (i - (len(names) - 1) / 2)
                entries.append((x, point.labels, found))
        shown = [(x, labels, e) for x, labels, e in entries if e.summary is not None]
        summaries = [_with_spread(e.summary) for _, _, e in shown]
        title = variant_title(results, name)
        if shown:
            axes.errorbar(
                [x for x, *_ in shown],
                [s.mean for s in summaries],
                bars(summaries),
                label=title,
                zorder=3,
                linewidth=1.1,
                linestyle=("-", "--", "-.", ":")[i % 4],
                **(style.point() | {"fmt": style.marker}),
            )
        drawn += [e.summary for _, _, e in shown]
        for x, labels, e in entries:
            if e.reported is not None:
                reported.append((x, e.reported, style.colour))
            records.append(e.record | {"initialisation": name, "labels": labels})
    for i, (x, value, colour) in enumerate(reported):
        axes.plot(
            x,
            value,
            "*",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.0,
            zorder=4,
            linestyle="none",
            label=REPORTED if i == 0 else None,
        )
    axes.set_xscale("log")
    ticks = dict(sorted({where[p.labels]: p.labels for p in points}.items()))
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    told = training_images(results, home) is not None
    axes.set_xticklabels([_tick(x, labels, told) for x, labels in ticks.items()])
    axes.set_xlabel("Labelled training images")
    words = _spread_words(results, drawn) if drawn else "nothing measured yet"
    axes.set_title(f"{results.title('datasets', home)}\n{words}", loc="left")
    return records if drawn else []


def _tick(x: float, labels: str, told: bool) -> str:
    return f"{ALL}\n{x:,.0f}" if labels == ALL and told else ALL if labels == ALL else f"{x:,.0f}"


def _with_spread(summary: Summary) -> Summary:
    """The summary with ± one standard deviation over seeds in place of the interval of the mean."""
    if summary.over != SEEDS:
        return summary
    return Summary(
        summary.mean,
        summary.spread,
        summary.mean - summary.spread,
        summary.mean + summary.spread,
        SEEDS,
        summary.n,
        summary.runs,
    )


def _spread_words(results: Results, summaries: Sequence[Summary]) -> str:
    n = {s.n for s in summaries}
    return (
        f"bars: SD over {max(n)} {results.repeats}"
        if max(n) > 1
        else (f"bars: {interval_words(results, summaries)}")
    )


class Place(NamedTuple):
    """A position on the x axis: an OOD set, and the entries there by the role of the negatives."""

    title: str
    entries: dict[str, Entry]


@register(
    "figure",
    "negative_sources",
    title="Sources of negatives",
    notes="AUROC by where the negatives come from (figure 7.2).",
    needs={"measurements"},
    settings=Scored,
)
def negative_sources_figure(results: Results, _: Any, prefix: Path) -> None:
    """Figure 7.2: negatives from in-distribution, auxiliary images or both; in-domain or not.

    The right panel has the datasets for which both kinds of auxiliary images were run; without any
    there is no such panel.
    """
    places = [place for home in results.in_distributions() for place in _places(results, home)]
    left = [p for p in places if set(LEFT) & set(p.entries)]
    right = [p for p in places if set(RIGHT) <= set(p.entries)]
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
    records, drawn = [], []
    for axes, (shown, roles, title) in zip(grid[0], panels, strict=True):
        for x, place in enumerate(shown):
            there = [role for role in roles if role in place.entries]
            for i, role in enumerate(there):
                _draw_entry(
                    axes, results, x + 0.25 * (i - (len(there) - 1) / 2), role, place.entries[role]
                )
                drawn.append(place.entries[role].summary)
                records.append({"panel": title, "source": role} | place.entries[role].record)
        axes.set_xticks(range(len(shown)), [place.title for place in shown])
        axes.set_xlim(-0.5, len(shown) - 0.5)
        axes.grid(visible=False, axis="x")
        axes.set_title(title, loc="left")
        for x in range(1, len(shown)):
            axes.axvline(x - 0.5, color="#e6e6e6", linewidth=0.5, zorder=0)
    truncated_label(grid[0, 0], f"AUROC ({score_title(results.score)})", 2, 1.0)
    used = [role for role in ROLES if any(record["source"] == role for record in records)]
    handles = [grid[0, 0].errorbar([], [], **ROLES[role][1].point()).lines[0] for role in used]
    figure.legend(
        handles,
        [ROLES[role][0] for role in used],
        loc="outside lower center",
        ncols=2 if width < 5 else 4,
        frameon=False,
        handletextpad=0.2,
        title=f"Bars: {interval_words(results, drawn)}",
        title_fontsize=7.5,
    )
    save_figure(figure, prefix, records)


def _places(results: Results, home: str) -> list[Place]:
    found = []
    for ood in results.ood_sets(home):
        entries: dict[str, Entry] = {}
        for strategy in results.strategies(home):
            role = _role(results, strategy)
            entry = measure(results, home, strategy, Column("", ood=ood, unit="fraction"))
            if role and entry.summary is not None:
                entries.setdefault(role, entry)
        titles = results.title("datasets", home), results.title("datasets", ood)
        found.append(Place("\n".join(titles), entries))
    return found


def _role(results: Results, strategy: str) -> str | None:
    """Where a strategy takes its negatives from, as the config's pairs of it tell."""
    sources = {pair["source"] for pair in results.spec["strategies"].get(strategy, [])}
    if len(sources) > 1:
        return TOGETHER if OWN in sources else None
    return next((role for role in (OWN, AUXILIARY, OUT_DOMAIN) if sources == {role}), None)


def _draw_entry(axes: Axes, results: Results, x: float, role: str, entry: Entry) -> None:
    """Mean and interval; each seed beside it, small, where there are several."""
    style = ROLES[role][1]
    summary = entry.summary
    axes.errorbar([x], [summary.mean], bars([summary]), zorder=3, **style.point())
    if summary.n > 1:
        row = entry.record
        found = results.by_seed(row["in_distribution"], row["strategy"], ood=row["dataset"])
        values = [m.value for m in found.values()]
        axes.plot(
            [x + 0.1] * len(values),
            values,
            ".",
            color=style.colour,
            markersize=3,
            alpha=0.7,
            zorder=2,
        )
