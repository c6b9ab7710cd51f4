"""The fixtures of trainings and of measured studies, for the tests of this room."""

from support.measured import *  # noqa: F403
from support.training import *  # noqa: F403
