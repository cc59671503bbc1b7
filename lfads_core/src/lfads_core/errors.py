"""What can go wrong, in words a user can act on.

Every message reads: where, what must hold, what was got, what to do. The command line prints it as it is
and exits with code 2; anything that is not an :class:`LfadsError` keeps its traceback, because it is our bug.
"""

from lfads_core.wording import printable


class LfadsError(Exception):
    """Base of every error that is the user's to mend; its text shows on any terminal, whatever names in a file hold."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(LfadsError):
    """Settings that cannot be used; the message lists every fault at once."""


class DataError(LfadsError):
    """A recording that cannot be read, or does not fit the model or the other sessions."""


class PluginError(LfadsError):
    """A plugin that is missing, broken, misspelt, or in conflict with another."""


class NumericsError(LfadsError):
    """A loss or gradient that stopped being a finite number; the message names the term."""


class RunError(LfadsError):
    """A run folder or checkpoint that is missing, damaged, foreign or already taken."""
