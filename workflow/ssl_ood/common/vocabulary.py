"""Words that several rooms share: in the config, in the tidy frames and in file names."""

from __future__ import annotations

# Variants and strategies that mean something to the code.
BASE, UNTRAINED, NO_NEGATIVES = "base", "untrained", "none"
# Sources of a strategy: the run's own dataset, and what the study names for that dataset.
IN_DISTRIBUTION, AUXILIARY, OUT_DOMAIN = "in_distribution", "auxiliary", "out_domain"
JOIN = "+"  # between the parts of a variant that is made of several
RANDOM = "random"  # training.initial; else weights/NAME or run/STUDY/VARIANT
# Beside the names of OOD sets: means over sets, the second without those that are cut from
# photographs, and the union of all OOD images.
AVERAGE, AVERAGE_HONEST = "average", "average_without_photographs"
POOLED = "pooled"
SEEDS = "seeds"
# Why there is a number, or none.
MEASURED, NO_DATA, NO_WEIGHTS = "measured", "no_data", "no_weights"
NOT_APPLICABLE = "not_applicable"
SHORTCUT = "shortcut"  # of a table's row: measured, but of no model

# Versions of the code of each stage: raise one when the same input gives another result. They are
# parameters of the rules, so that what an edited stage made is made again (an edit alone is not
# seen by Snakemake). Methods, scores and forms have versions of their own in the registry.
VERSIONS = {
    "pack": 2,
    "negatives": 1,
    "train": 4,
    "features": 4,
    "evaluate": 2,
    "shortcuts": 1,
    "table": 3,
    "figure": 3,
    "weights": 1,
    "splits": 1,
    "report": 1,
}
