"""What the tables of every chapter are put together from: titles, words of captions, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import BASE, IN_DISTRIBUTION, JOIN, NO_NEGATIVES, UNTRAINED
from ssl_ood.report.results import Results

PHOTOGRAPHS = (
    "The average without photographs leaves out {names}: cut from photographs, as the auxiliary "
    "negatives are, so that telling photographs from {in_distribution} is enough to flag them."
)

UNREAD = {"abstract": "built from an abstract", "memory": "built from memory"}  # by source


def model_title(results: Results, strategy: str, variant: str) -> str:
    """Title of a strategy, or of the variant where that is not the base."""
    if variant == BASE:
        return results.title("strategies", strategy)
    title = results.title("variants", variant)
    if variant == UNTRAINED:
        return "Untrained network" if title == UNTRAINED else title
    return f"{results.title('strategies', strategy)}, {title}"


def variant_title(results: Results, variant: str) -> str:
    """Option `titles` of the target, else `titles.variants`; of a composition, of its parts."""
    title = results.options.titles.get(variant, results.title("variants", variant))
    if title != variant:
        return title
    if JOIN in variant:
        return ", ".join(variant_title(results, part) for part in variant.split(JOIN))
    return "Base" if variant == BASE else variant


def score_words(results: Results) -> str:
    """How the caption names the score shown."""
    return f"score {results.score}" + (f", τ = {results.tau:g}" if results.tau else "")


def score_title(score: str) -> str:
    """A score in a word or two, for a cell."""
    return lookup("score", score).title


def score_notes(scores: Iterable[str]) -> list[str]:
    """What the words for the scores mean."""
    entries = [lookup("score", score) for score in scores]
    texts = [f"{entry.title}: {entry.notes}" for entry in entries if entry.notes]
    return [f"Scores of the AUROC: {'; '.join(texts)}."] if texts else []


def origins_note(results: Results) -> list[str]:
    """Which of the methods that are measured beside ours were built without reading their paper."""
    built: dict[str, list[str]] = {}
    for name, other in results.baselines.items():
        source = lookup("method", other.spec["runs"][0]["method"]).source
        built.setdefault(source, []).append(name)
    parts = [f"{words}: {', '.join(built[s])}" for s, words in UNREAD.items() if s in built]
    return [f"Measured, but no reproduction: {'; '.join(parts)}."] if parts else []


def listed(titles: Iterable[str]) -> str:
    """`CIFAR-10, CIFAR-100 and SVHN`."""
    *first, last = [*titles] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def titles_of_homes(results: Results) -> str:
    """The in-distribution datasets, in words."""
    return listed(results.title("datasets", home) for home in results.in_distributions())


def seeds_note(counts: Iterable[int], results: Results, over_images: str = "DeLong") -> str:
    """What ± and the csv file's intervals are.

    counts: how many runs each record is of; over_images: the method of the intervals over images.
    """
    counts = set(counts) - {0}
    level = f"{100 * results.confidence:g} %"
    repeats = results.repeats
    if not counts:
        return "Nothing has been measured yet."
    if counts == {1}:
        one = repeats.removesuffix("s")
        return f"One {one}; the csv file has {level} intervals over images ({over_images})."
    n = str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return (
        f"Mean ± standard deviation over {n} {repeats}; the csv file has {level} intervals "
        f"(Student) of the mean over {repeats}."
    )


def grouped_by_source(results: Results, strategies: Sequence[str]) -> dict[str, str]:
    """Strategies in order of where their negatives come from, with the title of their group.

    Groups are known only where the spec tells the sources: `strategies: {name: [{source, ...}]}`.
    """
    pairs = results.spec.get("strategies")
    if not pairs or not set(strategies) <= set(pairs):
        return dict.fromkeys(strategies, "")

    def group(strategy: str) -> str:
        own = [pair["source"] == IN_DISTRIBUTION for pair in pairs[strategy]]
        if strategy == NO_NEGATIVES or not own:
            return "No negatives"
        return "In-dist." if all(own) else "Both" if any(own) else "Auxiliary"

    names = ["No negatives", "Auxiliary", "In-dist.", "Both"]
    return {s: group(s) for s in sorted(strategies, key=lambda s: names.index(group(s)))}


def photographs_notes(results: Results) -> list[str]:
    """The notes under a table that shows averages without photographs."""
    notes = []
    for home in results.in_distributions():
        if len(results.averages(home)) > 1:
            sets = [s for s in results.ood_sets(home) if s in results.spec["photographs"]]
            names = ", ".join(results.title("datasets", s) for s in sets)
            title = results.title("datasets", home)
            notes.append(PHOTOGRAPHS.format(names=names, in_distribution=title))
    return notes
