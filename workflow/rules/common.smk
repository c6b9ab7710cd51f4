# What the other files share: the experiments of the config, paths, and all functions.
import json
import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The folder of this clone's package, whoever includes this file and from wherever.
PACKAGE = str(Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent)
if os.pathsep in PACKAGE:
    raise WorkflowError(
        f"The clone lies in {PACKAGE}, and a path with {os.pathsep} in it cannot be handed to Python: "
        "move or rename the folder."
    )
sys.path.insert(0, PACKAGE)
# Jobs run this package with the Python that runs Snakemake, also where its environment is not
# activated. A conda environment or container that a job activates comes before it.
os.environ.update(
    PYTHONPATH=os.pathsep.join(filter(None, [PACKAGE, os.environ.get("PYTHONPATH")])),
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
)

from ssl_ood.study import gaps
from ssl_ood.study import runs as experiments
from ssl_ood.study import costs as plan
from ssl_ood.datasets.catalogues import as_variables, of_config
from ssl_ood.datasets.local import state_of
from ssl_ood.datasets.names import CROP, FITS
from ssl_ood.common.errors import UserError
from ssl_ood.common.paths import as_variable
from ssl_ood.common.registry import entries, lookup
from ssl_ood.common.slurm import JOBS, JOBS_FOLDER
from ssl_ood.common.vocabulary import BASE, VERSIONS
from ssl_ood.declarations import declare_everything
from ssl_ood.study.own import own_images_in
from ssl_ood.study.patterns import alternatives
from ssl_ood.study.layers import read_layers
from ssl_ood.study.read import plugins_of, read_study


def read_experiments():
    """The runs and targets of the config. A mistake in the config ends the workflow with one sentence."""
    try:
        declare_everything(plugins_of(config))
        # What Snakemake has merged says no more of a key that was there twice, or of a null.
        laid_over = len(workflow.overwrite_configfiles)
        read_layers([*workflow.configfiles[laid_over:], *workflow.configfiles[:laid_over]])
        # A job uses the listing of own images that the plan was made from, not files added since.
        told = workflow.remote_exec and os.environ.get("SSL_OOD_CONFIG")
        return read_study(json.loads(told) if told and own_images_in(config) else config)
    except UserError as error:
        raise WorkflowError(str(error))


EXPERIMENTS = read_experiments()
if not workflow.remote_exec:
    for remark in EXPERIMENTS.remarks:
        print(remark, file=sys.stderr)
WEIGHTS = EXPERIMENTS.weights
CONFIG = EXPERIMENTS.plain
EXECUTION = CONFIG["execution"]
R = CONFIG["results_dir"]
# Missing data are left out. Jobs use the state that the plan saw, even if files have arrived since.
if workflow.remote_exec and gaps.FROZEN in os.environ:
    GAPS = gaps.thawed(EXPERIMENTS, os.environ[gaps.FROZEN])
else:
    try:
        GAPS = gaps.find_gaps(EXPERIMENTS)
    except UserError as error:
        raise WorkflowError(str(error))
DATA = f"{R}/data"
# How and where jobs run reaches them through the environment: it is not a parameter of theirs, so an
# edit of it computes nothing again.
os.environ.update(
    **as_variables(*of_config(CONFIG)),
    SSL_OOD_PLUGINS=as_variable(CONFIG.get("plugins", [])),
    SSL_OOD_ARCHIVE_DIRS=as_variable(CONFIG["archive_dirs"]),
    SSL_OOD_CHECKPOINT_MINUTES=str(EXECUTION["checkpoint_minutes"]),
    SSL_OOD_MICRO_BATCH=str(EXECUTION["micro_batch"]),
    **{
        f"SSL_OOD_PROBE_{key.upper()}": str(value)
        for key, value in EXPERIMENTS.config.execution.probe.model_dump().items()
    },
    SSL_OOD_COMPILE=str(EXECUTION["compile"]).lower(),
    SSL_OOD_WAIT_MINUTES=str(EXECUTION["max_minutes"]),
    SSL_OOD_CONFIG=json.dumps(CONFIG),  # for plan and costs
    **{JOBS: f"{R}/{JOBS_FOLDER}"},
    **{gaps.FROZEN: GAPS.frozen()},
)
os.environ.setdefault("SSL_OOD_DEVICE", "cuda" if EXECUTION["devices"] else "cpu")


# Of every rule, with `--sdm apptainer`; the rules themselves name their conda environment.
container: CONFIG.get("container")


def refuse_apptainer_without_an_image():
    """Ends the workflow where jobs shall run in a container that the config does not name."""
    methods = {str(method) for method in workflow.deployment_settings.deployment_method}
    if "apptainer" in methods and not CONFIG.get("container"):
        raise WorkflowError(
            "--sdm apptainer: the config names no container; add container: PATH.sif, or an address "
            "such as docker://NAME (docs/container.md says how to build one)."
        )


refuse_apptainer_without_an_image()


def splits_of(store):
    """The splits that are needed of a dataset and of those derived from it."""
    sets, datasets = gaps.used_sets(EXPERIMENTS, GAPS), EXPERIMENTS.datasets
    return [datasets[s.dataset].split(s.split) for s in sets if datasets[s.dataset].store == store]


def needs_optional(store):
    """Whether a split is needed whose archive is fetched only then, such as SVHN's to train on."""
    dataset = EXPERIMENTS.datasets[store]
    return dataset.read_for(splits_of(store)) != dataset


def run_of(wildcards):
    return EXPERIMENTS.runs[wildcards.run]


def fit_of(wildcards):
    """What becomes of images that are not square, from the end of a packed set's name."""
    return wildcards.fit.removeprefix("-") or CROP


def packed_meta(sets):
    """The last written file of packed sets: what depends on a packed set depends on it."""
    return list(dict.fromkeys(f"{DATA}/{s.path}/meta.json" for s in sets))


def initial_of(wildcards):
    """The weights that a run starts from: published ones, those of another run, or none."""
    run = run_of(wildcards)
    if run.weights:
        return f"{R}/weights/{run.weights}.safetensors"
    return f"{R}/runs/{run.initial.id}/model.safetensors" if run.initial else []


def split_lists(wildcards):
    """The lists that prove that a run is tested on no image, and no patient, that it, or the run
    that it starts from, is trained on.

    Names, the same at every size, can only be compared within a dataset.
    """
    run = run_of(wildcards)
    store = {name: dataset.store for name, dataset in EXPERIMENTS.datasets.items()}
    trained = {(r.train.dataset, r.train.split) for r in experiments.with_initial([run])}
    sets = [run.settings.packed(s.dataset, s.split) for s in run.tested]
    return [
        f"{R}/splits/{dataset}-{split}/{Path(tested.path).parent}-{Path(tested.path).name}.json"
        for dataset, split in sorted(trained)
        for tested in dict.fromkeys((run.test, *GAPS.there(sets)))
        if store[dataset] == store[tested.dataset]
    ]


def calibration_of(run):
    """The set that thresholds of a run are set on, in a list that is empty without one."""
    return [] if run.calibration is None else [run.calibration]


def calibration_lists(wildcards):
    """The lists that prove that a run is calibrated on no image, and no patient, that it is trained
    on or tested with."""
    run = run_of(wildcards)
    return [
        f"{R}/splits/{own.dataset}-{own.split}/{Path(s.path).parent}-{Path(s.path).name}.json"
        for own in (run.train, run.test)
        for s in calibration_of(run)
    ]


def file_of(target):
    """The file that stands for a table or a figure: its csv, or its png."""
    return f"{R}/{target.kind}s/{target.name}." + {"table": "csv", "figure": "png"}[target.kind]


def files_of(kind):
    """The files of all tables or all figures, but for the optional ones."""
    return [file_of(target) for target in EXPERIMENTS.usual if target.kind == kind]


def layouts():
    """The tables as the report reads them: their layout, beside their csv file."""
    return [str(Path(path).with_suffix(".json")) for path in files_of("table")]


def targets_of(chapter):
    """The tables and figures of the studies of a chapter, but for the optional ones."""
    studies = EXPERIMENTS.config.studies
    return [t for t in EXPERIMENTS.usual if studies[t.settings.study].chapter == chapter]


def checked_negatives(runs):
    """The manifests of the negative sets of runs: nothing that is tested is in those sets."""
    runs = [run for run in GAPS.made_here(runs) if run.sources]
    names = {f"{run.study}-{run.in_distribution}-{run.strategy}" for run in runs}
    return [f"{R}/negatives/{name}/manifest.json" for name in sorted(names)]


def runs_of(kind):
    """The runs that some table, or some figure, is made from."""
    return experiments.shown_runs(t for t in EXPERIMENTS.usual if t.kind == kind)


def scored():
    """The measurements of every run that some table or figure shows that `all` makes."""
    runs = GAPS.runs(experiments.shown_runs(EXPERIMENTS.usual))
    return [f"{R}/measurements/{run.id}.parquet" for run in runs]


def time_limit(minutes):
    """The time limit to ask for: never more than the cluster grants."""
    return min(int(minutes), EXECUTION["max_minutes"])


def grown(megabytes, attempt):
    """Memory for an attempt: half as much again each time, twice at most."""
    return megabytes * min(attempt + 1, 4) // 2


def negative_run(wildcards):
    """A run of this in-distribution dataset and strategy, one without changes if there is any: the
    negatives are from the same images in all of them."""
    runs = [
        run
        for run in EXPERIMENTS.runs.values()
        if (run.study, run.in_distribution, run.strategy)
        == (wildcards.study, wildcards.in_distribution, wildcards.strategy)
    ]
    return min(runs, key=lambda run: run.variant != BASE)


def measurements_of(target):
    """The measurements of every run that a table or figure is made from."""
    runs = GAPS.runs(EXPERIMENTS.targets[target].runs)
    return [f"{R}/measurements/{run.id}.parquet" for run in runs]


def scores_of(target):
    """The scores of every image of every run that a figure is made from."""
    runs = GAPS.runs(EXPERIMENTS.targets[target].runs)
    return [f"{R}/scores/{run.id}.parquet" for run in runs]


def history_of(target):
    """The logs of the trainings of every run that a table or figure is made from."""
    runs = GAPS.runs(EXPERIMENTS.targets[target].runs)
    return [f"{R}/runs/{run.id}/log.jsonl" for run in runs]


def shortcuts_of(target):
    """What needs no learning, of every pair of sets that a table shows."""
    pairs = GAPS.pairs(EXPERIMENTS.targets[target].pairs)
    return [f"{R}/shortcuts/{p.name}.parquet" for p in pairs]


def needs_of(target):
    """What the form of a table or figure is made from."""
    return lookup(EXPERIMENTS.targets[target].kind, EXPERIMENTS.targets[target].form).needs


def version_of(target):
    """The versions of the code that makes a table or figure."""
    chosen = EXPERIMENTS.targets[target]
    return [VERSIONS[chosen.kind], lookup(chosen.kind, chosen.form).version]


def shown_sets(target):
    """The packed sets whose images a table or figure shows or compares."""
    chosen, needs = EXPERIMENTS.targets[target], needs_of(target)
    sets = list(chosen.in_distribution) if "images" in needs else []
    sets += chosen.compared if "tested_images" in needs else ()
    if "views" in needs:
        sets += [s for run in GAPS.seen(chosen.first_seed) for s in (run.train, *run.sources)]
    return GAPS.there(sets)


STOP_SECONDS = 120  # ahead of its time limit, a training is told to write a checkpoint and leave


def devices_of(run):
    """Processes of a training: one a GPU, or one on the processor."""
    return max(run.devices(EXECUTION["devices"]), 1)


@cache
def measured_speeds():
    """Images per second of one device, where trainings of a kind have ended here."""
    return plan.speeds(EXPERIMENTS)


def minutes_of_training(run):
    """What a training is expected to take on its devices, with half as much again to spare."""
    hours = plan.device_hours(EXPERIMENTS, run, measured_speeds())
    return 30 + 1.5 * 60 * hours / devices_of(run)


def minutes_to_train(wildcards, attempt):
    """Time limit of a training: twice as long at every new attempt, as far as the cluster goes."""
    return time_limit(minutes_of_training(run_of(wildcards)) * 2 ** (attempt - 1))


# A training that is longer than the cluster's longest job goes on in the next one; it may also be
# half as fast as thought.
JOBS_A_TRAINING = 1 + max(
    (int(minutes_of_training(run) / EXECUTION["max_minutes"]) for run in EXPERIMENTS.runs.values()),
    default=0,
)


# Only the Snakemake that submits tries again: one inside a job would start again in a job that is
# about to end.
TRAIN_RETRIES = 0 if workflow.remote_exec else 2 * JOBS_A_TRAINING + 3


NOTHING = "(?!)"  # the expression that no text matches


wildcard_constraints:
    # Nothing makes the files of a run that came as a bundle: they are there.
    run=alternatives(EXPERIMENTS.runs.keys() - GAPS.bundled.keys()) or NOTHING,
    study=alternatives(CONFIG["studies"]),
    strategy=alternatives(CONFIG["strategies"]),
    dataset=alternatives(EXPERIMENTS.datasets),
    split="[a-z0-9_]+",
    size="[0-9]+",
    fit="|".join(["", *(f"-{fit}" for fit in FITS if fit != CROP)]),
