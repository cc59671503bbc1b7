"""Single trials, and averages over conditions."""

from __future__ import annotations

from html import escape

import numpy as np
from jaxtyping import Float, Int

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.facts import Facts
from lfads_plugins_lab.report.png import heat, raster
from lfads_plugins_lab.report.svg import Axes, Line, chart, picture, scale_key, spoken
from lfads_plugins_lab.report.words import colour, grid, groups_of, heading, none, para, rate_scale, shown_split, times_of
from lfads_plugins_std.alignment.condition_names import texts
from lfads_plugins_std.figures.units import spread_out
from lfads_plugins_std.metrics.conditions import PSTH_MS, jitter_of
from lfads_plugins_std.metrics.psth import make_psth, shift_trials

MOST_TRIALS = 6
MOST_CHANNELS = 6


def single_trials(facts: Facts) -> str:
    """What was recorded beside what was inferred, one trial at a time."""
    several = len(facts.sessions) > 1
    text = (
        "Channels are sorted by the time at which their average rate is highest, the same in both pictures. Held-out "
        "channels, if there are any, were not seen by the model."
    )
    return para(text) + "".join(heading(session, several) + _trials(session, number) for number, session in enumerate(facts.sessions))


def _trials(session: Recorded, number: int) -> str:
    split = shown_split(session)
    data = session.session.splits[split]
    rates = np.asarray(data.extras["output_params"], dtype=np.float64)
    factor, unit = rate_scale(session)
    time = times_of(session)
    order = rates.mean(axis=0).argmax(axis=0).argsort(kind="stable")
    low, high = (0.0 if session.support != "real" else float(np.percentile(rates, 0.5))) * factor, float(np.percentile(rates, 99.5)) * factor
    observed = data.recon[np.isfinite(data.recon)]
    top = (
        max(1.0, float(np.percentile(observed, 99.9)) / 1.5)
        if session.support == "counts"
        else max(float(np.percentile(np.abs(observed), 99)), 1e-12)
    )
    chosen = spread_out(len(rates), MOST_TRIALS)
    grouped = groups_of(session, split)
    panels = []
    for trial in chosen:
        box = (time.begin, time.end, float(len(order)), 0.0)
        figures = [
            picture(
                Axes(title=f"Recorded, {split} trial {trial}", x=time.label, y="channel (sorted)"),
                raster(np.abs(data.recon[trial][:, order].T), top),
                box,
                kind="raster",
            ),
            picture(
                Axes(title="Inferred", x=time.label, y="channel (sorted)"),
                heat(rates[trial][:, order].T * factor, low, high),
                box,
                key=scale_key(spoken(low), spoken(high), unit),
            ),
            _inputs(session, split, int(trial)),
        ]
        panels.append(f'<div data-panel="trial{number}" data-value="{trial}">{grid(figures)}</div>')
    options = "".join(f'<option value="{trial}">{split} trial {trial}{escape(_of_what(grouped, trial))}</option>' for trial in chosen.tolist())
    tools = (
        f'<div class="tools"><label>Trial <select data-show="trial{number}" aria-label="Trial of '
        f'{escape(session.name, quote=True)}">{options}</select></label></div>'
    )
    return tools + "".join(panels)


def _of_what(grouped: tuple[np.ndarray, list[str]] | None, trial: int) -> str:
    """A trial's condition, if it is known."""
    return "" if grouped is None or grouped[0][trial] < 0 else f", {grouped[1][grouped[0][trial]]}"


def _inputs(session: Recorded, split: str, trial: int) -> str:
    extras = session.session.splits[split].extras
    inputs, factors = extras["co_means"][trial], extras["factors"][trial]
    time = times_of(session)
    if inputs.shape[1]:
        lines = [Line(x=time.middles, y=inputs[:, k], colour=colour(k, inputs.shape[1]), label=f"input {k + 1}") for k in range(inputs.shape[1])]
        return chart(Axes(title="Inferred inputs", x=time.label, y="input (arbitrary unit)", upright=time.event), lines)
    widest = np.argsort(factors.std(axis=0))[::-1][:4]
    return chart(
        Axes(title="Factors (the model infers no inputs)", x=time.label, y="factor (arbitrary unit)", upright=time.event),
        [Line(x=time.middles, y=factors[:, k], colour=colour(i, 4), label=f"factor {k + 1}") for i, k in enumerate(widest)],
    )


def averages(facts: Facts) -> str:
    """Condition averages of data and of rates."""
    several = len(facts.sessions) > 1
    return "".join(heading(session, several) + _averages(session) for session in facts.sessions)


def _averages(session: Recorded) -> str:
    split = shown_split(session)
    grouped = groups_of(session, split)
    if grouped is None:
        return none("The file names no conditions (an array such as train_cond), or hardly any trial shares one.")
    index, labels = grouped
    data = session.session.splits[split]
    factor, unit = rate_scale(session)
    rates = np.asarray(data.extras["output_params"], dtype=np.float64) * factor
    rows = [np.flatnonzero(index == k) for k in range(len(labels))]
    width = 0.0 if session.session.bin_ms is None else PSTH_MS / session.session.bin_ms
    jitter = jitter_of(data.extras, len(rates))
    psth = make_psth(data.recon, rows, width, jitter) * factor
    rates = rates if jitter is None else shift_trials(rates, jitter)
    model = np.stack([rates[of].mean(axis=0) if len(of) else np.full(rates.shape[1:], np.nan) for of in rows])
    time = times_of(session)
    figures = []
    for channel in _telling(model).tolist():
        held = data.nested and channel >= data.encod.shape[2]
        lines = [
            Line(x=time.middles, y=psth[k, :, channel], colour=colour(k, len(labels)), dashed=True, width=1, opacity=0.75) for k in range(len(labels))
        ]
        lines += [Line(x=time.middles, y=model[k, :, channel], colour=colour(k, len(labels)), width=2) for k in range(len(labels))]
        title = f"Channel {_named(session, channel)}{', held out' if held else ''}"
        figures.append(chart(Axes(title=title, x=time.label, y=unit, upright=time.event), lines))
    smoothed = "" if session.session.bin_ms is None else f", smoothed by a Gaussian of {PSTH_MS:g} ms"
    text = (
        f"Averages over {split} trials of each condition: solid what the model infers, dashed the data{smoothed}. Shown are "
        "the channels whose rates differ most between bins and conditions."
        + (" Rates are not smoothed: what changes within less than that looks flatter in the data." if smoothed else "")
    )
    keys = "".join(f'<li><span class="key" style="--ink:{colour(k, len(labels))}"></span>{escape(label)}</li>' for k, label in enumerate(labels))
    return para(text) + f'<ul class="legend">{keys}</ul>' + grid(figures)


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
