"""The fixtures of measured studies, for the tests of this room."""

from support.measured import *  # noqa: F403
