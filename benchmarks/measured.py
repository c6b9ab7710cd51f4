"""Writes docs/measured.md from the csv files of docs/measured: no number of it is typed by hand.

    python benchmarks/measured.py

A section is a csv, what is said about it, and the columns that its table shows. To add one, add it
to SECTIONS.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_ood.measures.metrics import spearman

ROOT = Path(__file__).resolve().parents[1]
Row = dict[str, str]

APART = 2.0  # points of the average AUROC that the page names a change from
GOAL = 0.1  # of 10-NN accuracy above the untrained network
GOAL_MINUTES = 25.0  # of one processor's time, the evaluation not counted
GOAL_SEEDS = 2  # of three


@dataclass(frozen=True)
class Column:
    """A column of the page: its title, that of the csv, and the decimals of a number.

    percent: the csv has shares, the page percent.
    """

    title: str
    key: str
    decimals: int | None = None
    percent: bool = False

    def cell(self, row: Row) -> str:
        """As the page shows it; a dash where nothing was measured."""
        value = row[self.key]
        if not value or self.decimals is None:
            return value or "–"
        return f"{float(value) * (100 if self.percent else 1):.{self.decimals}f}"


@dataclass(frozen=True)
class Section:
    """A part of the page; `summary` makes a paragraph of the rows."""

    title: str
    csv: str
    text: str
    columns: Sequence[Column]
    summary: Callable[[list[Row]], str]

    def render(self, rows: list[Row]) -> str:
        """Markdown."""
        lines = [
            "| " + " | ".join(column.title for column in self.columns) + " |",
            "|" + "|".join("---" if c.decimals is None else "--:" for c in self.columns) + "|",
        ]
        lines += ["| " + " | ".join(c.cell(row) for c in self.columns) + " |" for row in rows]
        table = "\n".join(lines)
        return f"## {self.title}\n\n{self.text}\n\n{self.summary(rows)}\n\n{table}\n"


def goal_of_recipes(rows: list[Row]) -> str:
    """Whether a setting has learned, and which came nearest."""
    convolutional = sum("vit" not in row["backbone"] for row in rows)
    said = f"Trainings logged: {len(rows)}, of them of convolutional backbones {convolutional}. "
    seeds: dict[str, set[str]] = {}
    for row in rows:
        if float(row["gain"]) >= GOAL and float(row["cpu_minutes"]) <= GOAL_MINUTES:
            seeds.setdefault(row["setting"], set()).add(row["seed"])
    reached = [name for name, found in seeds.items() if len(found) >= GOAL_SEEDS]
    if reached:
        return said + f"The goal is reached by: {', '.join(reached)}."
    best = max(rows, key=lambda row: float(row["gain"]))
    return said + (
        f"None has reached the goal so far; nearest came `{best['setting']}` with "
        f"{100 * float(best['gain']):.1f} points after {float(best['cpu_minutes']):.1f} minutes."
    )


def ranks_of_defaults(rows: list[Row]) -> str:
    """What follows the average AUROC over the trained strategies."""
    trained = [row for row in rows if row["strategy"] != "untrained"]
    average = [float(row["average"]) for row in trained]
    rho = {
        metric: spearman([float(row[metric]) for row in trained], average)
        for metric in ("sensitivity", "knn_accuracy")
    }
    gains = {r["strategy"]: float(r["average"]) - float(r["average_before"]) for r in rows}
    far = [f"`{name}` ({gain:+.1f})" for name, gain in gains.items() if abs(gain) > APART]
    near = [abs(gain) for gain in gains.values() if abs(gain) <= APART]
    return (
        f"More than {APART:g} points from before on average: {', '.join(far)}; the others are "
        f"within {max(near):.1f} of it. Over the {len(trained)} trained strategies the average "
        "AUROC follows the sensitivity "
        f"with a rank correlation of {rho['sensitivity']:.2f} (before: 0.82) and the 10-NN "
        f"accuracy with {rho['knn_accuracy']:.2f} (before: -0.32)."
    )


def settings_of_the_demo(rows: list[Row]) -> str:
    """How many settings were tried."""
    names = {(row["setting"], row["epochs"]) for row in rows}
    return f"Settings tried: {len(names)}, in {len(rows)} trainings."


def rivals_that_learn(rows: list[Row]) -> str:
    """Which methods are ahead of their own network as it is drawn, and how many seeds there are."""
    said = f"Seeds: {', '.join(sorted({row['seeds'] for row in rows}))} of each method. "
    gains = {
        row["method"]: float(row["average"]) - float(row["average_untrained"])
        for row in rows
        if row["average_untrained"]
    }
    behind = [f"{name} ({gain:+.1f})" for name, gain in gains.items() if gain <= 0]
    ahead = [f"{name} ({gain:+.1f})" for name, gain in gains.items() if gain > 0]
    if ahead:
        said += (
            f"Ahead of the same network untrained, by points of the average: {', '.join(ahead)}. "
        )
    if behind:
        said += f"Not ahead of it: {', '.join(behind)}."
    return said.strip()


SECTIONS = [
    Section(
        "What the settings of the authors' code change",
        "defaults.csv",
        """The demo's chapter 6 (classes 0 to 4 of FashionMNIST, photographs as auxiliary images) at
20 epochs with three seeds, before and after the settings of the authors' code became the defaults
([the protocol](protocol.md)). AUROC in %, at τ = 0.04; the near set are the other classes. Before
is commit ccf5649, of whose measurement only the figures here are left.
`python benchmarks/defaults.py` makes the rows of [the csv](measured/defaults.csv).""",
        [
            Column("negatives", "strategy"),
            Column("average before", "average_before", 1),
            Column("± before", "average_sd_before", 1),
            Column("average", "average", 1),
            Column("±", "average_sd", 1),
            Column("near before", "near_before", 1),
            Column("near", "near", 1),
            Column("±", "near_sd", 1),
            Column("10-NN accuracy", "knn_accuracy", 1),
            Column("sensitivity", "sensitivity", 1),
            Column("soft-classes before", "occupied_soft_classes_before", 0),
            Column("soft-classes", "occupied_soft_classes", 0),
            Column("commit", "commit"),
        ],
        ranks_of_defaults,
    ),
    Section(
        "Settings of the demo",
        "demo_settings.csv",
        """What was tried for `make demo`, with and without negatives, on a seed that the demo does
not use. A setting was chosen by the 10-NN accuracy of both strategies together; sensitivity and
time were looked at, and no OOD set. The one that was chosen is `views_24`, four local
views of positives instead of two. `python benchmarks/demo_settings.py` makes the rows of
[the csv](measured/demo_settings.csv), which has the settings themselves. Seconds are of a machine
with other work.""",
        [
            Column("strategy", "strategy"),
            Column("setting", "setting"),
            Column("seed", "seed", 0),
            Column("epochs", "epochs", 0),
            Column("seconds", "seconds", 0),
            Column("loss", "loss", 2),
            Column("entropy of an output", "teacher_entropy", 2),
            Column("of the mean output", "entropy_of_mean", 2),
            Column("10-NN %", "knn_accuracy", 1, percent=True),
            Column("sensitivity %", "sensitivity", 1, percent=True),
        ],
        settings_of_the_demo,
    ),
    Section(
        "The compared methods, one budget for all",
        "rivals.csv",
        """Classes 0 to 4 of FashionMNIST (4,000 training images of 32 pixels) against eight OOD
sets; the near set are the other classes. Every method has a network as small as the demo's and
about the same time of a processor; nothing was tuned for one of them beyond what
`profiles/demo/study.yaml` has, and nothing was chosen by an OOD set here. AUROC and 10-NN accuracy
in %, ± the standard deviation over seeds. Methods with labels know the five classes.
`benchmarks/rivals.yaml` has the settings, and `python benchmarks/rivals.py` makes the rows of [the
csv](measured/rivals.csv), which has the untrained networks' 10-NN accuracy too. At this size it is
a check that the methods run and learn, not a ranking: their papers train them thousands of times
longer.""",
        [
            Column("method", "method"),
            Column("labels", "labels"),
            Column("seeds", "seeds", 0),
            Column("minutes", "cpu_minutes", 1),
            Column("average", "average", 1),
            Column("±", "average_sd", 1),
            Column("near", "near", 1),
            Column("±", "near_sd", 1),
            Column("10-NN %", "knn", 1),
            Column("untrained: average", "average_untrained", 1),
            Column("near", "near_untrained", 1),
            Column("commit", "commit"),
        ],
        rivals_that_learn,
    ),
    Section(
        "A recipe that learns on real images",
        "recipes.csv",
        f"""Self-distillation without negatives on images of CIFAR-10: a part of its training
images, tested on a part of its test images. The goal is a 10-NN accuracy {100 * GOAL:.0f} points
above that of the untrained network after at most {GOAL_MINUTES:.0f} minutes of one core, with
{GOAL_SEEDS} of 3 seeds. Settings are judged by their loss, by the entropies of the teacher's
outputs and by that accuracy; no OOD set was read. The untrained network is the better of two: as it
is drawn, and with the batch statistics of the training images. All trainings are listed, those that
learned nothing too. `python benchmarks/recipes.py --images FOLDER` makes the rows; the column
`options` of [the csv](measured/recipes.csv) holds what a setting lays over `methods.dino` of
`config.yaml`. Minutes are of a processor that other programs shared, so they depend on its
load.""",
        [
            Column("setting", "setting"),
            Column("backbone", "backbone"),
            Column("seed", "seed", 0),
            Column("epochs", "epochs", 0),
            Column("steps", "steps", 0),
            Column("minutes", "cpu_minutes", 1),
            Column("loss", "loss", 2),
            Column("entropy of an output", "entropy_of_output", 2),
            Column("of the mean output", "entropy_of_mean", 2),
            Column("log K", "log_k", 2),
            Column("10-NN %", "knn", 1, percent=True),
            Column("untrained %", "knn_untrained", 1, percent=True),
            Column("with statistics %", "knn_untrained_statistics", 1, percent=True),
            Column("gain, points", "gain", 1, percent=True),
            Column("end", "ended"),
            Column("commit", "commit"),
        ],
        goal_of_recipes,
    ),
]


def page(folder: Path) -> str:
    """The page from the csv files in `folder`."""
    parts = [
        "# Measured\n\nEvery number of the tables is of a csv file in [measured](measured), which "
        "has more of them; `python benchmarks/measured.py` writes this page, and a test compares."
        "\n"
    ]
    for section in SECTIONS:
        if not (folder / section.csv).exists():  # not measured yet
            continue
        with open(folder / section.csv, encoding="utf-8", newline="") as file:
            parts.append(section.render(list(csv.DictReader(file))))
    return "\n".join(parts)


if __name__ == "__main__":
    docs = ROOT / "docs"
    (docs / "measured.md").write_text(page(docs / "measured"), encoding="utf-8")
