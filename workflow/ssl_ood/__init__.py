"""Out-of-distribution detection with self-supervised representations: the thesis, reproduced."""

__version__ = "0.1.0"
