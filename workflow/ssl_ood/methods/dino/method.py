"""Self-distillation with negatives as a method of the trainer (chapters 6 and 7).

With batch normalisation in backbone or head, teacher and student normalise by the statistics of
their own batch, as in the DINO reference; the running ones of the teacher, of its global views, are
what it is evaluated with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_ood.common.distributed import average
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import load_tensors
from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import load_backbone, patch_tokens
from ssl_ood.methods.base import Batch, Method, Model, Moment, load_state
from ssl_ood.methods.dino import loss as dino
from ssl_ood.methods.dino.network import Network, build_network
from ssl_ood.methods.dino.settings import DinoSettings
from ssl_ood.methods.dino.signs import learning_signs
from ssl_ood.methods.dino.views import make_views
from ssl_ood.methods.drop_path import draw_factors
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.signs import Sign
from ssl_ood.methods.updates import parameter_groups, update_teacher
from ssl_ood.views.spec import ViewSpec
from ssl_ood.views.transfer import to_device


@dataclass(frozen=True)
class Teacher(Model):
    """The teacher, its centre (K,) and its temperature at the end of the training."""

    centre: Tensor | None = None

    def patch_tokens(self, views: Tensor) -> Tensor:
        """(N, 3, s, s) -> (N, P, d) after the final norm: see `backbones.patch_tokens`."""
        return patch_tokens(self.network.backbone, views)

    def soft_class_logits(self, features: Tensor) -> Tensor:
        """(N, d) -> logits (N, K) of the soft-classes, float32."""
        return self.network.head(features)

    def soft_classes(self, features: Tensor) -> Tensor:
        """(N, d) -> probabilities (N, K) of the soft-classes, float32."""
        temperature = self.settings.training.teacher_temperature[1]
        return dino.teacher_probabilities(self.network.head(features), self.centre, temperature)


class Dino(Method):
    """Student, teacher and centre; the teacher is what is kept."""

    PARTS = ("positive", "negative", "teacher_entropy")

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device)
        self.student = self.trained = self.build(settings.options)
        if initial is not None:
            load_backbone(self.student.backbone, initial)
        self.teacher = build_network(settings.options, drop_path=0.0)
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False)
        self.student.to(device)
        self.teacher.to(device)
        groups = parameter_groups(self.student)
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True)
        classes = settings.head.out
        self.weights = _source_weights(settings, device)
        self.centre = torch.zeros(classes, device=device)
        self.logit_mean = torch.zeros(classes, device=device)  # of the teacher, in this step
        self.mean_probability = torch.zeros(classes, device=device)  # summed over the epoch's steps
        self.recent_probability = torch.zeros(
            classes, device=device
        )  # since the last line of signs

    @classmethod
    def build(cls, settings: DinoSettings) -> Network:
        return build_network(settings)

    @classmethod
    def load(cls, settings: RunSettings, weights: Path, device: torch.device) -> Teacher:
        state, _ = load_tensors(weights)
        centre = state.pop("centre", torch.zeros(0)).to(device)
        network = build_network(settings.options, drop_path=0.0)
        load_state(network, state, weights)
        return Teacher(settings, network.to(device).eval(), sha256_of(weights), centre)

    @classmethod
    def example_views(cls, settings: RunSettings) -> list[tuple[str, ViewSpec, str, str]]:
        specs = settings.views.specs
        rows = [(f"Global view {i}", f"global_{i}", f"global_{i}", "images") for i in (1, 2)]
        rows += [(f"Local view {i}", "local", f"local{i}", "images") for i in (1, 2)]
        rows = [(label, specs[kind], name, shown) for label, kind, name, shown in rows]
        for size, name, pushed in zip(
            ("global", "local"),
            ("negative", "negative local"),
            settings.views.pipelines("negative"),
            strict=True,
        ):
            if pushed:
                rows.append((f"Negative, {size} view", pushed[0], name, "negatives"))
        return rows

    def networks(self) -> list[nn.Module]:
        return [self.student, self.teacher]

    def rows_at_a_time(self, rows: int, micro: int) -> int:
        if not self.settings.options.batch_norm:
            return super().rows_at_a_time(rows, micro)
        # Not what the memory allows: the size of a group changes what is learned.
        return self.settings.options.together

    def begin_step(self, batch: Batch, own_rows: slice, moment: Moment) -> None:
        self.logit_mean.zero_()
        self._count = own_rows.stop - own_rows.start

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Total loss (equation 5) of some rows; the parts are L_pos, L_neg and the entropy."""
        loss, parts, logit_mean, teacher = self.objective(batch, rows, moment)
        share = (rows.stop - rows.start) / self._count
        with torch.no_grad():
            self.logit_mean += share * logit_mean
            mean = share * teacher.mean((0, 1))
            self.mean_probability += mean
            self.recent_probability += mean
            entropy = dino.entropy(teacher).mean()
        return loss, torch.cat([parts, entropy[None]])

    def objective(
        self, batch: Batch, rows: slice, moment: Moment
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss, detached (L_pos, L_neg), mean teacher logits (K,), teacher probabilities."""
        training, step = self.settings.training, moment.step
        # All views before the autocast: in bfloat16 they would lose three of their eight bits.
        kinds = [_Kind("positive", batch.images, rows)]
        if batch.negatives is not None:
            each = len(batch.negatives) // len(batch)  # negatives of an image
            beside = slice(each * rows.start, each * rows.stop)
            kinds.append(_Kind("negative", batch.negatives, beside, batch.shifts))
        views = [make_views(k.images, self.settings, k.name, step, k.rows, k.shifts) for k in kinds]
        positive_big = views[0][0]
        # Views of one size go through the backbone in one pass, positives and negatives together.
        sizes = [list(size) for size in zip(*views, strict=True) if any(map(len, size))]
        factors = self._depth_factors(sizes, kinds, step)
        with self.autocast():
            with torch.no_grad():
                (logits,) = self.teacher([positive_big.flatten(0, 1)])
            outputs = self.student(
                [torch.cat([v.flatten(0, 1) for v in size]) for size in sizes], factors
            )
        student, *pushed = _by_kind(outputs, sizes)
        teacher = dino.teacher_probabilities(logits, self.centre, moment.temperature)
        teacher = teacher.view(*positive_big.shape[:2], -1)
        positive = dino.positive_loss(student, teacher, training.student_temperature)
        negative = torch.zeros_like(positive)
        if pushed:
            weights = None if self.weights is None else self.weights.repeat(len(teacher[0]))
            negative = dino.negative_loss(pushed[0], training.student_temperature, weights)
        loss = positive + training.lambda_ * negative
        return loss, torch.stack([positive, negative]).detach(), logits.float().mean(0), teacher

    def _depth_factors(
        self, sizes: list[list[Tensor]], kinds: list[_Kind], step: int
    ) -> list[Tensor] | None:
        """Stochastic depth of the student for the views of each size and kind, drawn for the whole
        batch, as the views are."""
        paths = self.student.drop_paths
        if not any(path.drop_prob for path in paths):
            return None
        rng = stream(self.settings.seed, "drop_path", step)
        factors = []
        for size in sizes:
            drawn = [
                draw_factors(paths, len(views), len(kind.images), rng)[:, :, kind.rows]
                for views, kind in zip(size, kinds, strict=True)
            ]
            flat = np.concatenate([d.reshape(len(paths), -1) for d in drawn], axis=1)
            factors.append(to_device(flat, self.device))
        return factors

    def shared(self) -> list[Tensor]:
        return [self.logit_mean]

    def before_update(self, moment: Moment) -> None:
        if moment.epoch < self.settings.training.freeze_last_layer_epochs:
            for parameter in self.student.head.last_layer():
                parameter.grad = None

    def end_step(self, moment: Moment) -> None:
        dino.update_centre(self.centre, self.logit_mean, self.settings.training.centre_momentum)
        parameters = self.teacher.parameters(), self.student.parameters()
        update_teacher(*parameters, moment.momentum)
        # Running statistics are no gradient: every process has seen its own groups only.
        buffers = [b for network in self.networks() for b in network.buffers()]
        average([b for b in buffers if b.is_floating_point()])

    def shared_in_epoch(self) -> list[Tensor]:
        return [self.mean_probability]

    def epoch_line(self, steps: int) -> dict[str, float]:
        return self._entropy_of_mean(self.mean_probability, steps)

    def shared_in_window(self) -> list[Tensor]:
        return [self.recent_probability]

    def window_line(self, steps: int) -> dict[str, float]:
        return self._entropy_of_mean(self.recent_probability, steps)

    def _entropy_of_mean(self, summed: Tensor, steps: int) -> dict[str, float]:
        spread = dino.entropy(summed / max(steps, 1)).item()
        summed.zero_()
        return {"entropy_of_mean": spread, "log_k": float(np.log(len(self.centre)))}

    def describe(self, line: dict[str, float]) -> str:
        return (
            f"loss {line['loss']:.4f} (positive {line['positive']:.4f}, negative "
            f"{line['negative']:.4f})  entropy of an output {line['teacher_entropy']:.2f}, of the "
            f"mean output {line['entropy_of_mean']:.2f}, log K {line['log_k']:.2f}"
        )

    def signs(self) -> list[Sign]:
        return learning_signs(self.settings)

    def curve(self, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
        values = [line["teacher_entropy"] / line["log_k"] for line in lines]
        return {"name": "entropy", "values": values}

    def probed(self) -> Teacher:
        return Teacher(self.settings, self.teacher, centre=self.centre)

    def state(self) -> dict[str, Any]:
        return {
            "student": self.student.state_dict(),
            "mean_probability": self.mean_probability,
            "recent_probability": self.recent_probability,
        }

    def result(self) -> dict[str, Any]:
        return {"teacher": self.teacher.state_dict(), "centre": self.centre}

    def restore(self, state: dict[str, Any]) -> None:
        for module in {"student", "teacher"} & state.keys():
            getattr(self, module).load_state_dict(state[module])
        for tensor in {"centre", "mean_probability", "recent_probability"} & state.keys():
            getattr(self, tensor).copy_(state[tensor])

    def model_state(self) -> dict[str, Tensor]:
        return {**self.teacher.state_dict(), "centre": self.centre}


@dataclass(frozen=True)
class _Kind:
    """The positives or the negatives of a step, of which `rows` are worked on."""

    name: str
    images: Tensor
    rows: slice
    shifts: Sequence[str | None] = ()


def _by_kind(outputs: list[Tensor], sizes: list[list[Tensor]]) -> list[Tensor]:
    """Logits (V, R, K) of the positives and of the negatives, global views first, from those of
    each size (all its views, K), in which the negatives follow the positives."""
    by_kind: list[list[Tensor]] = [[] for _ in sizes[0]]
    for output, views in zip(outputs, sizes, strict=True):
        parts = output.split([v.shape[0] * v.shape[1] for v in views])
        for kind_parts, part, seen in zip(by_kind, parts, views, strict=True):
            kind_parts.append(part.view(*seen.shape[:2], output.shape[-1]))
    return [torch.cat(kind_parts) for kind_parts in by_kind]


def _source_weights(settings: RunSettings, device: torch.device) -> Tensor | None:
    """Weights (n,), of mean 1, of an image's negatives; None where all are alike."""
    weights = [pair.weight for pair in settings.negatives]
    if len(set(weights)) < 2 or not settings.options.negatives_of_each_source:
        return None
    return torch.tensor(weights, device=device) * (len(weights) / sum(weights))
