"""The config, typed: every key with its range and its meaning.

config/README.md is made from these classes (`study/reference.py`). What one entry says about
another is checked in `check.py`; a method's sections and a form's options are classes of their own.
"""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from ssl_ood.common.settings import (
    Count,
    Distinct,
    Many,
    Name,
    Positive,
    Settings,
    Share,
    each_once,
)
from ssl_ood.common.vocabulary import BASE, JOIN, NO_NEGATIVES
from ssl_ood.methods.settings import Precision

Seed = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
Split = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\{seed\})?$")]
TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Size = Annotated[int, Field(ge=8, le=8192, multiple_of=4)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Sections = dict[str, dict[str, Any]]  # of a method: training, views, backbone, head


class Source(Settings):
    """Where a part of the negatives comes from, and how it is shifted."""

    source: str = Field(
        description="a dataset of the catalogue, in_distribution, or what the study names for the "
        "in-distribution dataset as its auxiliary or out_domain set"
    )
    shift: str | None = Field(None, description="shifting transformation; without it none")
    weight: Positive = Field(1.0, description="its weight against that of the other sources")


class InDistribution(Settings):
    """What models of a study are trained on, and tested against."""

    ood: Many[str] = Field(description="OOD sets that its runs are tested against")
    beside: Many[str] = Field(
        (),
        description="further OOD sets, which count in no average and stand in no table that does "
        "not ask for them; NAME@256 is one that is packed straight to that many pixels",
    )
    train_split: Split | None = Field(None, description="instead of the catalogue's")
    test_split: Split | None = Field(None, description="instead of the catalogue's")
    calibration_split: Split | None = Field(
        None,
        description="a split that is neither trained on nor tested: thresholds are set on its "
        "scores; without it on those of the test split",
    )
    auxiliary: str | None = Field(None, description="the dataset that strategies call auxiliary")
    out_domain: str | None = Field(None, description="the dataset that strategies call out_domain")
    override: Sections = Field({}, description="settings of the method, for this dataset")


class Study(Settings):
    """A method, the datasets that it is trained on and the sets that it is tested against."""

    method: str = Field(description="how models are trained")
    size: Size = Field(
        description="pixels of the in-distribution images; everything is packed to it"
    )
    fit: Literal["crop", "squash"] = Field(
        "crop",
        description="what becomes of images that are not square: crop scales the shorter side and "
        "takes the middle, squash scales both sides",
    )
    chapter: Count | None = Field(
        None, description="of the thesis: `snakemake chapter_N` makes its tables and figures"
    )
    override: Sections = Field(
        {},
        description="settings of the method, for this study; a backbone of another name takes over "
        "no option of the method's",
    )
    evaluation: dict[str, Any] = Field({}, description="over that of the top level, key by key")
    in_distribution: dict[str, InDistribution] = Field(description="by dataset of the catalogue")


class Sensitivity(Settings):
    """The sensitivity score: training images held out against the test images."""

    max_share: Fraction = Field(description="largest share of the training images that is held out")


class Evaluation(Settings):
    """How the runs of a study are scored."""

    precision: Precision = Field(
        description="precision of the networks that features come from: tf32 (on a CPU float32), "
        "bfloat16, float32"
    )
    scores: Annotated[Distinct[str], Field(min_length=1)] = Field(
        description="anomaly scores to compute"
    )
    tau: Positive = Field(description="the temperature that tables show, equation 6.1")
    taus: Annotated[Distinct[Positive], Field(min_length=1)] = Field(
        description="the temperatures that are measured; tau is one of them"
    )
    knn: int = Field(ge=0, description="neighbours of the k-NN accuracy; 0: none is measured")
    knn_temperature: Positive = Field(
        description="temperature of the weighted vote of the k-NN accuracy, the one that is judged"
    )
    soft_class_temperature: Positive = Field(
        description="temperature of the count of soft-classes over the training images, whose mean "
        "logits are its centre",
    )
    confidence: Fraction = Field(description="level of the confidence intervals")
    sensitivity: Sensitivity = Field(description="how its images are held out")
    parameters: dict[str, dict[str, Any]] = Field({}, description="options of a score, by its name")


def _strategies(value: Any) -> tuple[str, ...] | dict[str, tuple[str, ...]]:
    if isinstance(value, dict):
        return {name: _names(below) for name, below in value.items()}
    return _names(value)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError("write a list of names, or one for each in-distribution dataset")
    return each_once(tuple(value))


def _variants(value: Any) -> Any:
    lists = isinstance(value, list) and value and all(isinstance(part, list) for part in value)
    parts = value if lists else [value]
    if not all(isinstance(p, list) and all(isinstance(n, str) for n in p) for p in parts):
        raise ValueError("write a list of names, or a list of such lists for all combinations")
    each = [each_once(tuple(part)) for part in parts]
    return tuple(each) if lists else each[0]


class Baseline(Settings):
    """Another method's runs, which a table shows beside those of its own study."""

    study: str = Field(description="whose runs they are")
    strategy: str = Field(NO_NEGATIVES, description="their negative strategy")
    variant: str = Field(BASE, description="their variant")
    score: str | None = Field(None, description="the score shown; without it the study's first")
    seeds: Literal["table", "config"] = Field(
        "table",
        description="whose seeds its runs have; config where the table's are splits that its study "
        "does not have",
    )
    in_distribution: dict[str, str] = Field(
        {},
        description="dataset of its study that stands for one of the table's, where that study has "
        "it by another name",
    )
    ood: dict[str, str] = Field(
        {},
        description="of its study's OOD sets the one that stands for one of the table's, or for "
        "pooled, all of them; those not named have their own",
    )


class Target(Settings):
    """A table or a figure: its form, its runs, and the options of its form."""

    model_config = ConfigDict(extra="allow")

    form: Text | None = Field(
        None, description="how it is made; without it the name without table_ or figure_"
    )
    study: str = Field(description="whose runs it shows")
    in_distribution: Distinct[str] = Field((), description="datasets of the study")
    strategies: Annotated[Any, BeforeValidator(_strategies)] = Field(
        (), description="a list for all datasets, or a list for each by its name"
    )
    variants: dict[str, Annotated[Any, BeforeValidator(_variants)]] = Field(
        {},
        description="by strategy: a list, or lists of which all combinations are meant; "
        "without them base",
    )
    seeds: Annotated[Distinct[Seed], Field(min_length=1)] | None = Field(
        None, description="instead of the config's"
    )
    untrained: bool = Field(False, description="whether runs that are not trained are shown too")
    runs_of: Distinct[str] = Field((), description="tables and figures whose runs it shows too")
    optional: bool = Field(
        False,
        description="whether it is made by its name alone; all, all_tables, all_figures and those "
        "of a chapter leave it out, with the trainings that it alone needs",
    )
    baselines: dict[str, Baseline] = Field(
        {},
        description="methods of other studies to show beside its own, by the name that reported "
        "values give them or any other; each on those of in_distribution that its study has",
    )

    @property
    def options(self) -> dict[str, Any]:
        """What belongs to the form."""
        return dict(self.model_extra or {})

    def strategies_of(self, dataset: str) -> tuple[str, ...]:
        """Its strategies for a dataset: one list for all, or a list for each."""
        named = self.strategies
        return named.get(dataset, ()) if isinstance(named, dict) else named

    def variants_of(self, strategy: str) -> tuple[str, ...]:
        """Its variants of a strategy, those of several parts joined."""
        named = self.variants.get(strategy, (BASE,))
        if named and isinstance(named[0], tuple):
            return tuple(JOIN.join(parts) for parts in product(*named))
        return named


class Titles(Settings):
    """What tables and figures call things."""

    strategies: dict[str, str] = Field({}, description="title of a strategy, by its name")
    variants: dict[str, str] = Field({}, description="title of a variant, by its name")


class Threads(Settings):
    """Threads of a job, for each device."""

    train: Count = Field(description="threads of a training")
    evaluate: Count = Field(description="threads that evaluate a run")
    pack: Count = Field(description="threads that pack a dataset")


class Memory(Settings):
    """Megabytes of a job, for each device; half as many again at every new attempt."""

    train: Count = Field(description="megabytes of a training")
    evaluate: Count = Field(description="megabytes to evaluate a run")
    pack: Count = Field(description="megabytes to pack a dataset")


def _micro_batch(value: Any) -> Any:
    if value != "auto" and (type(value) is not int or value < 1):
        raise ValueError("write a number of images, 1 or more, or auto")
    return value


class Probe(Settings):
    """How trainings are followed by 10-NN accuracy and sensitivity: on training images, and test
    images of the in-distribution dataset; OOD images are never read."""

    epochs: int = Field(1, ge=0, description="epochs between two looks at the features; 0: none")
    images: int = Field(
        2000,
        ge=40,
        description="images of a look; fewer, or fewer looks, where they would take too long",
    )
    share: Fraction = Field(
        0.02, description="largest share of the time of a training that looks take"
    )


class Execution(Settings):
    """How jobs run: changes nothing that is measured, so an edit computes nothing again."""

    checkpoint_minutes: Positive = Field(
        description="minutes between two checkpoints of a training"
    )
    micro_batch: Annotated[Any, BeforeValidator(_micro_batch)] = Field(
        description="images of a batch that a device works on at a time, or auto: as many as its "
        "memory holds"
    )
    compile: bool = Field(description="let torch.compile make the networks' passes")
    warm: bool = Field(
        False,
        description="let the jobs of this machine start from a process that has everything "
        "imported; Snakemake's benchmark files then have their time, but not their memory",
    )
    probe: Probe = Field(Probe(), description="how trainings are followed while they run")
    devices: int = Field(
        ge=0,
        description="GPUs of one node for a training; fewer where a batch cannot be shared out "
        "equally; 0: the processor",
    )
    images_per_second: Positive = Field(
        description="speed of a training on one device, of images with one negative each, until "
        "one of its kind has ended here"
    )
    max_minutes: Count = Field(description="minutes of the longest job that the cluster allows")
    threads: Threads = Field(description="threads of a job, for each device")
    memory_mb: Memory = Field(description="memory of a job, for each device")


class Config(Settings):
    """The whole config."""

    results_dir: Text = Field(description="folder of all results")
    downloads_dir: Text = Field(description="archives that the workflow fetches itself")
    archive_dirs: Many[Text] = Field(
        description="read-only folders where archives may already lie; used in place"
    )
    catalogue: Text = Field(description="file of all datasets and pre-trained weights")
    catalogues: Distinct[Text] = Field(
        (),
        description="further catalogues, each laid over those before it entry by entry: one of a "
        "name that is there already replaces it as a whole, and is said",
    )
    datasets: dict[str, dict[str, Any]] = Field(
        {}, description="single entries, as a catalogue has them, laid over all catalogues"
    )
    max_corrupt_share: Share = Field(
        description="share of a set's images that may be undecodable; they are left out and named"
    )
    reported_dir: Text = Field(description="folder of the values that the thesis reports")
    show_reported: bool = Field(
        description="whether reported values stand beside measured ones; false where the data are "
        "not the thesis's"
    )
    strict: bool = Field(
        False,
        description="whether a dataset that is not there ends the workflow; without it its cells "
        "say so and everything else is made",
    )
    plugins: Distinct[Text] = Field(
        (), description="modules that declare more methods, scores, forms"
    )
    container: Text | None = Field(
        None,
        description="image that every job runs in under `snakemake --sdm apptainer`: the path of a "
        ".sif file, or an address such as docker://NAME; without it there is none",
    )
    seeds: Annotated[Many[Seed], Field(min_length=1)] = Field(
        description="one training for each; tables show mean and spread over them"
    )
    strategies: dict[Name, Many[Source]] = Field(
        description="negative strategies, by name; each source has its share, by its weight, of "
        "the loss on negatives or of a batch (`training.negatives`)"
    )
    variants: dict[Name, Sections] = Field(
        description="what changes of a run's settings, by name; names joined by + are laid over "
        "each other"
    )
    methods: dict[str, dict[str, Any]] = Field(description="settings of the methods, by name")
    studies: dict[Name, Study] = Field(
        description="studies by name: a method, its datasets and sizes"
    )
    evaluation: Evaluation = Field(description="of all studies that do not say otherwise")
    tables: dict[TargetName, Target] = Field(description="by name, each a target of Snakemake")
    figures: dict[TargetName, Target] = Field(description="by name, each a target of Snakemake")
    titles: Titles = Field(Titles(), description="what tables and figures call things")
    execution: Execution = Field(description="how jobs run")

    @property
    def targets(self) -> dict[str, Target]:
        """All tables and figures."""
        return {**self.tables, **self.figures}

    def kind_of(self, name: str) -> str:
        """Whether a target is a "table" or a "figure"."""
        return "table" if name in self.tables else "figure"
