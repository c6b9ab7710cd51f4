"""Self-distillation with negatives (chapters 6 and 7): its declaration and its settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Pair, Positive, Rising, Settings, Share, Triple
from ssl_ood.methods.settings import Fault, MethodSettings, Normalised, Pixels, Scale, Training
from ssl_ood.views.spec import ViewSpec

Views = Pair[Annotated[int, Field(ge=0)]]
REFERENCE_SIZE = 224  # pixels of a global view of the DINO reference, for which its blur is meant


def _comparable(views: tuple[int, int]) -> tuple[int, int]:
    if views[0] < 1 or sum(views) < 2:
        raise ValueError(
            f"{views[0]} global and {views[1]} local views cannot be compared: take at least one "
            "global view and one more view"
        )
    return views


def _some(views: tuple[int, int]) -> tuple[int, int]:
    if not any(views):
        raise ValueError("negatives need at least one view")
    return views


class DinoTraining(Training):
    """Self-distillation: student, teacher and centre."""

    freeze_last_layer_epochs: int = Field(
        ge=0, description="epochs in which the last layer is not updated"
    )
    lambda_: float = Field(
        alias="lambda", ge=0, description="weight of the loss on negatives, equation 5"
    )
    negatives: Literal["per_source", "shared"] = Field(
        description="per_source: every source of a strategy gives batch_size negatives, whose loss "
        "has its share of the sources' weights; shared: the sources give batch_size negatives "
        "together, by the same shares",
    )
    student_temperature: Positive = Field(description="divides the student's logits")
    teacher_temperature: Pair[Positive] = Field(
        description="divides the teacher's logits, linear [from, to]"
    )
    teacher_momentum: Pair[Share] = Field(
        description="momentum of the teacher's moving average, cosine [from, to]"
    )
    centre_momentum: Share = Field(
        description="momentum of the moving average of the teacher's logits"
    )
    batch_norm_images: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="images whose views of one size, positive and negative, share their batch "
        "statistics, in backbones and heads that have some; without it the whole batch, on one "
        "device",
    )
    stop_on_collapse: bool = Field(description="end a training whose teacher says nothing")


class DinoViews(Normalised):
    """Global and local views (multi-crop)."""

    positive: Annotated[Views, AfterValidator(_comparable)] = Field(
        description="global, local views of an image"
    )
    negative: Annotated[Views, AfterValidator(_some)] = Field(
        description="global, local views of a negative"
    )
    global_size: Pixels = Field(description="side of a global view, pixels")
    local_size: Pixels = Field(description="side of a local view, pixels")
    global_scale: Scale = Field(description="share of the image's area in a crop [min, max]")
    local_scale: Scale = Field(description="share of the image's area in a crop [min, max]")
    jitter_p: Share = Field(description="probability of a colour jitter")
    grey_p: Share = Field(description="probability of a grey view")
    blur_p: Triple[Share] = Field(
        description="probabilities of a blur: first global view, second, local views"
    )
    blur_sigma: Rising = Field(
        description="standard deviation of a blur in pixels, uniform in [min, max]"
    )
    blur_scaled: bool = Field(
        description=f"blur_sigma, of all views, times global_size / {REFERENCE_SIZE}"
    )
    solarize_p: Share = Field(description="probability of solarising, second global view")
    negative_global: Literal["coin", "first"] = Field(
        description="how a negative global view is augmented: as either global view of a positive, "
        "by a coin thrown for each image, or as the first",
    )
    shift_place: Literal["view", "image"] = Field(
        description="what the negatives' shift is drawn for and applied to: every view, at its "
        "size, or the image, once for all its views, before the crop",
    )
    shift_identity: bool = Field(
        description="draw permutations uniformly, the identity too; rotations are never by 0",
    )
    rotate_positives: bool = Field(
        False, description="turn all positive views of an image alike, by 90, 180 or 270 degrees"
    )

    @property
    def specs(self) -> dict[str, ViewSpec]:
        """The three kinds of views: global_1, global_2 and local."""
        names = ("flip_p", "jitter", "jitter_p", "grey_p", "mean", "std")
        shared = {name: getattr(self, name) for name in names}
        factor = self.global_size / REFERENCE_SIZE if self.blur_scaled else 1.0
        shared["blur_sigma"] = tuple(factor * sigma for sigma in self.blur_sigma)
        size, scale = self.global_size, self.global_scale
        blur_1, blur_2, blur_local = self.blur_p
        return {
            "global_1": ViewSpec(size, scale, blur_p=blur_1, **shared),
            "global_2": ViewSpec(size, scale, blur_p=blur_2, solarize_p=self.solarize_p, **shared),
            "local": ViewSpec(self.local_size, self.local_scale, blur_p=blur_local, **shared),
        }

    def pipelines(self, kind: str) -> tuple[list[ViewSpec], list[ViewSpec]]:
        """The global and the local views of an image; kind: positive or negative."""
        n_global, n_local = getattr(self, kind)
        specs = self.specs
        pair = specs["global_1"], specs["global_2"]
        if kind == "negative" and self.negative_global == "coin":
            pair = (replace(pair[0], other=pair[1]),) * 2
        return [pair[i % 2] for i in range(n_global)], [specs["local"]] * n_local


class DinoHead(Settings):
    """MLP, L2-normalised bottleneck, weight-normalised last layer."""

    layers: Count = Field(description="linear layers of the MLP")
    hidden: Count = Field(description="width of the MLP")
    bottleneck: Count = Field(description="dimensions of the unit vector before the last layer")
    out: int = Field(ge=2, description="soft-classes, K")
    norm_last_layer: bool = Field(
        description="keep the norms of the last layer's K rows at 1; without it they are trained "
        "and decayed",
    )
    batch_norm: bool = Field(
        False,
        description="normalise the MLP's hidden units by their batch statistics, over the views of "
        "all sizes: the reference's use_bn_in_head",
    )
    frozen: bool = Field(description="student and teacher keep the head that is drawn at the start")


class DinoSettings(MethodSettings):
    """The sections of `methods.dino`."""

    WITHOUT_NEGATIVES: ClassVar = {"training": {"lambda": 0.0}}  # nothing to weigh

    training: DinoTraining = Field(description="how long, in which batches, at which rates")
    views: DinoViews = Field(description="what student and teacher are shown")
    head: DinoHead = Field(description="from features to soft-classes")

    @property
    def shown(self) -> ViewSpec:
        views = self.views
        return ViewSpec(views.global_size, None, mean=views.mean, std=views.std)

    @property
    def pushes_negatives(self) -> bool:
        return self.training.lambda_ > 0

    @property
    def negatives_of_each_source(self) -> bool:
        return self.training.negatives == "per_source"

    def passes(self, negatives: int) -> float:
        views = self.views
        big, small = views.global_size**2, views.local_size**2

        def pixels(kind: tuple[int, int]) -> int:
            return kind[0] * big + kind[1] * small

        # Pixels that go through a network: forward, and for the student back, twice as much. The
        # teacher sees the positive global views.
        of_student = pixels(views.positive) + negatives * pixels(views.negative)
        return (3 * of_student + pixels((views.positive[0], 0))) / big

    @property
    def batch_norm(self) -> bool:
        """Whether images of a batch share statistics, in the backbone or in the head."""
        return self.backbone.batch_norm or self.head.batch_norm

    @property
    def together(self) -> int:
        if not self.batch_norm:
            return 1
        batch = self.training.batch_size
        return min(self.training.batch_norm_images or batch, batch)

    @property
    def momentum(self) -> tuple[float, float]:
        return self.training.teacher_momentum

    @property
    def temperature(self) -> tuple[float, float]:
        return self.training.teacher_temperature

    @property
    def shift_place(self) -> str:
        return self.views.shift_place

    @property
    def shift_identity(self) -> bool:
        return self.views.shift_identity

    def shifted_sizes(self, size: int) -> dict[str, int]:
        if self.shift_place == "image":
            return super().shifted_sizes(size)
        counts = zip(self.sizes().items(), self.views.negative, strict=True)
        return {key: side for (key, side), count in counts if count}

    def sizes(self) -> dict[str, int]:
        return {
            "views.global_size": self.views.global_size,
            "views.local_size": self.views.local_size,
        }

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        big, small = self.sizes().values()
        if small > big:
            yield (
                "views.local_size",
                f"{small} is larger than views.global_size {big}: lower it.",
            )
        yield from self._of_batch_norm(rows)

    def _of_batch_norm(self, rows: int) -> Iterator[Fault]:
        """Statistics that cannot be had; rows: images of a batch that a device works on."""
        batch, images = self.training.batch_size, self.training.batch_norm_images
        name = self.backbone.name if self.backbone.batch_norm else "the head"
        if not self.batch_norm:
            if images is not None:
                yield (
                    "training.batch_norm_images",
                    f"{images} has no effect, since neither {self.backbone.name} nor the head has "
                    "batch statistics: leave it out.",
                )
        elif batch == 1:
            yield "training.batch_size", f"1 gives {name} no batch statistics: raise it."
        elif images is None and rows != batch:
            yield (
                "training.batch_size",
                f"{batch} is normalised over as a whole in {name}: set execution.devices to 1, or "
                f"training.batch_norm_images to the {rows} images of a device.",
            )
        elif rows % self.together:
            yield (
                "training.batch_norm_images",
                f"{images} does not divide the {rows} images of a batch that a device works on: "
                "change one of them.",
            )


declare(
    "method",
    "dino",
    "ssl_ood.methods.dino.method:Dino",
    title="DINO with negatives",
    notes="""Views of one image are pulled to the same of K soft-classes, L_pos (equation 3);
    negatives are pushed to the uniform distribution over them, L_neg (equation 4); the loss is
    L_pos + lambda L_neg (equation 5). The features are those of the teacher's
    backbone: of a vision transformer its class token, else what is pooled.""",
    settings=DinoSettings,
    source="code",
    offers=frozenset({"features", "images", "soft_classes", "patch_tokens"}),
)
