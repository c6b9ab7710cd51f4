"""What the small study makes of chapters 5 and 7: its sets, archives, runs and negatives."""

from __future__ import annotations

# Images of every packed set (small_medical.NUMBERS tells how many each split has).
SETS = {
    **{f"rsna/train_{i}": 24 for i in (0, 1)},
    **{f"rsna/test_{i}": 10 for i in (0, 1)},
    "rsna/train": 24,
    "rsna/test": 10,
    "rsna_opacity/test": 12,
    "rsna_not_normal/test": 13,
    "rsna_labelled/train": 24 + 18,
    "rsna_labelled/test": 10 + 7,
    "rsna_labelled/test_normal": 10,
    "rsna_labelled_abnormal/test": 7,
    "chexpert/frontal": 26,
    "imagenet_100k/train": 40,
    "hyper_kvasir/train": 20,
    "hyper_kvasir/test": 9,
    "hyper_kvasir_polyp/test": 11,
    "hyper_kvasir_unlabelled/train": 28,
    "lag/train": 21,
    "lag/test": 9,
    "lag_glaucoma/test": 14,
}
ARCHIVES = {
    "rsna": "rsna-pneumonia-detection-challenge.zip",
    "chexpert": "CheXpert-v1.0-small.zip",
    "hyper_kvasir": "hyper-kvasir-labeled-images.zip",
    "hyper_kvasir_unlabelled": "hyper-kvasir-unlabeled-images.zip",
    "lag": "LAG",
}
WEIGHTS = {
    "moco_v2_imagenet": "moco_v2_800ep_pretrain.pth.tar",
    "resnet50_imagenet": "resnet50-0676ba61.pth",
}
# (train, test) of every comparison of two sets out of one archive.
PROOFS = [
    *(
        (f"rsna/train_{i}", name)
        for i in (0, 1)
        for name in (f"rsna/test_{i}", "rsna_opacity/test", "rsna_not_normal/test")
    ),
    ("rsna_labelled/train", "rsna_labelled/test"),
    ("rsna_labelled/train", "rsna_labelled/test_normal"),
    ("rsna_labelled/train", "rsna_labelled_abnormal/test"),
    ("rsna/train", "rsna/test"),
    ("rsna/train", "rsna_opacity/test"),
    ("rsna/train", "rsna_not_normal/test"),
    ("hyper_kvasir/train", "hyper_kvasir/test"),
    ("hyper_kvasir/train", "hyper_kvasir_polyp/test"),
    ("lag/train", "lag/test"),
    ("lag/train", "lag_glaucoma/test"),
]
STARTS = ["imagenet_con", "rsna_con", "imagenet_classifier", "random"]
LABELS = ["labels_100", "labels_all"]
# Two splits, two other batches and one other augmentation; two pre-trainings; fine-tunings.
RUNS_OF_CHAPTER_5 = 2 + 2 + 1 + 2 + len(STARTS) * len(LABELS)
STRATEGIES = {
    "rsna": ["none", "rot_both", "perm4_both", "rot_indist", "rot_auxiliary", "rot_outdomain"],
    "lag": ["none", "rot_both", "rot_indist", "rot_auxiliary"],
    "hyper_kvasir": ["none", "perm4_both", "perm4_indist", "perm4_auxiliary", "perm4_outdomain"],
}
RUNS_OF_CHAPTER_7 = sum(map(len, STRATEGIES.values()))
NEGATIVES_OF_CHAPTER_7 = [(h, s) for h in STRATEGIES for s in STRATEGIES[h] if s != "none"]
AUXILIARY = {"rsna": "chexpert", "lag": "imagenet_100k", "hyper_kvasir": "hyper_kvasir_unlabelled"}
OOD = {
    "rsna": ["rsna_opacity", "rsna_not_normal"],
    "lag": ["lag_glaucoma"],
    "hyper_kvasir": ["hyper_kvasir_polyp"],
}
