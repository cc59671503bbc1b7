"""What the pages say about sums, means and scales is what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from lfads_core.objective.terms import ramp, reduce_reconstruction
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import PriorSpec, ReconstructionSpec

DOCS = Path(__file__).resolve().parents[2] / "docs"
MODEL = (DOCS / "model.md").read_text(encoding="utf-8")
REGISTRY = Registry.from_installed()
TRIALS, BINS, INPUTS = 3, 7, 2


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def divergence(name: str, mean: torch.Tensor, std: torch.Tensor, draw: dict[str, torch.Tensor] | None = None, **settings: object) -> torch.Tensor:
    spec = REGISTRY.get(PriorSpec, name)
    prior = spec.build(spec.config(**settings), mean.shape[-1]).to(mean.dtype)
    return prior.kl(mean, std, prior.draw(mean, rng()) if draw is None else draw)


@pytest.fixture
def posterior() -> tuple[torch.Tensor, torch.Tensor]:
    mean = torch.randn(TRIALS, BINS, INPUTS, generator=rng(), dtype=torch.float64)
    return mean, torch.rand(TRIALS, BINS, INPUTS, generator=rng(), dtype=torch.float64) + 0.1


def test_the_autoregressive_divergence_is_a_sum_over_bins_or_with_over_time_mean_their_mean(posterior):
    torch.testing.assert_close(divergence("autoregressive", *posterior), BINS * divergence("autoregressive", *posterior, over_time="mean"))


@pytest.mark.parametrize("name", ["normal", "student-t"])
def test_the_divergence_of_the_other_priors_is_a_mean_over_bins(name, posterior):
    mean, std = posterior
    draw = {"normal": torch.zeros_like(mean), "chi2": torch.ones_like(mean)}
    once, twice = (divergence(name, *(x.repeat(1, k, 1) for x in (mean, std)), {key: x.repeat(1, k, 1) for key, x in draw.items()}) for k in (1, 2))
    torch.testing.assert_close(twice, once)


def test_every_installed_prior_and_reconstruction_has_its_row():
    for record in (PriorSpec, ReconstructionSpec):
        assert REGISTRY.all(record)
        for spec in REGISTRY.all(record):
            assert re.search(rf"^\| `{spec.name}` \|", MODEL, flags=re.MULTILINE), spec.name


def test_a_sum_over_values_is_the_mean_times_bins_and_channels():
    loss = torch.rand(4, 5, 6, generator=rng(), dtype=torch.float64)
    torch.testing.assert_close(reduce_reconstruction(loss, "sum"), 5 * 6 * reduce_reconstruction(loss, "mean"))


def test_the_scale_of_the_page_makes_the_loss_the_bound_per_value(posterior):
    """-ELBO / (T N) of one trial, as the page has it, from the pieces of the objective."""
    nll = torch.rand(TRIALS, BINS, 6, generator=rng(), dtype=torch.float64)
    kl = divergence("autoregressive", *posterior)
    bound = (nll.sum((1, 2)) + kl).mean() / (BINS * 6)
    torch.testing.assert_close(reduce_reconstruction(nll, "mean") + kl.mean() / (BINS * 6), bound)


def test_the_ramp_of_the_page_is_that_of_the_objective():
    assert "ramp(epoch) = clamp((epoch + 1 − start) / (increase + 1), 0, 1)" in MODEL
    for epoch, start, increase in [(0, 0, 80), (3, 5, 2), (5, 5, 2), (7, 5, 2), (0, 0, 0)]:
        assert ramp(epoch, start, increase) == pytest.approx(min(max((epoch + 1 - start) / (increase + 1), 0), 1))


@pytest.mark.parametrize("dist", ["lfads_core", *(f"lfads_plugins_{end}" for end in ("std", "calcium", "emg", "tune", "lab"))])
def test_the_table_of_distributions_names_what_each_depends_on(dist):
    project = tomllib.loads((DOCS.parent / dist / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (row,) = [line for line in (DOCS / "architecture.md").read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{project['name']}` |")]
    named = {name.strip(" `").lower() for name in row.split(" | ")[2].rstrip(" |").split(",")}
    assert named == {Requirement(line).name for line in project["dependencies"]}
