"""Figures of a run, from plain arrays. Importing this package loads no matplotlib; drawing needs the extra ``plot``."""

from lfads_plugins_std.figures.alignment import draw_alignment
from lfads_plugins_std.figures.conditions import draw_averages
from lfads_plugins_std.figures.curves import draw_curves
from lfads_plugins_std.figures.decoding import draw_decoding
from lfads_plugins_std.figures.factors import draw_factors, draw_initial_conditions
from lfads_plugins_std.figures.files import save
from lfads_plugins_std.figures.inputs import draw_around, draw_inputs
from lfads_plugins_std.figures.trials import draw_trial, draw_trials
from lfads_plugins_std.figures.truth import draw_truth

# fmt: off
__all__ = [
    "draw_alignment", "draw_around", "draw_averages", "draw_curves", "draw_decoding", "draw_factors", "draw_initial_conditions", "draw_inputs",
    "draw_trial", "draw_trials", "draw_truth", "save",
]
