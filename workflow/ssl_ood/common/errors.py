"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """A mistake the user can mend: one sentence that says what, where, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """
