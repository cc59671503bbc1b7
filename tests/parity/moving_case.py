"""Replay of the augmentations that move values in time: temporal shift and spike jitter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lfads_core.components.batch import Batch
from lfads_core.rng import stream
from lfads_plugins_emg.settings import TemporalShiftConfig
from lfads_plugins_emg.shift import TemporalShift, whole_shift
from lfads_plugins_std.jitter import jitter_spikes, reflect
from parity.fixture import Fixture, tensor
from parity.report import Report

_SIGMAS = 6.0
_SPIKES = 40_000


def replay_temporal_shift(fixture: Fixture, report: Report) -> None:
    """Given real shifts: whole shifts and shifted data. The file moves input and target by their own shifts, we move both by one."""
    given = fixture.arrays
    report.expected = set(given) - {f"{which}_{what}" for which in ("encod", "recon") for what in ("data", "shift_raw")}
    limit = int(fixture.attributes["max_shift"])
    part = TemporalShift(TemporalShiftConfig(std=float(fixture.attributes["std"]), max_shift=limit))
    for which in ("encod", "recon"):
        data, raw = tensor(given[f"{which}_data"]), tensor(given[f"{which}_shift_raw"])
        batch = Batch(encod=data, recon=data, external=data.new_zeros(*data.shape[:2], 0), trials=torch.arange(len(data)))
        moved = part.augment(batch, {"shift": raw})
        report.compare(f"{which}_shift", given[f"{which}_shift"], whole_shift(raw, limit))
        report.compare(f"{which}_data_out", given[f"{which}_data_out"], moved.encod)
        report.compare(f"{which}_data_out (as target)", given[f"{which}_data_out"], moved.recon)
        back = part.augment(replace(batch, encod=data[..., :1]), {"shift": raw})
        report.compare(f"{which}_data_out (first channel)", given[f"{which}_data_out"][..., :1], back.encod)


def replay_spike_jitter(fixture: Fixture, report: Report) -> None:
    """Where spikes go: the exact probabilities, ours in a simulation, and the reference's own measurement."""
    given = fixture.arrays
    report.expected = set(given) - {"example_in"}
    width, reps = int(fixture.attributes["width"]), int(fixture.attributes["reps"])
    wanted = given["expected_destination_probability"]
    bins = len(wanted)
    shifts = torch.arange(-width, width + 1)
    landed = reflect(torch.arange(bins).unsqueeze(1) + shifts, bins)
    report.compare("expected_destination_probability", wanted, torch.nn.functional.one_hot(landed, bins).double().mean(dim=1))

    counts = torch.diag(torch.full((bins,), float(_SPIKES))).unsqueeze(-1)  # trial t has all its spikes in bin t
    measured = jitter_spikes(counts, width, stream(0, "replay")).squeeze(-1) / _SPIKES
    _within_sampling_error(report, "expected_destination_probability (simulated)", wanted, measured.numpy(), _SPIKES)

    theirs = given["measured_destination_fraction"]
    _within_sampling_error(report, "measured_destination_fraction", wanted, theirs, reps)
    report.compare("measured_destination_fraction (whole spikes)", np.round(theirs * reps), theirs * reps, tolerance=1e-7)
    report.compare("measured_destination_fraction (all spikes)", np.ones(bins), theirs.sum(axis=1), tolerance=1e-6)

    before, after = given["example_in"], given["example_out"]
    report.compare("example_out", before.sum(axis=1), after.sum(axis=1), note="counts per trial and channel")
    ours = jitter_spikes(tensor(before), width, stream(0, "replay", "example"))
    report.compare("example_out (ours)", before.sum(axis=1), ours.sum(dim=1), note="counts per trial and channel")


def _within_sampling_error(report: Report, array: str, probability: np.ndarray, fraction: np.ndarray, spikes: int) -> None:
    """Error in standard deviations of a share of that many independent spikes; what cannot happen must not happen."""
    sigma = np.sqrt(probability * (1 - probability) / spikes)
    gap = np.abs(fraction - probability)
    possible = sigma > 0
    worst = float((gap[possible] / sigma[possible]).max(initial=0.0)) if not gap[~possible].any() else float("inf")
    report.add(array, worst, note=f"in standard deviations, {spikes} spikes per bin", tolerance=_SIGMAS)
