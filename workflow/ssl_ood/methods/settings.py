"""The settings that methods share, and those of one run.

A method's own class (`methods/NAME/settings.py`) has the sections that the config shows under
`methods.NAME`: training, views, backbone and, where it has one, head. What the trainer, the plan
and the evaluation have to know of a method before it is loaded are its properties. Light: every
dry-run reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field

from ssl_ood.common.registry import lookup
from ssl_ood.common.settings import (
    Count,
    Many,
    NotNegative,
    Pair,
    Positive,
    Quadruple,
    Rising,
    Settings,
    Share,
    Triple,
    read_settings,
)
from ssl_ood.common.vocabulary import VERSIONS
from ssl_ood.datasets.names import PackedSet
from ssl_ood.methods.network_options import option_fault
from ssl_ood.views.shifts import parts_of
from ssl_ood.views.spec import ViewSpec

# (dotted key, the rest of a sentence that begins with its place), of settings that do not fit.
Fault = tuple[str, str]
Precision = Literal["tf32", "bfloat16", "float32"]
INITIAL = r"^(random|weights/[A-Za-z0-9_.]+|run/[A-Za-z0-9_.]+/[A-Za-z0-9_.+]+)$"


def _of_pixels(values: tuple[float, ...]) -> tuple[float, ...]:
    if max(values) > 1:
        raise ValueError("it is of pixel values from 0 to 1: divide it by 255")
    return values


def _an_area(scale: tuple[float, float]) -> tuple[float, float]:
    if scale[1] > 1:
        raise ValueError("a crop is a share of the image's area, 1 at most")
    return scale


OfPixels = Annotated[Triple[NotNegative], AfterValidator(_of_pixels)]
Scale = Annotated[Rising, AfterValidator(_an_area)]
Pixels = Annotated[int, Field(ge=8, le=8192)]


class Training(Settings):
    """How long, in which batches and at which rates."""

    epochs: int = Field(ge=0, description="passes over the training images; 0 trains nothing")
    batch_size: Count = Field(description="images of a step, over all devices and micro-batches")
    lr_base: Positive = Field(description="learning rate: its peak is lr_base x batch_size / 256")
    lr_min: NotNegative = Field(description="learning rate at the end of its cosine")
    warmup_epochs: int = Field(ge=0, description="epochs in which the rate rises from 0")
    weight_decay: Pair[NotNegative] = Field(description="weight decay, cosine [from, to]")
    clip_grad: NotNegative = Field(
        description="largest norm of a parameter's gradient; 0: no clipping"
    )
    precision: Precision = Field(
        description="precision of the networks' products: tf32 (on a CPU float32), bfloat16, "
        "float32",
    )
    initial: str = Field(
        "random",
        pattern=INITIAL,
        description="what the backbone starts from: random, weights/NAME of the catalogue, or "
        "run/STUDY/VARIANT",
    )


class Normalised(Settings):
    """What all views have in common."""

    flip_p: Share = Field(description="probability of a horizontal flip")
    jitter: Quadruple[Share] = Field(
        description="strengths of brightness, contrast, saturation and hue"
    )
    mean: OfPixels = Field(description="mean of red, green and blue, of pixel values from 0 to 1")
    std: Annotated[Triple[Positive], AfterValidator(_of_pixels)] = Field(
        description="standard deviation of red, green and blue, of pixel values from 0 to 1"
    )


class Crops(Normalised):
    """The one kind of view of methods without multi-crop.

    With `scale` a random resized crop (table 2 of the paper of chapter 5), without it the middle of
    the image after its shorter side was resized to `resize` (table 5).
    """

    size: Pixels = Field(description="side of a view, pixels")
    interpolation: Literal["bicubic", "bilinear"] = Field(
        description="interpolation of crop and resizing"
    )
    rotation: float = Field(ge=0, le=180, description="largest rotation either way, degrees")
    scale: Scale | None = Field(None, description="share of the image's area in a crop [min, max]")
    resize: Pixels | None = Field(None, description="side of which a view is the middle, pixels")
    shift: Share = Field(0.0, description="largest shift, as a share of the side")
    zoom: Rising = Field((1.0, 1.0), description="zoom [min, max]")

    @property
    def spec(self) -> ViewSpec:
        """The view of a training."""
        return ViewSpec(
            self.size,
            self.scale,
            flip_p=self.flip_p,
            jitter=self.jitter,
            jitter_p=1.0,
            grey_p=0.0,
            blur_p=0.0,
            mean=self.mean,
            std=self.std,
            crop=self.size / (self.resize or self.size),
            rotation=self.rotation,
            shift=self.shift,
            zoom=self.zoom,
            warp_last=self.scale is None,
            interpolation=self.interpolation,
        )


class Backbone(Settings):
    """A network of timm, and what timm.create_model takes to make it."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(
        pattern=r"^[A-Za-z0-9_.:/-]+$",
        description="model of timm.create_model, which takes all keys but those named here",
    )
    position: Literal["bicubic", "antialiased"] = Field(
        "antialiased",
        description="how a vision transformer's position embeddings are resampled for smaller "
        "views: bicubic as in the DINO reference, with 0.1 patches added to the side, or bicubic "
        "with antialiasing, as timm does",
    )
    cls_token_std: Positive | None = Field(
        None,
        description="standard deviation of the class token at the start: 0.02 in the DINO "
        "reference; without it timm's, 1e-6",
    )

    stem: Literal["timm", "cifar"] = Field(
        "timm",
        description="first layers of a ResNet: timm's, 7 x 7 of stride 2 and max pooling, or those "
        "for images of 32 pixels (He et al. 2016, on CIFAR-10): 3 x 3 of stride 1 and no pooling",
    )

    @property
    def options(self) -> dict[str, Any]:
        """What timm.create_model takes beside the name."""
        return dict(self.model_extra or {})

    @property
    def patch(self) -> int | None:
        """Side of a vision transformer's patches in pixels; None where nothing says it has any."""
        named = re.search(r"_patch(\d+)", self.name)
        return self.options.get("patch_size", int(named[1]) if named else None)

    @property
    def resnet(self) -> bool:
        """Whether it is one of timm's ResNets, by its name."""
        return self.name.split(".")[0].startswith(("resnet", "resnext", "wide_resnet"))

    @property
    def batch_norm(self) -> bool:
        """Whether images of a batch may share statistics: in every network that is not known to
        have none, as vision transformers and those with another norm_layer are."""
        norm = self.options.get("norm_layer", "batchnorm" if self.patch is None else "layernorm")
        return "batch" in str(norm)

    def faults(self, views: Mapping[str, int]) -> Iterator[Fault]:
        """What does not fit; views: sizes in pixels by their keys, such as views.size."""
        yield from self._of_another_kind()
        for key, value in self.options.items():
            if fault := option_fault(key, value):
                yield f"backbone.{key}", f"is {value!r}{fault}"
        width, heads = self.options.get("embed_dim"), self.options.get("num_heads")
        if isinstance(width, int) and isinstance(heads, int) and (heads < 1 or width % heads):
            yield (
                "backbone.num_heads",
                f"{heads} does not divide backbone.embed_dim {width}: change one of the two.",
            )
        patch = self.patch
        if patch is None or not isinstance(patch, int):
            return
        for key, size in views.items():
            if patch < 1 or size % patch:
                yield (
                    key,
                    f"{size} is not a multiple of the backbone's patches of {patch} pixels: change "
                    "one of the two.",
                )

    def _of_another_kind(self) -> Iterator[Fault]:
        """Options of a vision transformer given to a ResNet, and the other way round."""
        if self.stem == "cifar" and not self.resnet:
            yield (
                "backbone.stem",
                f"cifar is of ResNets, and {self.name} is none: leave it out.",
            )
        given = {
            "position": self.position == "bicubic",
            "cls_token_std": self.cls_token_std is not None,
        }
        for key in given:
            if given[key] and self.resnet:
                yield (
                    f"backbone.{key}",
                    f"is of vision transformers, and {self.name} is none: write `{key}: null`.",
                )


class MethodSettings(Settings):
    """The sections of a method. A method without a property here has the one that is here."""

    WITHOUT_NEGATIVES: ClassVar[dict[str, Any]] = {}  # changes of the settings by strategy `none`

    training: Training = Field(description="how long, in which batches, at which rates")
    views: Settings = Field(description="what the network is shown")
    backbone: Backbone = Field(description="the network that gives the features")

    @property
    def shown(self) -> ViewSpec:
        """How evaluation shows an image: whole, not augmented."""
        raise NotImplementedError

    @property
    def labels(self) -> int | None:
        """Images of which the labels are used; None: of all, or of none."""
        return None

    @property
    def pushes_negatives(self) -> bool:
        """Whether the loss has a part for negatives."""
        return False

    @property
    def negatives_of_each_source(self) -> bool:
        """Whether every source of negatives gives a whole batch of them, not its part of one."""
        return False

    def passes(self, negatives: int) -> float:
        """Cost of a step for an image with so many negatives, in forward passes of the network over
        one whole image; a backward pass costs two."""
        return 3.0

    def work(self, negatives: int) -> float:
        """Cost of a step for an image with so many negatives, against that with one."""
        return self.passes(negatives) / self.passes(1)

    @property
    def shift_place(self) -> str:
        """What negatives are shifted as: "image", before the method gets them, or "view"."""
        return "image"

    @property
    def shift_identity(self) -> bool:
        """Whether a permutation that shifts a negative may be the identity."""
        return False

    def shifted_sizes(self, size: int) -> dict[str, int]:
        """Sides of what is shifted in pixels, by their keys; size: of the packed images."""
        return {"size": size}

    @property
    def together(self) -> int:
        """Images of a batch that share their batch statistics, on however many devices."""
        return 1

    @property
    def momentum(self) -> tuple[float, float]:
        """Of the teacher's moving average, cosine (from, to)."""
        return 1.0, 1.0

    @property
    def temperature(self) -> tuple[float, float]:
        """Of the teacher, linear (from, to), one step per epoch."""
        return 1.0, 1.0

    def sizes(self) -> dict[str, int]:
        """Sides of the views in pixels, by their keys."""
        return {"views.size": self.shown.size}

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        """What does not fit; images: to train on, 0 where unknown; rows: of a batch and device."""
        yield from self.backbone.faults(self.sizes())


class Negative(Settings):
    """Where a part of the negatives comes from; weight: against that of the others."""

    source: str
    split: str
    shift: str | None
    weight: Positive = 1.0


class RunSettings(Settings):
    """Everything that the weights of a run are a function of: runs/RUN/config.json, typed."""

    version: int = Field(1, alias="schema")
    run: str
    study: str
    in_distribution: str
    method: str
    strategy: str
    variant: str
    seed: int
    size: int
    fit: Literal["crop", "squash"] = "crop"
    train_split: str
    test_split: str
    negatives: Many[Negative]
    initial: dict[str, str] | None = None  # {"run": ID} or {"weights": NAME}
    options: MethodSettings  # the sections

    def packed(self, dataset: str, split: str) -> PackedSet:
        """A set at the size and fit of the run's own."""
        return PackedSet(dataset, split, self.size, self.fit)

    @property
    def training(self) -> Any:
        return self.options.training

    @property
    def views(self) -> Any:
        return self.options.views

    @property
    def backbone(self) -> Backbone:
        return self.options.backbone

    @property
    def head(self) -> Any:
        return self.options.head

    @property
    def negatives_an_image(self) -> int:
        """Negatives in a batch for each of its images."""
        if not self.negatives or not self.options.pushes_negatives:
            return 0
        return len(self.negatives) if self.options.negatives_of_each_source else 1

    @property
    def work(self) -> float:
        """Cost of an image of a batch, against one with a single negative: 1 where none are."""
        return self.options.work(self.negatives_an_image)

    @property
    def code(self) -> dict[str, int]:
        """Versions of the code that the weights are a function of, beside the settings."""
        shifts = sorted({pair.shift for pair in self.negatives if pair.shift})
        versions = {f"shift {name}": lookup("shift", name).version for name in shifts}
        method = lookup("method", self.method).version
        return {"train": VERSIONS["train"], f"method {self.method}": method} | versions

    def to_dict(self) -> dict[str, Any]:
        """As runs/RUN/config.json has it."""
        plain = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"options"})
        return plain | self.options.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def faults(self, images: int, devices: int = 1) -> Iterator[Fault]:
        """What cannot be trained on so many images (0: unknown) and devices, or at all."""
        batch, labels, key = self.training.batch_size, self.options.labels, "training.batch_size"
        name = self.in_distribution
        if labels and images and labels > images:
            yield (
                "training.labels",
                f"{labels} is more than the {images} images of {name}: lower it, or leave it out "
                "to use all of them.",
            )
        used = min(labels, images) if labels and images else images
        if self.training.epochs and used and batch > used:
            yield key, f"{batch} is larger than the {used} images of {name}: lower it."
        if batch % devices:
            yield (
                key,
                f"{batch} cannot be shared out equally to {devices} devices: change one of them.",
            )
        weights = [pair.weight for pair in self.negatives]
        shared = weights and not self.options.negatives_of_each_source
        if shared and batch * min(weights) < sum(weights):
            yield (
                key,
                f"{batch} is too small for each of the {len(weights)} (source, shift) pairs of "
                f"strategy {self.strategy} to give a negative, by their weights: raise it.",
            )
        yield from self._uncuttable()
        yield from self.options.faults(used, batch // devices)

    def _uncuttable(self) -> Iterator[Fault]:
        """Sizes that the shift of a negative cannot cut into equal parts."""
        if not self.options.pushes_negatives:
            return
        for shift in sorted({pair.shift for pair in self.negatives if pair.shift}):
            parts = parts_of(shift)
            for key, side in self.options.shifted_sizes(self.size).items():
                if side % parts:
                    yield (
                        key,
                        f"{side} cannot be cut into the {parts} x {parts} equal patches of the "
                        f"shift {shift} of strategy {self.strategy}: choose a size that {parts} "
                        "divides.",
                    )


def read_run(config: Mapping[str, Any]) -> RunSettings:
    """The settings of runs/RUN/config.json.

    Raises UserError for what its method does not know, and for a method that nothing declares.
    """
    place = f"{config.get('run', 'The run')}:"
    sections = lookup("method", config.get("method"), place.rstrip(":")).settings
    own = {key: value for key, value in config.items() if key in sections.model_fields}
    identity = {key: value for key, value in config.items() if key not in own}
    options = read_settings(sections, own, place)
    return read_settings(RunSettings, {**identity, "options": options}, place)
