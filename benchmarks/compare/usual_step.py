"""The usual training step: the DINO reference's, in eager mode, with a second pass for negatives.

The network, the weights and the losses are ours; how they are called is the reference's: a pass of
the backbone for each size of views, losses view by view in a double loop, gradients clipped one by
one, the teacher moved parameter by parameter, half precision with a scaler of the loss on CUDA, and
the loss read by the host in every step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.methods.updates import parameter_groups


class UsualStep:
    """Student, teacher, optimiser and centre; call it with views to train a step."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, config: dict, device: torch.device
    ) -> None:
        self.student, self.teacher = student.to(device), teacher.to(device)
        self.training, self.device = config["training"], device
        self.centre = torch.zeros(1, config["head"]["out"], device=device)
        groups = [
            {key: value for key, value in group.items() if key != "decay"}
            for group in parameter_groups(student)
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4)
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")

    def __call__(self, positive: list[Tensor], negative: list[Tensor], micro: int) -> float:
        """One step on views (V tensors of (B, 3, S, S)), at most `micro` images at a time."""
        training, batch = self.training, len(positive[0])
        self.optimizer.zero_grad()
        total, logits = 0.0, []
        for low in range(0, batch, micro):
            part = slice(low, low + micro)
            loss, teacher = self.loss([v[part] for v in positive], [v[part] for v in negative])
            share = len(teacher) / (batch * training_globals(positive))
            self.scaler.scale(loss * share).backward()
            total += loss.item() * share
            logits.append(teacher)
        self.scaler.unscale_(self.optimizer)
        for p in self.student.parameters():
            if p.grad is not None:
                norm = p.grad.data.norm(2)
                if norm.item() > training["clip_grad"]:
                    p.grad.data.mul_(training["clip_grad"] / (norm + 1e-6))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            momentum = training["centre_momentum"]
            mean = torch.cat(logits).mean(0, keepdim=True)
            self.centre = self.centre * momentum + mean * (1 - momentum)
            momentum = training["teacher_momentum"][0]
            for q, k in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                k.data.mul_(momentum).add_((1 - momentum) * q.detach().data)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return total

    def loss(self, positive: list[Tensor], negative: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Total loss (equation 5) and the teacher's logits (G * B, K)."""
        training = self.training
        n_global = training_globals(positive)
        with torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda"):
            with torch.no_grad():
                teacher = forward(self.teacher, positive[:n_global]).float()
            student = forward(self.student, positive).float()
            pushed = forward(self.student, negative).float()
        student = (student / training["student_temperature"]).chunk(len(positive))
        target = F.softmax((teacher - self.centre) / training["teacher_temperature"][0], dim=-1)
        total, terms = 0.0, 0
        for g, q in enumerate(target.detach().chunk(n_global)):
            for v in range(len(student)):
                if v == g:
                    continue
                total = total + torch.sum(-q * F.log_softmax(student[v], dim=-1), dim=-1).mean()
                terms += 1
        of_negatives = -F.log_softmax(pushed / training["student_temperature"], dim=-1).mean()
        return total / terms + training["lambda"] * of_negatives, teacher


def training_globals(views: list[Tensor]) -> int:
    """How many views have the size of the first: the global ones come first."""
    return sum(view.shape[-1] == views[0].shape[-1] for view in views)


def forward(network: nn.Module, views: list[Tensor]) -> Tensor:
    """The reference's multi-crop wrapper: a pass of the backbone for each run of equal sizes."""
    sizes = torch.tensor([view.shape[-1] for view in views])
    ends = torch.cumsum(torch.unique_consecutive(sizes, return_counts=True)[1], 0)
    start, features = 0, []
    for end in ends:
        features.append(network.features(torch.cat(views[start:end])))
        start = end
    return network.head(torch.cat(features))
