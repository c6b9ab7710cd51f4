"""The command line's `bundle`, `unbundle` and `export`.

Nothing heavy is imported before they run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError, unknown
from ssl_ood.study.paths import CLONE, anchored

if TYPE_CHECKING:
    from ssl_ood.evaluation.bundles.sources import Catalogue

CONFIG, CATALOGUE = "config.yaml", CLONE / "resources" / "datasets.yaml"


def add_parsers(stages) -> None:
    """Adds the subcommands to the parser of `ssl_ood`."""
    parser = stages.add_parser("bundle", help="pack a run into one file that can be shared")
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="a run, or its folder results/runs/RUN"
    )
    parser.add_argument(
        "--table", metavar="NAME", help="instead: all runs of a table or figure of --configfile"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="zip file to write; for several runs, a folder that gets one RUN.zip each",
    )
    _add_results(parser)
    parser.add_argument(
        "--catalogue", type=Path, nargs="+", metavar="FILE",
        help="catalogues that know the licences (default: the config's, else the one that ships)",
    )  # fmt: skip
    for name, words in (
        ("features", "the features of the training images"),
        ("thumbnails", "small pictures of the training images"),
        ("names", "the names of the training images' files"),
    ):
        parser.add_argument(f"--with-{name}", action="store_true", help=f"include {words}")
    parser.add_argument(
        "--may-name", nargs="+", default=[], metavar="WORD",
        help="words to keep although they name this user or machine",
    )  # fmt: skip
    parser.set_defaults(run=_bundle)
    parser = stages.add_parser(
        "unbundle", help="verify a bundle and add its run to a results folder"
    )
    parser.add_argument("bundle", type=Path, metavar="FILE", nargs="+")
    _add_results(parser)
    parser.add_argument(
        "--force", action="store_true", help="replace an existing run of the same name"
    )
    parser.set_defaults(run=_unbundle)
    parser = stages.add_parser(
        "export", help="write all numbers of runs as parquet, with a data dictionary"
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="a run, or its folder results/runs/RUN"
    )
    parser.add_argument("--all", action="store_true", help="every run that has measurements")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    _add_results(parser)
    parser.set_defaults(run=_export)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="FOLDER", help="default: results"
    )
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=[CONFIG] if Path(CONFIG).is_file() else [],
        metavar="FILE",
        help="config files with plugins, tables and catalogue; later files override earlier ones",
    )


def _bundle(options: argparse.Namespace) -> None:
    from ssl_ood.common.proofs import SEAL
    from ssl_ood.evaluation.bundles.extras import Wishes
    from ssl_ood.evaluation.bundles.make import make_bundle

    places = [named_run(name, options.results) for name in options.runs]
    if options.table:
        places += [(options.results, run) for run in _runs_of(options.table, options.configfile)]
    if not places:
        raise UserError("Nothing to bundle: name a run, or a table of the config by --table.")
    catalogue = _catalogue(options.catalogue, options.configfile)
    wishes = Wishes(options.with_features, options.with_thumbnails, options.with_names)
    several = options.table or len(places) > 1 or options.output.is_dir()
    for results, run in places:
        path = options.output / f"{run}.zip" if several else options.output
        manifest = make_bundle(results, run, path, catalogue, wishes, options.may_name)
        size = path.stat().st_size / 1e6
        print(f"{path}: {size:.1f} MB, manifest {manifest[SEAL]}")
        terms = manifest["terms"]
        print(f"  licence: {terms['kind']}, because of {', '.join(terms['because'])}")


def named_run(name: str, results: Path) -> tuple[Path, str]:
    """(results folder, run) of a run that a person names: by its id, or by its folder."""
    folder = Path(name)
    if folder.is_dir() and folder.resolve().parent.name == "runs":
        return folder.parent.parent, folder.resolve().name
    if (results / "runs" / name).is_dir():
        return results, name
    known = [path.name for path in (results / "runs").glob("*")]
    if not known:
        raise UserError(f"There are no runs in {results}: name a results folder by --results.")
    raise unknown(name, known, "run", str(results / "runs"))


def _catalogue(paths: list[Path] | None, configfiles: list[str]) -> Catalogue:
    """The entries of the files `paths`; without any those that the workflow tells, else those of a
    config, the entries that stand in it among them, else those that ship."""
    from ssl_ood.datasets.catalogues import from_variables, of_config
    from ssl_ood.evaluation.bundles.sources import read_catalogues
    from ssl_ood.study.layers import read_config

    if paths:
        return read_catalogues(paths)
    sources = from_variables()
    if sources is None:
        config = anchored(read_config(configfiles)) if configfiles else {}
        config = {key: value for key, value in config.items() if value is not None}
        sources = of_config({"catalogue": str(CATALOGUE)} | config)
    return read_catalogues(*sources)


def _runs_of(target: str, configfiles: list[str]) -> list[str]:
    """The runs that a table or figure of the config shows, and those that they start from."""
    from ssl_ood.study.commands import read_experiments
    from ssl_ood.study.runs import with_initial

    if not configfiles:
        raise UserError(f"--table {target}: name the config of the table by --configfile.")
    targets = read_experiments(configfiles).targets
    if target not in targets:
        raise unknown(target, targets, "table or figure")
    return list(dict.fromkeys(run.id for run in with_initial(targets[target].runs)))


def _unbundle(options: argparse.Namespace) -> None:
    from ssl_ood.evaluation.bundles.unbundle import unbundle

    for path in options.bundle:
        run, written = unbundle(path, options.results, force=options.force)
        print(f"{run} is in {options.results}" + ("." if written else " already: nothing to do."))


def _export(options: argparse.Namespace) -> None:
    from ssl_ood.evaluation.export import export_runs

    places = [named_run(name, options.results) for name in options.runs]
    if options.all:
        measured = sorted((options.results / "measurements").glob("*.parquet"))
        places += [(options.results, path.stem) for path in measured]
    if not places:
        raise UserError(
            "Nothing to export: name a run, or all runs of a results folder that has measurements "
            "by --all."
        )
    for results in dict.fromkeys(results for results, _ in places):
        runs = list(dict.fromkeys(run for place, run in places if place == results))
        files = export_runs(results, runs, options.output)
        print(f"{options.output}: {len(files)} files of {len(runs)} runs, described in README.md.")
