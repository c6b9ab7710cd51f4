"""Snakemake that asks for the state of its jobs every two seconds, not ever more rarely.

python impatient_snakemake.py all_tables --profile slurm
"""

from __future__ import annotations

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda _: 2, lambda _, seconds: None)

if __name__ == "__main__":
    sys.exit(main())
