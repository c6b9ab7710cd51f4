"""The fixtures of trainings, for the tests of this room."""

from support.training import *  # noqa: F403
