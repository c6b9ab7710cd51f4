"""Tiny run configs of the methods that table 6.1 compares with."""

from __future__ import annotations

from support.other_methods import COMMON, RESNET, SGD, VIEWS, run_of

ADAM = {k: v for k, v in SGD.items() if k != "sgd_momentum"} | {
    "betas": [0.5, 0.999], "lr_base": 0.3,
}  # fmt: skip
WHOLE = VIEWS | {"shift": 0.0, "rotation": 0, "flip_p": 0.0, "jitter": [0.0, 0.0, 0.0, 0.0]}
PRE_ACTIVATED = {
    "name": "resnetv2_18", "channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1], "stem_chs": 4,
    "stem": "cifar",
}  # fmt: skip
CROPS = VIEWS | {"shift": 0.125, "rotation": 0, "jitter": [0.0, 0.0, 0.0, 0.0]}
CONTRASTED = VIEWS | {
    "scale": [0.2, 1.0], "rotation": 0, "jitter": [0.4, 0.4, 0.4, 0.1], "jitter_p": 0.8,
    "grey_p": 0.2,
}  # fmt: skip
OF_METHODS = {
    "supervised": {"training": SGD, "views": CROPS, "head": {"classes": 3}},
    "rotation": {"training": SGD, "views": CROPS},
    "geometric": {
        "training": SGD | {"rotation_weight": 1.0, "dropout": 0.3},
        "views": CROPS,
        "head": {"classes": 3},
        "backbone": PRE_ACTIVATED,
    },
    "simclr": {
        "training": SGD | {"temperature": 0.5},
        "views": CONTRASTED,
        "head": {"hidden": 16, "out": 8},
    },
    "csi": {
        "training": SGD | {"temperature": 0.5, "shift_weight": 1.0, "lars": 0.001},
        "views": CONTRASTED | {"crops": 2, "crop_scale": [0.54, 0.54]},
        "head": {"hidden": 16, "out": 8},
    },
    "glow": {
        "training": {k: v for k, v in SGD.items() if k != "sgd_momentum"}
        | {"optimiser": "adam", "mutation": 0.1, "lr_base": 0.03},
        "views": {"size": 16, "channels": 3, "flip_p": 0.5},
        "backbone": {"name": "glow", "levels": 2, "steps": 2, "hidden": 8},
    },
    "simsiam": {
        "training": SGD,
        "views": CONTRASTED,
        "head": {"hidden": 16, "out": 8, "predictor": 6},
    },
    "byol": {
        "training": SGD | {"teacher_momentum": [0.9, 1.0]},
        "views": CONTRASTED,
        "head": {"hidden": 16, "out": 8, "predictor": 16},
    },
    "npid": {
        "training": SGD | {"temperature": 0.2, "noise": 5, "memory_momentum": 0.5},
        "views": CONTRASTED,
        "head": {"out": 8},
    },
    "patches": {
        "training": SGD,
        "views": CROPS | {"size": 32, "patch": 8, "gap": 1, "move": 1, "drop_colours": True},
        "head": {"hidden": 16},
    },
    "jigsaw": {
        "training": SGD,
        "views": CROPS | {"size": 27, "tile": 8},
        "head": {"hidden": 16, "permutations": 12},
    },
    "swav": {
        "training": SGD
        | {"temperature": 0.1, "epsilon": 0.05, "rounds": 3, "freeze_prototypes_epochs": 1},
        "views": CONTRASTED,
        "head": {"hidden": 16, "out": 8, "prototypes": 6},
    },
    "inpainting": {
        "training": SGD | {"lr_base": 0.1, "adversarial_weight": 0.1, "opponent_rate": 0.2},
        "views": CROPS | {"shift": 0.0, "hole": 6, "place": "random"},
        "head": {"width": 4},
    },
    "ccd": {
        "training": SGD
        | {"temperature": 0.2, "permutation_weight": 1.0, "position_weight": 1.0, "lr_base": 0.2},
        "views": CONTRASTED | {"patch": 8, "cutout": 6},
        "head": {"hidden": 16, "out": 8, "position": 16},
    },
    "mtl": {
        "training": SGD
        | {
            "temperature": 0.5,
            "contrastive_weight": 0.5,
            "transformations": {"rotation": 1.0, "permutation": 2.0, "blur": 0.25},
        },
        "views": CONTRASTED,
        "head": {"hidden": 16, "out": 8},
    },
    "igd": {
        "training": {k: v for k, v in SGD.items() if k != "sgd_momentum"}
        | {
            "betas": [0.0, 0.9],
            "lr_base": 0.03,
            "ssim_weight": 0.85,
            "ssim_window": 3,
            "ssim_scales": [0.4, 0.6],
            "interpolation_weight": 0.1,
            "critic_mix": 0.2,
            "descriptor_epochs": 2,
        },
        "views": CROPS | {"shift": 0.0},
        "backbone": RESNET | {"frozen": False},
        "head": {"latents": 8, "width": 4},
    },
    "objects": {
        "training": SGD,
        "views": CROPS | {"shift": 0.0, "resize": 16, "tiles": 4, "band": 1},
    },
    "uae": {
        "training": ADAM,
        "views": WHOLE,
        "backbone": {"name": "uae", "width": 8, "hidden": 32, "latents": 6},
    },
    "alpha_gan": {
        "training": ADAM | {"opponent_rate": 0.5, "reconstruction_weight": 10.0},
        "views": WHOLE | {"channels": 1},
        "backbone": {"name": "alpha_gan", "width": 8, "latents": 6},
        "head": {"hidden": 12},
    },
    "one_class_gan": {
        "training": ADAM
        | {"opponent_rate": 0.5, "reconstruction_weight": 50.0, "code_weight": 2.0},
        "views": WHOLE | {"channels": 3},
        "backbone": {"name": "one_class_gan", "width": 8, "latents": 6},
    },
    "cavga": {
        "training": ADAM
        | {"opponent_rate": 0.5, "adversarial_weight": 0.5, "attention_weight": 0.1},
        "views": WHOLE | {"size": 32},
        "head": {"latents": 5, "width": 4},
    },
}


def rival(method: str, **changes):
    """The tiny run of a method, some settings replaced."""
    base = COMMON | {"run": f"natural-shapes-{method}", "method": method, "backbone": RESNET}
    return run_of(base | OF_METHODS[method], **changes)
