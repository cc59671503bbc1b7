"""Figures of a run, from plain arrays. Importing this package loads no matplotlib; drawing needs the extra ``plot``."""

from lfads_core.plots.alignment import draw_alignment
from lfads_core.plots.curves import draw_curves
from lfads_core.plots.factors import draw_factors
from lfads_core.plots.figure import save
from lfads_core.plots.inputs import draw_inputs
from lfads_core.plots.trials import draw_trials
from lfads_core.plots.truth import draw_truth

__all__ = ["draw_alignment", "draw_curves", "draw_factors", "draw_inputs", "draw_trials", "draw_truth", "save"]
