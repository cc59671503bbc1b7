"""What only the chosen reconstruction knows to be wrong with data: its inspector, run so that its own faults stop nobody."""

from __future__ import annotations

from dataclasses import replace

from lfads_core.data.checks import Problem
from lfads_core.data.session import Session
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import ReconstructionSpec


def inspect_session(session: Session, reconstruction: str, registry: Registry) -> list[Problem]:
    """Problems that the reconstruction's ``inspect`` finds; none if it offers no inspector or the inspector fails, which is logged.

    Each text is led by the session's file, or its name when it has none.

    Raises:
        PluginError: no reconstruction has this name.
    """
    inspector = registry.get(ReconstructionSpec, reconstruction).inspect
    if inspector is None:
        return []
    found = registry.shield(ReconstructionSpec, reconstruction, lambda: [_checked(problem) for problem in inspector(session)])
    where = str(session.path) if session.path is not None else f"session '{session.name}'"
    return [replace(problem, text=f"{where}: {problem.text}", session=session.name) for problem in found or ()]


def _checked(problem: object) -> Problem:
    if not isinstance(problem, Problem):
        raise TypeError(f"inspect must give lfads_core.data.checks.Problem, got {problem!r}")
    return problem
