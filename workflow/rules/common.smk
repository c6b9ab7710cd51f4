# What every rule needs: the experiments of the config, paths, and the command of the package.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

PACKAGE = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, PACKAGE)
# Jobs run this package with the Python that runs Snakemake, also where its environment is not
# activated. A conda environment or container that a job activates comes before it.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [PACKAGE, os.environ.get("PYTHONPATH")])
)
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

from ssl_ood import config_check, experiments
from ssl_ood.datasets import catalogue
from ssl_ood.errors import UserError


def read_experiments():
    """The runs and targets of the config; a mistake in it ends here, with one sentence."""
    try:
        settings = experiments.without_nulls(config)
        config_check.check_shape(settings)
        datasets = catalogue.load_catalogue(workflow.source_path("../../" + settings["catalogue"]))
        config_check.check_config(settings, datasets)
        return experiments.load(settings, datasets)
    except UserError as error:
        raise WorkflowError(str(error))


EXPERIMENTS = read_experiments()
CONFIG = EXPERIMENTS.config
EXECUTION = CONFIG["execution"]
R = CONFIG["results_dir"]
DATA = f"{R}/data"
CATALOGUE = str(Path(workflow.basedir) / CONFIG["catalogue"])


def run_of(wildcards):
    return EXPERIMENTS.runs[wildcards.run]


def packed_meta(sets):
    """The last written file of packed sets: what depends on a packed set depends on it."""
    return [f"{DATA}/{s.path}/meta.json" for s in sets]


def rules_of(kind):
    """The csv of every table, or the png of every figure."""
    suffix = {"table": "csv", "figure": "png"}[kind]
    return [
        f"{R}/{t.kind}s/{t.name}.{suffix}" for t in EXPERIMENTS.targets.values() if t.kind == kind
    ]


def alternatives(names):
    return "|".join(sorted(names))


wildcard_constraints:
    run=alternatives(EXPERIMENTS.runs),
    dataset=alternatives(EXPERIMENTS.datasets),
    split="[a-z0-9_]+",
    size="[0-9]+",
