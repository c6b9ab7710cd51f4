"""`ssl_ood watch`: shows how far a study is, from Snakemake's events and the trainings' files."""

from ssl_ood.study.watch.command import add_parser

__all__ = ["add_parser"]
