"""`ssl_ood train` that counts: `python counted.py FILE train ...` adds a line to FILE per step."""

from __future__ import annotations

import os
import sys

from ssl_ood import cli
from ssl_ood.training import trainer

FILE = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
train_step = trainer.train_step


def counted(run, *rest):
    """Does the step, then tells its number; no buffer is lost when the process is killed."""
    train_step(run, *rest)
    os.write(FILE, b"%d\n" % run.step)


trainer.train_step = counted
sys.exit(cli.main(sys.argv[2:]))
