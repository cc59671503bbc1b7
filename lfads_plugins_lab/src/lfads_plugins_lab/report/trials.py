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
from lfads_plugins_lab.report.words import each_session, groups_of, nothing, rate_scale, shown_split, times_of
from lfads_plugins_std.alignment.condition_names import texts
from lfads_plugins_std.figures import draw_averages, draw_trial
from lfads_plugins_std.figures.conditions import Groups
from lfads_plugins_std.figures.trials import pictures_of
from lfads_plugins_std.metrics.conditions import PSTH_MS, jitter_of
from lfads_plugins_std.metrics.psth import make_psth, shift_trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TRIALS = 6
MOST_CHANNELS = 6


def single_trials(loaded: LoadedRun) -> Iterator[Block]:
    """What was recorded beside what was inferred, one trial at a time."""
    yield TextBlock(
        text="Channels are sorted by the time at which their average rate is highest, the same in both pictures. Held-out "
        "channels, if there are any, were not seen by the model."
    )
    yield from each_session(gather(loaded), _trials)


def _trials(session: Recorded) -> Iterator[Block]:
    split = shown_split(session)
    data, groups = session.session.splits[split], groups_of(session, split)
    kinds = {"Recorded": data.recon, "Inferred": data.extras["output_params"]}
    pictures = pictures_of(kinds, MOST_TRIALS, times_of(session), rate_scale(session), counts=session.support == "counts")
    options = []
    for row, trial in enumerate(pictures.trials.tolist()):
        name = f"{split} trial {trial}{_of_what(groups, trial)}"
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
    groups = groups_of(session, split)
    if groups is None:
        yield nothing("The file names no conditions (an array such as train_cond), or hardly any trial shares one.")
        return
    smoothed = "" if session.session.bin_ms is None else f", smoothed by a Gaussian of {PSTH_MS:g} ms"
    yield TextBlock(
        text=f"Averages over {split} trials of each condition: solid what the model infers, dashed the data{smoothed}. Shown are "
        "the channels whose rates differ most between bins and conditions."
        + (" Rates are not smoothed: what changes within less than that looks flatter in the data." if smoothed else "")
    )
    yield PictureBlock(image=averages_of(session, split, groups), caption=f"Condition averages of {session.name}")


def averages_of(session: Recorded, split: str, groups: Groups) -> partial[Figure]:
    """The figure of averages over groups of trials, ready to be drawn."""
    data = session.session.splits[split]
    factor, unit = rate_scale(session)
    rates = np.asarray(data.extras["output_params"], dtype=np.float64) * factor
    width = 0.0 if session.session.bin_ms is None else PSTH_MS / session.session.bin_ms
    jitter = jitter_of(data.extras, len(rates))
    psth = make_psth(data.recon, groups.rows, width, jitter) * factor
    rates = rates if jitter is None else shift_trials(rates, jitter)
    model = np.stack([rates[rows].mean(axis=0) if len(rows) else np.full(rates.shape[1:], np.nan) for rows in groups.rows])
    shown, seen = _telling(model), data.encod.shape[2] if data.nested else model.shape[2]
    titles = [f"Channel {_named(session, n)}{', held out' if n >= seen else ''}" for n in shown.tolist()]
    return partial(draw_averages, psth[..., shown], model[..., shown], groups, titles, times_of(session), unit)


def _telling(model: Float[np.ndarray, "K T N"]) -> Int[np.ndarray, " n"]:
    spread = np.nanstd(model.reshape(-1, model.shape[2]), axis=0)
    return np.argsort(spread)[::-1][:MOST_CHANNELS]


def _named(session: Recorded, channel: int) -> str:
    """The channel's name in the file, or its number there."""
    for key in ("channels", "channel_names"):
        names = session.session.attributes.get(key, session.session.arrays.get(key))
        if names is not None and np.ndim(names) == 1 and len(names) == session.session.splits[session.splits[0]].recon.shape[2]:
            return texts(np.asarray(names))[channel]
    order = session.session.arrays.get("channel_order")
    return str(channel if order is None else int(order[channel]))
