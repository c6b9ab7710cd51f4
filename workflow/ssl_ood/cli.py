"""`ssl_ood STAGE`: one subcommand per stage, so that every rule's command can be typed by hand.

Fills the registry, collects the commands of the rooms, and turns a mistake into one sentence.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from ssl_ood import manual
from ssl_ood.common import registry
from ssl_ood.common.commit import version
from ssl_ood.common.endings import run_to_its_end
from ssl_ood.common.errors import UserError, reason, unknown
from ssl_ood.common.hashing import told_spent
from ssl_ood.common.paths import from_variable
from ssl_ood.datasets import commands as dataset_commands
from ssl_ood.declarations import PLUGINS, declare_everything
from ssl_ood.evaluation import commands as evaluation_commands
from ssl_ood.evaluation.bundles import commands as bundle_commands
from ssl_ood.report import commands as report_commands
from ssl_ood.report import compare
from ssl_ood.study import commands as study_commands
from ssl_ood.study.layers import read_config
from ssl_ood.study.read import plugins_of
from ssl_ood.study.watch import command as watch
from ssl_ood.training import commands as training_commands

ROOMS = (
    dataset_commands,
    training_commands,
    evaluation_commands,
    bundle_commands,
    study_commands,
    report_commands,
    compare,
    watch,
)
CONFIG = "config.yaml"
DESCRIPTION = """Out-of-distribution detection with self-supervised representations. Each stage is
a step of the workflow, or a tool beside it; docs/reference/cli.md has them all on one page."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a stage; whatever stops it is one sentence on stderr.

    The exit code is 2 for what the user can mend (UserError), 1 for any other exception.
    """
    options = make_parser().parse_args(arguments)
    try:
        declare_everything(_plugins(options))
        return run_to_its_end(told_spent()(options.run), options)
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        print(f"ssl_ood {options.stage}: {_sentence(error)}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


def make_parser() -> argparse.ArgumentParser:
    """The parser with all stages."""
    parser = argparse.ArgumentParser(prog="ssl_ood", description=DESCRIPTION)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for room in ROOMS:
        room.add_parsers(stages)
    _add_list(stages)
    manual.add_parser(stages, parser)
    _add_debug(parser, default=False)
    for stage in stages.choices.values():
        _add_debug(stage, default=argparse.SUPPRESS)
    return parser


class _Version(argparse.Action):
    """Asks git for the version only where it is wanted."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(version())
        parser.exit()


def _sentence(error: Exception) -> str:
    text = str(error)
    if not isinstance(error, UserError):
        text = (
            f"an unexpected {type(error).__name__} stopped it: {reason(error)}. The same command "
            "with --debug shows where."
        )
    return text.encode("utf-8", "backslashreplace").decode()  # names may have foreign bytes


def _add_debug(parser: argparse.ArgumentParser, default: Any) -> None:
    """Before the stage's name or behind it: the default of the one must not hide the other."""
    parser.add_argument(
        "--debug",
        action="store_true",
        default=default,
        help="show where in the code a fault was found (the traceback)",
    )


def _plugins(options: argparse.Namespace) -> list[str]:
    """The plugins that the workflow names, or the config that the stage reads."""
    if PLUGINS in os.environ:
        return from_variable(os.environ[PLUGINS])
    files = getattr(options, "configfile", [])
    return plugins_of(read_config(files)) if files and files != ["-"] else []


def _add_list(stages) -> None:
    parser = stages.add_parser(
        "list", help="list what can be chosen: methods, scores, shifts, forms, ..."
    )
    parser.add_argument(
        "kind", nargs="?", metavar="KIND", help=f"one of {', '.join(registry.KINDS)}; default: all"
    )
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=[CONFIG] if Path(CONFIG).is_file() else [],
        metavar="FILE",
        help="config files whose plugins are listed as well",
    )
    parser.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> None:
    if options.kind is not None and options.kind not in registry.KINDS:
        raise unknown(options.kind, registry.KINDS, "kind")
    for kind in registry.KINDS if options.kind is None else [options.kind]:
        if options.kind is None:
            print(f"{kind}:")
        entries = registry.entries(kind)
        width = max((len(entry.name) for entry in entries), default=0)
        for entry in entries:
            print(f"  {entry.name:{width}}  {entry.title}: {entry.notes}")


if __name__ == "__main__":
    sys.exit(main())
