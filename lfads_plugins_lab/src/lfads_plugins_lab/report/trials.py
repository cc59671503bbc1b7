"""Single trials, and averages over conditions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from lfads_core.components.page import Block, ChoiceBlock, PictureBlock, TextBlock
from lfads_core.infer.loading import LoadedRun
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.words import each_session, nothing, scale_of, shown_split, spoken_split, times_of
from lfads_plugins_std.figures import draw_averages, draw_trial
from lfads_plugins_std.figures.conditions import Groups
from lfads_plugins_std.figures.of_session import channels_of, events_of, groups_of
from lfads_plugins_std.figures.trials import pictures_of
from lfads_plugins_std.metrics.conditions import PSTH_MS, jitter_of
from lfads_plugins_std.metrics.psth import make_psth, shift_trials
from lfads_plugins_std.reports import knows_truth, truth_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TRIALS = 6
MOST_CHANNELS = 6


def single_trials(loaded: LoadedRun) -> Iterator[Block]:
    """What was recorded beside what was inferred, one trial at a time."""
    yield TextBlock(
        text="Channels are sorted by the time at which their average rate is highest, the same in both pictures. Held-out "
        "channels, if there are any, stand last beside an orange bar: the model did not see them."
    )
    yield from each_session(gather(loaded), _trials)


def _trials(session: Recorded) -> Iterator[Block]:
    split, time, of = shown_split(session), times_of(session), session.session
    data, groups = of.splits[split], groups_of(of, split)
    kinds = {"Recorded": data.recon, "Inferred": data.extras["output_params"]}
    seen, events = channels_of(of, split).seen, events_of(of, split, time)
    pictures = pictures_of(kinds, MOST_TRIALS, time, scale_of(session), counts=session.support == "counts", seen=seen, events=events)
    options = []
    for row, trial in enumerate(pictures.trials.tolist()):
        name = f"{spoken_split(split)} trial {trial}{_of_what(groups, trial)}"
        title, lines = _beside(data.extras["co_means"][trial], data.extras["factors"][trial])
        options.append((name, [PictureBlock(image=partial(draw_trial, pictures, row, lines, title), caption=f"{session.name}, {name}")]))
    yield ChoiceBlock(label=f"Trial of {session.name}", what="Trial", options=options)


def _of_what(groups: Groups | None, trial: int) -> str:
    """A trial's condition, if it is known."""
    return "" if groups is None or groups.index[trial] < 0 else f", {groups.labels[groups.index[trial]]}"


def _beside(inputs: Float[np.ndarray, "T U"], factors: Float[np.ndarray, "T F"]) -> tuple[str, dict[str, np.ndarray]]:
    """The inputs of a trial; where the model infers none, the factors that vary most."""
    if inputs.shape[1]:
        return "Inferred inputs", {f"input {k}": inputs[:, k] for k in range(inputs.shape[1])}
    widest = np.argsort(factors.std(axis=0))[::-1][:4]
    return "Factors (the model infers no inputs)", {f"factor {k}": factors[:, k] for k in widest.tolist()}


def averages(loaded: LoadedRun) -> Iterator[Block]:
    """Condition averages of data and of rates."""
    yield from each_session(gather(loaded), _averages)


def _averages(session: Recorded) -> Iterator[Block]:
    split = shown_split(session)
    groups = groups_of(session.session, split)
    if groups is None:
        yield nothing("The file names no conditions (an array such as train_cond), or hardly any trial shares one.")
        return
    smoothed = "" if session.session.bin_ms is None else f", smoothed by a Gaussian of {PSTH_MS:g} ms"
    yield TextBlock(
        text=f"Averages over {spoken_split(split)} trials of each condition: solid what the model infers, dashed the data{smoothed}. Shown are "
        "the channels whose rates differ most between bins and conditions."
        + (" Rates are not smoothed: what changes within less than that looks flatter in the data." if smoothed else "")
    )
    yield PictureBlock(image=averages_of(session, split, groups), caption=f"Condition averages of {session.name}")


def averages_of(session: Recorded, split: str, groups: Groups) -> partial[Figure]:
    """The figure of averages over groups of trials, ready to be drawn."""
    data, bin_ms = session.session.splits[split], session.session.bin_ms
    scale, channels = scale_of(session), channels_of(session.session, split)
    rates = np.asarray(data.extras["output_params"], dtype=np.float64) * scale.factor
    width = 0.0 if bin_ms is None else PSTH_MS / bin_ms
    jitter = jitter_of(data.extras, len(rates))
    psth = make_psth(data.recon, groups.rows, width, jitter) * scale.factor
    rates = rates if jitter is None else shift_trials(rates, jitter)
    model = np.stack([rates[rows].mean(axis=0) if len(rows) else np.full(rates.shape[1:], np.nan) for rows in groups.rows])
    shown = _telling(model)
    titles = [channels.title(n) for n in shown.tolist()]
    smoothing = None if bin_ms is None else PSTH_MS
    return partial(draw_averages, psth[..., shown], model[..., shown], groups, titles, times_of(session), scale.unit, smoothing_ms=smoothing)


def _telling(model: Float[np.ndarray, "K T N"]) -> Int[np.ndarray, " n"]:
    spread = np.nanstd(model.reshape(-1, model.shape[2]), axis=0)
    return np.argsort(spread)[::-1][:MOST_CHANNELS]


def truth(loaded: LoadedRun) -> Iterator[Block]:
    """Rates against the rates that made the data, of the sessions where these are known; nothing where they never are."""
    facts = gather(loaded)
    known = [session for session in facts.sessions if knows_truth(session.session, shown_split(session))]
    if known:
        yield TextBlock(text="The data were made from rates that are known. Channels shown run evenly from the best to the worst R².")
    for session in known:
        draw = partial(truth_of, session.session, shown_split(session), scale_of(session), times_of(session))
        yield PictureBlock(image=draw, caption=f"Rates against the truth, {session.name}")
