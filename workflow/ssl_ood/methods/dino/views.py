"""The views of a step (multi-crop): global and local ones, of positives and of negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.streams import stream
from ssl_ood.methods.settings import RunSettings
from ssl_ood.views.render import ViewParameters, draw, render
from ssl_ood.views.shifts import rotate_quarters
from ssl_ood.views.spec import ViewSpec
from ssl_ood.views.transfer import to_device

Shifts = Sequence[str | None]


def make_views(
    images: Tensor, settings: RunSettings, kind: str, step: int, rows: slice, shifts: Shifts = ()
) -> tuple[Tensor, Tensor]:
    """Global and local views of the images in `rows`, (V, len(rows), 3, S, S) each.

    kind: "positive" or "negative"; shifts: of each image the shift that its views get, if any do.
    Parameters are drawn for the whole batch, whichever rows are asked, so that micro-batches and
    processes together give the views of one large batch. With views.rotate_positives all positive
    views of an image share one rotation by 90, 180 or 270 degrees (section 3.3 of the paper of
    chapter 7: Hyper-Kvasir's green box in a corner leaks).
    """
    seed, options = settings.seed, settings.views
    chosen = images[rows]
    if kind == "positive" and options.rotate_positives:
        quarters = stream(seed, "rotate", step).integers(1, 4, len(images))
        chosen = rotate_quarters(chosen, quarters[rows])
    groups = _shifted_alike(shifts or [None] * len(images))
    places, made = [], []
    for i, (shift, group) in enumerate(groups):
        which = [kind, step, *([i] if i else [])]
        rng, aside = stream(seed, "views", *which), stream(seed, "shifts of views", *which)
        asked = np.flatnonzero((group >= rows.start) & (group < rows.stop))
        here = group[asked] - rows.start  # among the chosen
        part = chosen if len(groups) == 1 else chosen[to_device(here, images.device)]
        drawn = [
            [
                draw(spec, len(group), *images.shape[1:3], rng, aside).rows(asked)
                for spec in _with(specs, shift, options.shift_identity)
            ]
            for specs in options.pipelines(kind)
        ]
        specs = _with([options.specs["global_1"], options.specs["local"]], shift)
        places.append(here)
        made.append([_together(part, *pair) for pair in zip(drawn, specs, strict=True)])
    if len(groups) == 1:
        return tuple(made[0])
    back = to_device(np.concatenate(places).argsort(), images.device)
    return tuple(torch.cat(parts, 1)[:, back] for parts in zip(*made, strict=True))


def _shifted_alike(shifts: Shifts) -> list[tuple[str | None, np.ndarray]]:
    """Every shift with the numbers of its images, in the order in which they first come."""
    named = np.array([shift or "" for shift in shifts])
    return [(shift, np.flatnonzero(named == (shift or ""))) for shift in dict.fromkeys(shifts)]


def _with(specs: list[ViewSpec], shift: str | None, may_stay: bool = False) -> list[ViewSpec]:
    return [replace(spec, shifting=shift, may_stay=may_stay) for spec in specs]


def _together(images: Tensor, views: list[ViewParameters], spec: ViewSpec) -> Tensor:
    """All views of one size in one pass; what differs between their specs has been drawn."""
    shape = (len(views), len(images), 3, spec.size, spec.size)
    if not views or not len(images):
        return torch.empty(shape, device=images.device)
    return render(images, ViewParameters.joined(views), spec).view(shape)
