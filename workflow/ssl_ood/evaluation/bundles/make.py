"""Makes the bundle of a run: what it holds, what it says of itself, and that it tells no secret."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.commit import commit, version
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256, sha256_of
from ssl_ood.common.proofs import read_rows, sealed
from ssl_ood.common.registry import lookup
from ssl_ood.datasets.decode import Decoding
from ssl_ood.evaluation.bundles import layout
from ssl_ood.evaluation.bundles.card import model_card
from ssl_ood.evaluation.bundles.extras import Wishes, extra_members
from ssl_ood.evaluation.bundles.private import refuse_private
from ssl_ood.evaluation.bundles.shortcuts import shortcuts_of
from ssl_ood.evaluation.bundles.sources import Catalogue, sources_of, terms_of_all
from ssl_ood.evaluation.bundles.zipped import write_zip
from ssl_ood.evaluation.detect.run_files import read_files
from ssl_ood.methods.settings import RunSettings, read_run
from ssl_ood.methods.trained import prove_settings, prove_weights
from ssl_ood.study.bundled import SHORTCUTS, code_of, code_of_shortcuts
from ssl_ood.study.protocol import CATALOGUE, Choice, read_protocol

SPENT = ("seconds", "steps", "images_per_second", "device", "devices", "parameters", "versions")


def make_bundle(
    results: Path,
    run: str,
    output: Path,
    catalogue: Catalogue,
    wishes: Wishes | None = None,
    allowed: Collection[str] = (),
) -> dict[str, Any]:
    """Writes the bundle of a run of a results folder to `output`; its manifest.

    The same run, clone and wishes give the same bytes. allowed: words that may leave although they
    name this user or machine. Raises UserError for a run that is not there to its end, whose files
    are damaged or of different runs, or that tells a secret.
    """
    wishes = wishes or Wishes()
    members, manifest = _own_members(results, run, catalogue)
    settings = read_run(read_json(results / "runs" / run / "config.json"))
    with tempfile.TemporaryDirectory(prefix="ssl_ood-bundle-") as folder:
        weights = manifest["weights_sha256"]
        extra = extra_members(results, settings, weights, wishes, Path(folder))
        manifest |= _abilities(settings, manifest, wishes)
        choices = choices_of(settings, {entry["name"] for entry in manifest["sources"]})
        manifest["protocol"] = [choice.id for choice in choices]
        members |= extra | {layout.PROTOCOL: _as_csv(choices)}
        measured = read_rows(results / "measurements" / f"{run}.parquet", "measurements", run)[0]
        card = model_card(manifest, measured.to_pylist(), choices)
        members[layout.CARD] = card.encode()
        manifest["members"] = [_listed(name, members[name]) for name in layout.in_order(members)]
        manifest = sealed(manifest)
        members[layout.MANIFEST] = (json.dumps(manifest, indent=1, allow_nan=False) + "\n").encode()
        refuse_private(members, allowed)
        write_zip(members, output)
    return manifest


def _own_members(
    results: Path, run: str, catalogue: Catalogue
) -> tuple[dict[str, Path | bytes], dict[str, Any]]:
    """The members that every bundle has, proven to belong together, and what is said of them."""
    members = {name: results / name for name in layout.required(run)}
    for path in members.values():
        if not path.is_file():
            raise UserError(
                f"There is no {path}: {run} was not trained and evaluated to its end; `snakemake "
                f"{results}/measurements/{run}.parquet` does both."
            )
    weights = members[f"runs/{run}/model.safetensors"]
    config, task = (
        read_json(results / "runs" / run / "config.json"),
        members[f"evaluation/{run}.json"],
    )
    trained, settings = prove_weights(weights, run), read_run(config)
    prove_settings(weights, settings)
    task = read_json(task)
    _refuse_silent_decoding(results, settings, task)
    scores, scored = read_rows(members[f"scores/{run}.parquet"], "scores", run)
    _, measured = read_rows(members[f"measurements/{run}.parquet"], "measurements", run)
    shortcuts, cues = shortcuts_of(results, settings, measured)
    made_from = {"weights": trained["weights_sha256"], "scores": scored["rows"]}
    for kind, proof in (("scores", scored), ("measurements", measured)):
        for name, checksum in proof["inputs"].items():
            if made_from.get(name, checksum) != checksum:
                raise UserError(
                    f"The {kind} of {run} were made from other {name} than those that are there: "
                    f"delete {members[f'{kind}/{run}.parquet']} and run the workflow again."
                )
    sources = sources_of(results, config, [e["dataset"] for e in task["ood"]], catalogue)
    roles = scores.column("role").value_counts().to_pylist()
    code = code_of(settings, task["evaluation"]["scores"])
    return members | shortcuts, {
        "format": layout.FORMAT,
        "version": layout.VERSION,
        **{name: config[name] for name in ("run", "study", "in_distribution", "method")},
        **{name: config[name] for name in ("strategy", "variant", "seed", "size")},
        "weights_sha256": trained["weights_sha256"],
        "initial_sha256": trained.get("initial_sha256"),
        "made_by": {"ssl_ood": version(), "commit": commit()},
        "training": {name: trained[name] for name in SPENT if name in trained},
        "code": code | (code_of_shortcuts(cues) if shortcuts else {}),
        "config": config,
        "evaluation": task["evaluation"],
        "images": {
            "trained on": {"images": trained["datasets"], "labels": trained.get("labels", {})},
            "evaluated on": scored["inputs"].get("sets", {}),
        },
        "scored": {entry["values"]: entry["counts"] for entry in roles},
        "sources": sources,
        "terms": terms_of_all(sources),
    }


def _refuse_silent_decoding(results: Path, run: RunSettings, task: Mapping[str, Any]) -> None:
    """Raises UserError where only the packed images say how new ones are decoded (`detect`)."""
    decoding = Decoding.of(run.size, run.fit, task.get("decoding", {}), run.in_distribution)
    if read_files(results, run.run).decoding != decoding:
        raise UserError(
            f"The evaluation of {run.run}, of an older version, does not say how its images are "
            "decoded, so that new ones would be decoded otherwise elsewhere: evaluate it again by "
            f"`snakemake --forcerun evaluate {results}/measurements/{run.run}.parquet`."
        )


def _abilities(
    settings: RunSettings, manifest: Mapping[str, Any], wishes: Wishes
) -> dict[str, dict[str, str]]:
    """What can be done with a bundle and what cannot, by a word, in words."""
    can = {
        "tables": "every table and figure of the run that shows numbers, without its images",
        "embed": "features of new images",
        "initial": "further trainings that start from its weights",
    }
    cannot = {}
    no_features = "the features of the training images are left out (--with-features)"
    for name in manifest["evaluation"]["scores"]:
        needs = lookup("score", name).needs
        if "labels" in needs:
            cannot[f"score {name}"] = "it needs the labels of the training images"
        elif "features" in needs and not wishes.features:
            cannot[f"score {name}"] = no_features
        else:
            can[f"score {name}"] = f"{lookup('score', name).title} of new images"
    for asked, ability, words, why in (
        (
            SHORTCUTS in manifest["code"],
            SHORTCUTS,
            "what needs no learning of the run's images, in its tables",
            "what needs no learning was not measured: a table that shows it says so",
        ),
        (wishes.features, "nearest", "the training images nearest to a new one", no_features),
        (
            wishes.thumbnails,
            "thumbnails",
            "small pictures of the training images",
            "pictures of the training images are left out (--with-thumbnails)",
        ),
        (
            wishes.names,
            "names",
            "the names of the training images' files",
            "the names of files are left out (--with-names)",
        ),
    ):
        (can if asked else cannot)[ability] = words if asked else why
    return {"can": can, "cannot": cannot}


def choices_of(settings: RunSettings, sources: Collection[str]) -> list[Choice]:
    """The choices of resources/protocol.csv that concern a run: settings of its method, its study
    or its datasets, or of how any run is evaluated."""
    prefixes = [f"methods.{settings.method}.", f"studies.{settings.study}.", "evaluation."]
    prefixes += [f"{CATALOGUE}.{name}." for name in sources]
    return [c for c in read_protocol() if c.setting.startswith(tuple(prefixes))]


def _as_csv(choices: list[Choice]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Choice.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(vars(choice) for choice in choices)
    return out.getvalue().encode()


def _listed(name: str, content: Path | bytes) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"name": name, "bytes": len(content), "sha256": sha256([content])}
    return {"name": name, "bytes": content.stat().st_size, "sha256": sha256_of(content)}
