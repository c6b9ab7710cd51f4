"""Command line of the datasets: `fetch`, `pack`, `splits`, `weights` and `datasets`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_ood.datasets.names import FITS

if TYPE_CHECKING:
    from ssl_ood.datasets.catalogue import Dataset
    from ssl_ood.datasets.catalogues import Catalogues

# The workflow tells these through the environment; a person, by flag or in config.yaml.
ARCHIVE_DIRS = os.environ.get("SSL_OOD_ARCHIVE_DIRS")
CONFIG = Path("config.yaml")
CATALOGUE_HELP = "catalogues, each laid over those before it (default: as config.yaml says)"


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Adds the subcommands; each sets `run`, a function of the parsed arguments."""
    fetch = subparsers.add_parser(
        "fetch",
        help="find or download the archives of a dataset or of weights, verify them, list them",
    )
    fetch.add_argument("name", help="a dataset of the catalogue, or weights")
    _add_places(fetch)
    fetch.add_argument("--manifest", type=Path, required=True, help="the list to write (json)")
    fetch.add_argument(
        "--optional", action="store_true", help="also archives that only some splits need"
    )
    fetch.set_defaults(run=run_fetch)

    pack = subparsers.add_parser("pack", help="pack a split of a dataset at one image size")
    pack.add_argument("name", help="a dataset of the catalogue")
    pack.add_argument("--catalogue", nargs="+", metavar="FILE", help=CATALOGUE_HELP)
    pack.add_argument("--split", required=True)
    pack.add_argument("--size", type=int, required=True, help="side of the images in pixels")
    _add_fit(pack)
    pack.add_argument("--manifest", type=Path, required=True, help="manifest that `fetch` wrote")
    pack.add_argument("--output", type=Path, required=True, help="the folder to make")
    pack.add_argument("--workers", type=int, help="processes that decode (default: the cores)")
    pack.add_argument(
        "--max-corrupt-share",
        type=float,
        default=0.0,
        help="share of the images that may be undecodable and left out (default 0)",
    )
    pack.add_argument(
        "--wait", action="store_true", help="wait if another process packs the same set"
    )
    pack.set_defaults(run=run_pack)

    splits = subparsers.add_parser(
        "splits", help="list the names of a training and a test set; fail if they share any"
    )
    splits.add_argument("--catalogue", nargs="+", metavar="FILE", help=CATALOGUE_HELP)
    splits.add_argument("--data", type=Path, required=True, help="folder of the packed sets")
    splits.add_argument("--train", required=True, metavar="DATASET/SPLIT")
    splits.add_argument("--test", required=True, metavar="DATASET/SPLIT")
    splits.add_argument("--size", type=int, required=True, help="side of the images in pixels")
    _add_fit(splits)
    splits.add_argument("--output", type=Path, required=True, help="the lists to write (json)")
    splits.set_defaults(run=run_splits)

    weights = subparsers.add_parser(
        "weights", help="convert the backbone of a published checkpoint to safetensors"
    )
    weights.add_argument("name", help="weights of the catalogue")
    weights.add_argument("--catalogue", nargs="+", metavar="FILE", help=CATALOGUE_HELP)
    weights.add_argument("--manifest", type=Path, required=True, help="manifest that `fetch` wrote")
    weights.add_argument("--output", type=Path, required=True, help="the safetensors file to write")
    weights.set_defaults(run=run_weights)

    table = subparsers.add_parser(
        "datasets",
        help="list the datasets of the catalogue: which are available, which are missing",
    )
    table.add_argument("names", nargs="*", help="only these datasets")
    _add_places(table)
    table.add_argument(
        "--check",
        action="store_true",
        help="print nothing; fail if an archive is missing that has to be requested by hand",
    )
    table.set_defaults(run=run_datasets)


def _add_fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fit",
        choices=FITS,
        default=FITS[0],
        help="how images that are not square are fitted: crop to the middle, or squash",
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--catalogue", nargs="+", metavar="FILE", help=CATALOGUE_HELP)
    parser.add_argument(
        "--downloads", type=Path, help="where downloads are kept (default: as config.yaml says)"
    )
    parser.add_argument(
        "--archive-dirs",
        type=Path,
        nargs="*",
        help="folders where archives may lie already; read only (default: as config.yaml says)",
    )


def _fill_places(args: argparse.Namespace) -> None:
    """Sets the folders that were not given to those of the workflow, or of config.yaml here."""
    from ssl_ood.common.paths import expanded, from_variable

    if args.archive_dirs is None and ARCHIVE_DIRS is not None:
        there = [expanded(path, "SSL_OOD_ARCHIVE_DIRS") for path in from_variable(ARCHIVE_DIRS)]
        args.archive_dirs = list(map(Path, there))
    if args.downloads is None or args.archive_dirs is None:
        from ssl_ood.common.files import parse_yaml

        config = parse_yaml(CONFIG.read_text(encoding="utf-8")) if CONFIG.is_file() else {}
        place = f"{CONFIG}: downloads_dir"
        downloads = expanded(config.get("downloads_dir", "downloads"), place)
        args.downloads = args.downloads or Path(downloads)
        if args.archive_dirs is None:
            folders = config.get("archive_dirs", [])
            args.archive_dirs = [Path(expanded(f, f"{CONFIG}: archive_dirs")) for f in folders]


def _catalogues(args: argparse.Namespace) -> Catalogues:
    """Those of the command line, of the workflow, or of config.yaml here."""
    from ssl_ood.common.files import parse_yaml
    from ssl_ood.common.paths import expanded
    from ssl_ood.datasets.catalogues import SHIPPED, from_variables, load_catalogues, of_config

    sources = from_variables()
    if args.catalogue is not None:
        return load_catalogues(args.catalogue)
    if sources is None:
        config = parse_yaml(CONFIG.read_text(encoding="utf-8")) if CONFIG.is_file() else {}
        files, entries = of_config({"catalogue": SHIPPED, **config})
        sources = [expanded(file, f"{CONFIG}: catalogues") for file in files], entries
    return load_catalogues(*sources)


def run_fetch(args: argparse.Namespace) -> None:
    """`ssl_ood fetch NAME --manifest FILE`"""
    from ssl_ood.datasets.catalogue import LOCAL, get
    from ssl_ood.datasets.fetch import fetch
    from ssl_ood.datasets.places import failed_fetch

    _fill_places(args)
    catalogues = _catalogues(args)
    dataset = get({**catalogues.datasets, **catalogues.weights}, args.name)
    with _marked(failed_fetch(args.manifest)):
        manifest = fetch(
            dataset, args.downloads, args.archive_dirs, args.manifest, optional=args.optional
        )
    ways: dict[str, int] = {}
    for archive in manifest["archives"]:
        checked = archive["verified"] or archive["way"].startswith("package ")
        verified = checked or dataset.access == LOCAL  # there is nothing to compare it with
        unknown = archive.get("compared", "no checksum is known")
        way = f"from {archive['way']}" + ("" if verified else f", UNVERIFIED: {unknown}")
        ways[way] = ways.get(way, 0) + 1
    for way, number in ways.items():
        print(f"{dataset.name}: {number} archive(s) {way}; listed in {args.manifest}")


@contextmanager
def _marked(mark: Path) -> Iterator[None]:
    """Leaves a mark of why what is inside failed, which the next plan reads; see `places`."""
    from ssl_ood.common.files import write_json
    from ssl_ood.datasets.fetch import NotObtained

    try:
        yield
    except NotObtained as error:
        write_json(mark, {"time": time.time(), "reason": str(error)})
        raise
    mark.unlink(missing_ok=True)


def run_pack(args: argparse.Namespace) -> None:
    """`ssl_ood pack NAME --split train --size 32 --manifest FILE --output FOLDER`"""
    from ssl_ood.common.errors import UserError
    from ssl_ood.datasets.catalogue import get
    from ssl_ood.datasets.pack import pack

    if args.size < 1:
        raise UserError(f"--size is the side of the images in pixels, not {args.size}.")
    dataset = get(_catalogues(args).datasets, args.name)
    _need_manifest(args)
    meta = pack(
        dataset,
        args.split,
        args.size,
        args.manifest,
        args.output,
        fit=args.fit,
        workers=args.workers,
        max_corrupt_share=args.max_corrupt_share,
        wait=args.wait,
    )
    corrupt = f", {len(meta['corrupt'])} corrupt left out" if meta["corrupt"] else ""
    print(f"{args.output}: {meta['count']:,} images of {meta['size']} pixels{corrupt}")


def run_splits(args: argparse.Namespace) -> None:
    """`ssl_ood splits --data results/data --train A/train --test A/test --size 512 --output F`"""
    from ssl_ood.datasets.splits import write_split

    catalogue = _catalogues(args).datasets
    sides = write_split(
        catalogue, args.data, args.train, args.test, args.size, args.output, args.fit
    )
    for side in sides.values():
        patients = "" if side["patients"] is None else f" of {side['patients']:,} patients"
        print(f"{side['set']}: {side['images']:,} images{patients}, listed in {args.output}")


def run_weights(args: argparse.Namespace) -> None:
    """`ssl_ood weights NAME --manifest FILE --output FILE.safetensors`"""
    from ssl_ood.datasets.catalogue import get
    from ssl_ood.datasets.pack import read_manifest
    from ssl_ood.datasets.weights import convert

    weights = get(_catalogues(args).weights, args.name)
    _need_manifest(args)
    convert(weights, read_manifest(args.manifest), args.output)
    print(f"{args.output}: the {weights.backbone} of {weights.title}")


def _need_manifest(args: argparse.Namespace) -> None:
    from ssl_ood.common.errors import UserError

    if not args.manifest.is_file():
        raise UserError(
            f"There is no manifest {args.manifest}: run `ssl_ood fetch {args.name} --manifest "
            f"{args.manifest}` first."
        )


def run_datasets(args: argparse.Namespace) -> None:
    """`ssl_ood datasets`: a table of the catalogue, then what to do about what is missing."""
    from ssl_ood.common.errors import UserError
    from ssl_ood.datasets.catalogue import get
    from ssl_ood.datasets.places import missing_restricted

    _fill_places(args)
    catalogue = _catalogues(args).datasets
    chosen = [get(catalogue, n) for n in args.names] or list(catalogue.values())
    message = missing_restricted(chosen, args.archive_dirs, args.downloads)
    if args.check:
        if message:
            raise UserError(message)
        return
    rows = [("dataset", "access", "licence", "size", "images", "checksum", "state")]
    for dataset in chosen:
        counts = ", ".join(
            f"{name} {split.count:,}" if split.count else f"{name} ?"
            for name, split in dataset.splits.items()
        )
        sizes = [a.bytes for a in dataset.archives if not a.package]
        size = f"{sum(sizes) / 2**20:,.0f} MiB" if sizes and None not in sizes else "?"
        state = _state(dataset, args.downloads, args.archive_dirs)
        if dataset.access == "package":
            size = "-"
        checksum = "known" if dataset.verified else "unverified"
        licence = dataset.licence or "not stated"
        rows.append((dataset.name, dataset.access, licence, size, counts, checksum, state))
    widths = [min(max(len(row[i]) for row in rows), 36) for i in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([*(_cell(c, w) for c, w in zip(row[:-1], widths, strict=True)), row[-1]]))
    if message:
        print(f"\n{message}")
    if any(row[-1].startswith("to download") for row in rows[1:]):
        print("\nWhat is free is fetched when it is needed, or all at once by: snakemake datasets")
    sys.stdout.flush()


def _state(dataset: Dataset, downloads: Path, archive_dirs: list[Path]) -> str:
    from ssl_ood.common.errors import UserError
    from ssl_ood.datasets.installed import installed_file
    from ssl_ood.datasets.places import present

    missing, places = [], []
    for archive in dataset.archives:
        if archive.package:
            try:
                installed_file(archive.file, archive.package)
            except UserError:
                missing.append(archive.package)
            continue
        path = present(dataset, archive, downloads, archive_dirs)
        if path is not None:
            places.append(os.path.dirname(path))
        elif not archive.optional:
            missing.append(archive.file)
    if missing and dataset.access == "package":
        return f"install {', '.join(sorted(set(missing)))}"
    if missing:
        return f"to download: {len(missing)} file(s)" if dataset.free else "MISSING, see below"
    return f"in {', '.join(sorted(set(places)))}" if places else "in installed packages"


def _cell(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 3]}..."
