# Reproduces the experiments of the thesis: `snakemake --profile slurm all_tables`, one table or
# figure by its name (`snakemake figure_sensitivity`), or everything with the report's parts (`all`).
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


include: "workflow/rules/common.smk"


localrules:
    all,
    all_tables,
    all_figures,
    datasets,


onstart:
    refuse_missing_archives(workflow.dag.needrun_jobs())
    rest_between_jobs(workflow.scheduler)


rule all:
    default_target: True
    input:
        files_of("table"),
        files_of("figure"),
        checked_negatives(),
        f"{R}/costs.csv",


rule all_tables:
    input:
        files_of("table"),
        checked_negatives(runs_of("table")),


rule all_figures:
    input:
        files_of("figure"),
        checked_negatives(runs_of("figure")),


include: "workflow/rules/data.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/negatives.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/plan.smk"


refuse_unknown_targets()
