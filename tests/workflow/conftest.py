"""The configs of the repository and Snakemake, for the tests of this room."""

from support.configs import *  # noqa: F403
