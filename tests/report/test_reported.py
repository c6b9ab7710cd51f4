"""The reported values are the ones that were given, under the names that our runs have."""

from __future__ import annotations

import hashlib

import pytest

from ssl_ood.evaluation.measurements import COLUMNS
from ssl_ood.report.reported import Reported, ReportedKey, by_key, read_reported, read_rows

# SHA-256 of the values of each file, as printed in the thesis, one a line.
VALUES = {
    "chapter_7_medical.csv":
        "06bef2764ead08ea92dd16062f9aa8f725b6682e001198704bf80432d9fa2bbb",
    "claims_in_text.csv":
        "cc847ab52521adcfc19fe0e54ca03baf9789b8fd516b843f9bdaa5d940d07ea9",
    "claims_of_chapter_5.csv":
        "94284257613ba3b490d78673f8e69351f231da7a0224c397aa1bc2f82dd31620",
    "claims_of_chapter_6.csv":
        "9e02ffb6217227ccc1c1f93a7f9a8bef60c8bac6a877dd21e1e84b9cc976d20d",
    "claims_of_chapter_7.csv":
        "ffda748ebf15e26a94c027524e942db10348cd44db006bef77de90c8513c227b",
    "figure_2_8_objects_texture.csv":
        "3655cac9bcd7f2e867e3b6b2c0e2bb5c97c766519f907dd64958d140a68e7894",
    "isbi_ablations_and_label_efficiency.csv":
        "538b7c9ab53f265d2d36513475c557f2de9f45cbda123b71f64f19402cac3f32",
    "table_1_1_glow_bits_per_dimension.csv":
        "6b6090e3bd021fc8cef039b7692e4f37a4e8fa2094a0a13ac60f353ddb1a156b",
    "table_5_2_rsna_contrastive.csv":
        "cf998b15b348b8ee4a2089f16364cb6dbe03ceca56332fc2d1f467c3af87d307",
    "table_6_1_ood_auroc.csv":
        "73aa770d577bb326b5f62d79b89e15620c496df2bc7c8b4cc834d7e0d6f7dc26",
    "table_6_2_negative_sampling.csv":
        "f0fb3d863c2b8522f3e8c18ee7f970aa89bcd2d8d181b76e52822cbe86389145",
}  # fmt: skip
EXAMPLES = [  # read in the thesis: tables 5.2, 7.1, 7.2, 7.3, 6.2; tables 3, 4, figure 3 of 5.2
    ("figure_2_8", "imagenet_objects", "", "none", "imagenet_classifier", "accuracy", "", 78),
    ("table_5_2", "rsna", "pooled", "none", "base", "auroc", "mahalanobis", 0.866),
    ("table_5_2", "rsna", "pooled", "ConVIRT", "", "auroc", "", 0.908),
    ("table_7_1", "rsna", "rsna_not_normal", "rot_both", "base", "auroc", "cosine_max", 0.714),
    ("table_7_2", "hyper_kvasir", "hyper_kvasir_polyp", "perm4_both", "base", "auroc",
     "mahalanobis", 0.996),
    ("table_7_2", "lag", "lag_glaucoma", "rot_both", "base", "auroc", "cosine_max", 0.879),
    ("table_7_3", "lag", "lag_glaucoma", "pixperm_both", "base", "auroc", "cosine_max", 0.860),
    ("table_6_2", "cifar10", "svhn", "none", "base", "auroc", "cosine_tau", 99.38),
    ("isbi_table_3", "rsna", "rsna_opacity", "none", "batch_64", "auroc", "mahalanobis", 0.916),
    ("isbi_table_4", "rsna", "rsna_opacity", "none", "rotation_10", "auroc", "mahalanobis", 0.928),
    ("isbi_text", "rsna_labelled", "", "none", "base", "knn_accuracy", "", 79.01),
    ("isbi_fig_3", "rsna_labelled", "rsna_labelled_abnormal", "none", "imagenet_con+labels_100",
     "auroc", "logit", 82.97),
]  # fmt: skip


def test_no_value_differs_from_the_given_one(reported):
    assert {path.name for path in reported.glob("*.csv")} >= set(VALUES)
    for name, digest in VALUES.items():
        values = "\n".join(row["value"] for row in read_rows(reported / name))
        assert hashlib.sha256(values.encode()).hexdigest() == digest, name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: "-".join(e[:4]))
def test_a_value_is_found_under_the_name_of_our_run(reported, example):
    artefact, home, dataset, name, variant, metric, score, value = example
    who = {"strategy": name, "variant": variant} if variant else {"system": name}
    key = ReportedKey(artefact, home, dataset, **who, metric=metric, score=score)
    assert by_key(read_reported(reported))[key].value == value


def test_reported_values_have_the_columns_of_measurements(reported):
    frame = read_reported(reported)
    assert [*frame][: len(COLUMNS)] == [*COLUMNS] and set(frame.status) == {"quoted"}
    assert ((frame.system == "") == (frame.strategy != "")).all()
    assert len(read_reported(None)) == 0


def test_every_value_has_a_unit_and_a_name_of_its_own(reported):
    found = by_key(read_reported(reported))
    files = [name for name in VALUES if not name.startswith("claims_")]
    assert len(found) == sum(len(read_rows(reported / name)) for name in files)
    for key, entry in found.items():
        assert entry.unit in ("fraction", "percent", "bits")
        largest = {"fraction": 1, "percent": 100, "bits": 8}[entry.unit]
        assert largest / 5 < entry.value <= largest, key
        assert key.ours == bool(key.score or key.metric in ("knn_accuracy", "accuracy"))


def test_a_value_keeps_its_last_digit_in_its_own_unit_and_is_scaled_in_another():
    assert Reported(82.97, "percent", "").in_unit("percent") == 82.97
    assert Reported(82.97, "percent", "").in_unit("fraction") == pytest.approx(0.8297)
    assert Reported(0.94, "fraction", "").in_unit("percent") == pytest.approx(94)
