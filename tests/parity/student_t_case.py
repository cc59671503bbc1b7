"""What only Student-t fixtures hold: log densities at given samples, and initial values."""

from __future__ import annotations

import re

from lfads_core.model.lfads import LFADS
from lfads_plugins_std.settings import StudentTConfig
from lfads_plugins_std.student_t import StudentTPrior, student_t_log_density
from parity.fixture import Fixture, tensor
from parity.report import Report


def compare_densities(fixture: Fixture, report: Report, model: LFADS) -> None:
    """``logprob/*``: density of given samples under given posteriors and under the model's priors, summed over dimensions."""
    given = fixture.group("logprob")
    for which, prior in (("ic", model.ic_prior), ("co", model.input_prior)):
        if f"{which}_sample" not in given or not isinstance(prior, StudentTPrior):
            continue
        sample, location, scale = (tensor(given[f"{which}_{name}"]) for name in ("sample", "post_loc", "post_scale"))
        ours = {
            "posterior_log_prob": student_t_log_density(sample, location, scale, prior.degrees).sum(dim=-1),
            "prior_log_prob": student_t_log_density(sample, prior.location, prior.log_scale.exp(), prior.degrees).sum(dim=-1),
        }
        for name, value in ours.items():
            report.compare(f"logprob/{which}_{name}", given[f"{which}_{name}"], value)


def compare_initial_values(fixture: Fixture, report: Report) -> None:
    """``init/*``: a fresh prior's parameters, for a location and a scale that stand in the array's name."""
    for name, expected in fixture.group("init").items():
        found = re.fullmatch(r"(loc|logscale)_from_loc(-?[\d.]+)_scale([\d.]+)", name)
        if found is None:
            continue
        location, scale = float(found[2]), float(found[3])
        prior = StudentTPrior(StudentTConfig(location=location, scale=scale), expected.size)
        if found[1] == "logscale":
            report.compare(f"init/{name}", expected, prior.log_scale)
            continue
        note = "the reference starts the location at the SCALE, which the file shows; ours starts at the location, checked beside it"
        report.compare(f"init/{name}", expected, prior.log_scale.exp(), note=note)
        report.compare(f"init/{name} (ours)", [location] * expected.size, prior.location)
