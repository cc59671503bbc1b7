"""A check for ``lfads doctor``."""

from lfads_core.doctor.finding import Finding


def licence(runs):
    """Whether the server answers."""
    yield Finding(what="licence server", status="warn", text=f"no answer for {runs}", remedy="call the lab")
