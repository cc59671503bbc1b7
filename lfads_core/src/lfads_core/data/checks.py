"""What is wrong with recordings before any training: for the chosen reconstruction, with each other, for the batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lfads_core.data.legacy import SPLITS
from lfads_core.data.session import Session
from lfads_core.data.summary import ArraySummary, SessionSummary, SplitSummary, summarise
from lfads_core.errors import DataError
from lfads_core.wording import first_few

Severity = Literal["error", "warning", "info"]

FEW_TRIALS = 10
"""Fewer validation trials than this, or less than 5 % of all, make the validation cost too noisy to choose a model by."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing to mend (error), to think about (warning) or to know (info)."""

    severity: Severity
    text: str
    session: str | None = None  # None: about several sessions together


def check_sessions(
    sessions: Sequence[Session], *, support: str | None, observes_missing: bool | None, batch_size: int | None = None, external: int | None = None
) -> list[Problem]:
    """Look at every value and return what is wrong, worst first.

    ``support`` is that of the reconstruction ("counts", "real", "nonnegative", "positive"; None: not chosen yet), ``observes_missing``
    says whether the augmentations know what to do with NaN (None: not chosen yet, so NaN is a warning), ``external`` is the number of
    external inputs a trained model takes (None: any number that all sessions share).
    """
    return check_summaries(
        [summarise(s) for s in sessions], support=support, observes_missing=observes_missing, batch_size=batch_size, external=external
    )


def check_summaries(
    sessions: Sequence[SessionSummary],
    *,
    support: str | None,
    observes_missing: bool | None,
    batch_size: int | None = None,
    external: int | None = None,
) -> list[Problem]:
    """Do the same for sessions that have been summarised already."""
    found: list[Problem] = []
    for session in sessions:
        about = list(_session(session, external))
        for name, split in session.splits.items():
            about += _split(name, split, support=support, observes_missing=observes_missing)
        found += [replace(problem, text=f"{session.where}: {problem.text}", session=session.name) for problem in about]
    found += _other_modality(sessions)
    found += _copies(sessions)
    found += _mismatches(sessions)
    if batch_size is not None:
        found += _batches(sessions, batch_size)
    return worst_first(found)


def worst_first(problems: Iterable[Problem]) -> list[Problem]:
    """Errors, then warnings, then notes; within each in the given order."""
    return sorted(problems, key=lambda p: ("error", "warning", "info").index(p.severity))


def require(problems: Iterable[Problem]) -> None:
    """Raise one error that lists every problem that must be mended; do nothing when there is none.

    Raises:
        DataError: One line for each error.
    """
    if errors := [p.text for p in problems if p.severity == "error"]:
        raise DataError("\n".join(errors))


def _error(text: str) -> Problem:
    return Problem(severity="error", text=text)


def _warning(text: str) -> Problem:
    return Problem(severity="warning", text=text)


def _info(text: str) -> Problem:
    return Problem(severity="info", text=text)


def _session(session: SessionSummary, external: int | None) -> Iterator[Problem]:
    train, valid = session.splits.get("train"), session.splits.get("valid")
    if train is not None and valid is not None and train.trials and valid.trials:
        share = valid.trials / (train.trials + valid.trials)
        if valid.trials < FEW_TRIALS or share < 0.05:
            yield _warning(
                f"the validation split has {valid.trials} of {train.trials + valid.trials} trials, too few to choose a model by. "
                f"Keep at least {FEW_TRIALS}, better a fifth of all."
            )
    if external is not None:
        for name, split in session.splits.items():
            width = split.external.shape[2] if split.external is not None else 0
            if width != external:
                yield _error(
                    f"'{name}_ext_input' must have {external} channels, as the model was trained, got {width}. Give the same external inputs."
                )
    for key, shape in session.arrays.items():
        split_name = next((s for s in session.splits if key.startswith(f"{s}_")), None)
        if split_name is not None and shape and shape[0] > 1:
            yield _warning(
                f"'{key}' has {shape[0]} rows for {session.splits[split_name].trials} trials: it is carried along whole, not trial by trial."
            )


def _split(name: str, split: SplitSummary, *, support: str | None, observes_missing: bool | None) -> Iterator[Problem]:
    if not split.recon.size or not split.encod.size:
        yield _error(f"the split '{name}' must have trials, bins and channels, got {split.recon.shape}. Fill or delete it.")
        return
    arrays = [split.recon] if split.same else [split.recon, split.encod]
    for array in arrays:
        yield from _values(array, observes_missing=observes_missing)
    if split.external is not None:
        yield from _external(split.external, split.recon)
    if support is not None:
        yield from _support(split.recon, support)
    if name != "train":
        return
    yield from _silent(split.recon)
    yield from _truth(split)


def _values(array: ArraySummary, *, observes_missing: bool | None) -> Iterator[Problem]:
    if array.missing and not observes_missing:
        say = _warning if observes_missing is None else _error
        yield say(
            f"'{array.key}' must have no missing values, got NaN in {array.missing} of {array.size} values. "
            "Choose the augmentation 'sbtt' or the recipe 'zig', which take NaN as not observed, or drop these trials."
        )
    if array.infinite:
        yield _error(f"'{array.key}' must be finite, got {array.infinite} infinite of {array.size} values. Mend them, or store NaN for not observed.")


def _external(array: ArraySummary, recon: ArraySummary) -> Iterator[Problem]:
    if array.missing or array.infinite:
        bad = array.missing + array.infinite
        yield _error(
            f"'{array.key}' must be finite, got {bad} NaN or infinite of {array.size} values. External inputs must be known in every bin: fill them."
        )
    if array.shape[1] < recon.shape[1]:
        yield _info(f"'{array.key}' covers {array.shape[1]} of {recon.shape[1]} bins; the rest is taken as 0.")


_ALTERNATIVES = "Choose a reconstruction for such values: 'gaussian' (any), 'zero-inflated-gamma' (>= 0), 'gamma' (> 0)"

_SUPPORTS: dict[str, tuple[str, Callable[[ArraySummary], tuple[int, str]], str]] = {
    # support: what must hold, how many values break it and how, what to do
    "counts": (
        "counts (0, 1, 2...)",
        lambda a: (a.negative, "negative") if a.negative else (a.fractional, f"fractional (such as {a.fraction:g})" if a.fractional else ""),
        f"{_ALTERNATIVES}, or store counts.",
    ),
    "real": ("real numbers", lambda _: (0, ""), ""),
    "nonnegative": ("values >= 0", lambda a: (a.negative, "negative"), f"{_ALTERNATIVES}, or clip at 0."),
    "positive": ("values > 0", lambda a: (a.negative + a.zeros, "zero or negative"), f"{_ALTERNATIVES}, or raise the data to a small floor."),
}


def _support(recon: ArraySummary, support: str) -> Iterator[Problem]:
    if support not in _SUPPORTS:
        raise DataError(f"support: must be one of {', '.join(_SUPPORTS)}, got {support!r}. Mend the reconstruction's 'support'.")
    must, faults, remedy = _SUPPORTS[support]
    count, how = faults(recon)
    if count:
        yield _error(f"'{recon.key}' must hold {must}, got {count} {how} of {recon.size} values. {remedy}")


def _silent(recon: ArraySummary) -> Iterator[Problem]:
    if recon.constant:
        shown = ", ".join(map(str, recon.constant[:10])) + (", ..." if len(recon.constant) > 10 else "")
        yield _warning(
            f"'{recon.key}' has {len(recon.constant)} of {recon.shape[2]} channels that never change ({shown}). "
            "They teach nothing; consider dropping them."
        )


def _truth(split: SplitSummary) -> Iterator[Problem]:
    if "truth" not in split.extras:
        return
    shape = split.extras["truth"]
    if shape != split.recon.shape:
        yield _warning(
            f"'train_truth' has shape {shape} and the data {split.recon.shape}: it is carried along, but rates cannot be compared with it."
        )
    elif (
        split.truth_mean is not None
        and split.recon.mean is not None
        and split.recon.mean > 0
        and not 1 / 3 <= split.truth_mean / split.recon.mean <= 3
    ):
        yield _warning(
            f"'train_truth' should be expected values per bin, but its mean is {split.truth_mean:.3g} and that of the data {split.recon.mean:.3g}. "
            "Check 'conversion_factor', by which stored truth is divided."
        )


def _copies(sessions: Sequence[SessionSummary]) -> Iterator[Problem]:
    """One note for all sessions: nearly every recording begins like this."""
    alike = [s for s in sessions if "train" in s.splits and s.splits["train"].same]
    if alike:
        where = alike[0].where if len(alike) == 1 else f"sessions {first_few([s.name for s in alike], 3)}"
        yield _info(
            f"{where}: the encoders see every value they reconstruct, so a model can fit by copying. Keep 'coordinated-dropout' on, "
            "or hold channels out (data.hold_out), and judge by co-bps."
        )


def _other_modality(sessions: Sequence[SessionSummary]) -> Iterator[Problem]:
    """One note for all sessions whose input is not part of their target."""
    other = [s for s in sessions if any(not split.nested for split in s.splits.values())]
    if other:
        yield _info(
            f"{first_few([s.name for s in other], 3)}: the encoders read other values than are reconstructed, so another modality is predicted: "
            "masks of the input do not concern the loss, and all channels count as held out."
        )


def _mismatches(sessions: Sequence[SessionSummary]) -> Iterator[Problem]:
    """Say where sessions that would share one model differ in what must be equal."""
    firsts = {s: next(s.splits[name] for name in SPLITS if name in s.splits) for s in sessions if s.splits}
    values: dict[str, dict[str, float | None]] = {
        "reconstructed bins": {s.name: first.recon.shape[1] for s, first in firsts.items()},
        "encoded bins": {s.name: first.encod.shape[1] for s, first in firsts.items()},
        "external inputs": {s.name: first.external.shape[2] if first.external else 0 for s, first in firsts.items()},
        "bin_ms": {s.name: s.bin_ms for s in firsts},
    }
    for what, by_session in values.items():
        groups: dict[float, list[str]] = {}
        for name, value in by_session.items():
            if value is not None:
                groups.setdefault(round(value, 6), []).append(name)
        if len(groups) > 1:
            got = "; ".join(f"{value:g} in {first_few(names, 3)}" for value, names in groups.items())
            yield _error(f"all sessions: must have the same {what}, got {got}. Rebin or cut them alike, or train them apart.")


def batch_note(trials: int, sessions: int, batch_size: int) -> str | None:
    """A sentence if a step wants more trials than there are: it shrinks."""
    if not 0 < trials < batch_size:
        return None
    over = "" if sessions == 1 else f" of {sessions} sessions"
    return f"data.batch_size: {batch_size} trials do not fit, for there are {trials} training trials{over}: each step takes all of them."


def _batches(sessions: Sequence[SessionSummary], batch_size: int) -> Iterator[Problem]:
    trained = [s.splits["train"].trials for s in sessions if "train" in s.splits]
    if (note := batch_note(sum(trained), len(sessions), batch_size)) is not None:
        yield _info(note)
