"""The fixtures of trainings, for the situations that alter one."""

from support.training import *  # noqa: F403
