"""Laws, what was found out about each of them, and the one error that tells it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from lfads_core.errors import LfadsError
from lfads_core.wording import one_line

T = TypeVar("T")
_MOST_FAULTS = 3  # told of one law: the first say enough


@frozen
class Law(Generic[T]):
    """A sentence that must hold, and a function that says what speaks against it.

    Where a law is ``essential``, those after it are not tried once it is broken.
    """

    text: str
    faults: Callable[[T], Iterable[str]]
    essential: bool = False


@frozen(kw_only=True)
class LawFinding:
    """What was found out about one law."""

    law: str
    faults: tuple[str, ...] = ()
    tried: bool = True

    @property
    def ok(self) -> bool:
        """Whether the law was tried and holds."""
        return self.tried and not self.faults


class ConformanceError(LfadsError):
    """A component breaks laws of its kind; the message has one line for each, and ``findings`` holds all of them."""

    def __init__(self, what: str, findings: Sequence[LawFinding]) -> None:
        self.findings = tuple(findings)
        broken = [finding for finding in findings if finding.faults]
        lines = [f"  {finding.law}: {fault}" for finding in broken for fault in finding.faults]
        untried = sum(not finding.tried for finding in findings)
        rest = f" {untried} more could not be tried." if untried else ""
        super().__init__("\n".join([f"{what} breaks {len(broken)} of {len(self.findings)} laws.{rest}", *lines]))


def examine(laws: Iterable[Law[T]], case: T) -> list[LawFinding]:
    """Try every law; what a law's own code raises speaks against it too."""
    findings: list[LawFinding] = []
    stopped = False
    for law in laws:
        if stopped:
            findings.append(LawFinding(law=law.text, tried=False))
            continue
        faults: list[str] = []
        try:
            for fault in law.faults(case):
                faults.append(fault)
                if len(faults) == _MOST_FAULTS:
                    break
        except (Exception, SystemExit) as err:  # noqa: BLE001 - whatever a stranger's component raises
            faults.append(f"raised {one_line(err)}")
        findings.append(LawFinding(law=law.text, faults=tuple(faults)))
        stopped = law.essential and bool(faults)
    return findings


def require(what: str, findings: list[LawFinding]) -> list[LawFinding]:
    """Return the findings if every law holds.

    Raises:
        ConformanceError: some do not.
    """
    if any(not finding.ok for finding in findings):
        raise ConformanceError(what, findings)
    return findings
