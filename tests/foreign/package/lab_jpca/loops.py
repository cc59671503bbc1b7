"""Loops over time: the plain ones, counted."""

from lfads_core.recurrence import reference

calls = {"gru": 0, "controlled": 0}


def gru(*args, **kwargs):
    """A GRU."""
    calls["gru"] += 1
    return reference.gru(*args, **kwargs)


def controlled(*args, **kwargs):
    """Controller and generator."""
    calls["controlled"] += 1
    return reference.controlled(*args, **kwargs)


def obstacle(device, *, asked=False):
    """Run on everything."""
