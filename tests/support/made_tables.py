"""The small study with its tables and figures, as the workflow would make them."""

from __future__ import annotations

from pathlib import Path

from ssl_ood.common.files import write_json
from ssl_ood.report.make import Files, make_figure, make_table
from support.small_results import Small

REPORTED = Path(__file__).parents[2] / "resources" / "reported"
MORE = {
    "table_claims": {
        "form": "claims", "claims": "section 6", "strategies": ["none", "rot_photos"],
        "near": "dots", "far": "dots",
    },
    "table_shortcuts": {"form": "shortcuts"},
    "table_protocol_choices": {"form": "protocol"},
}  # fmt: skip
LEFT = "figure_color_histograms"  # is not made


class Study(Small):
    """The small study with more tables."""

    @property
    def config(self):
        config = super().config
        same = {"study": "natural", "in_distribution": ["shapes"]}
        return config | {"tables": config["tables"] | {k: same | v for k, v in MORE.items()}}


def made_of(small: Study) -> Study:
    """Every table and figure of the small study but one, and what else the workflow would make."""
    experiments, results = small.experiments(), small.results
    for name in experiments.targets:
        if name == LEFT:
            continue
        spec = experiments.spec(name)
        write_json(results / "specs" / f"{name}.json", spec)
        target = experiments.targets[name]
        runs = [run.id for run in target.runs]
        files = Files(
            measurements=[results / f"measurements/{run}.parquet" for run in runs],
            scores=[results / f"scores/{run}.parquet" for run in runs],
            shortcuts=[results / f"shortcuts/{pair.name}.parquet" for pair in target.pairs],
            images=[results / "data" / s.path for s in target.compared],
            data=results / "data",
            reported=REPORTED,
        )
        make = make_table if target.kind == "table" else make_figure
        folder = results / f"{target.kind}s"
        folder.mkdir(exist_ok=True)
        make(spec, files, folder / name)
    rules = {"rules": {"train": 3, "<evaluate>": 1}, "edges": [["train", "<evaluate>"]]}
    write_json(results / "job_graph.json", rules)
    return small
