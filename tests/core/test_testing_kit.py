"""The conformance kit finds what was broken on purpose, and says it in a sentence that leads to the fault."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from lfads_core.components import AbstractAugmentation, AbstractPrior, AbstractReadin, AbstractReadout, AbstractReconstruction
from lfads_core.config.fields import above, setting
from lfads_core.data.session import Session, Split
from lfads_core.errors import LfadsError
from lfads_core.plugins import (
    AugmentationSpec,
    DataReaderSpec,
    MetricSpec,
    NoSettings,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
    Registry,
    ReportSpec,
    SyntheticSpec,
)
from lfads_core.rng import stream
from lfads_core.testing import (
    ConformanceError,
    check_augmentation,
    check_metric,
    check_prior,
    check_reader,
    check_readin,
    check_readout,
    check_recipe,
    check_reconstruction,
    check_report,
    check_synthetic,
)


def broken(check, spec, *arguments):
    """Law -> first fault, of those that the check finds broken."""
    with pytest.raises(ConformanceError) as caught:
        check(spec, *arguments)
    return {finding.law: finding.faults[0] for finding in caught.value.findings if finding.faults}


# -- priors


class Unit(AbstractPrior):
    """N(0, 1), right in every way."""

    def kl(self, mean, std, draw):
        return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).flatten(1).sum(1)

    def generate(self, like, rng):
        return torch.empty_like(like).normal_(generator=rng)


class AtTheMean(Unit):
    """Estimates the divergence without its draw, as if the posterior were its mean."""

    def kl(self, mean, std, draw):
        return (0.5 * mean**2 - std.log()).flatten(1).sum(1)


class Wider(Unit):
    def generate(self, like, rng):
        return 1.5 * super().generate(like, rng)


class Shifted(Unit):
    def generate(self, like, rng):
        return 0.2 + super().generate(like, rng)


class InBits(Unit):
    def kl(self, mean, std, draw):
        return super().kl(mean, std, draw) / math.log(2)


class PerDimension(Unit):
    def kl(self, mean, std, draw):
        return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).sum(-1)


class GlobalChance(Unit):
    def draw(self, like, rng):
        return {"normal": torch.randn_like(like)}


class Overflowing(Unit):
    def kl(self, mean, std, draw):
        return (torch.exp(mean).log() ** 2 / 2 + (std**2 - 1 - 2 * std.log()) / 2).flatten(1).sum(1)


class Mixing(Unit):
    def kl(self, mean, std, draw):
        return super().kl(mean - mean.mean(0), std, draw)


class Detached(Unit):
    def kl(self, mean, std, draw):
        return super().kl(mean, std, draw) + (mean.detach() ** 3).flatten(1).sum(1)


class Remembering(Unit):
    def kl(self, mean, std, draw):
        self.last = mean
        return super().kl(mean, std, draw)


class Branching(Unit):
    def kl(self, mean, std, draw):
        kl = super().kl(mean, std, draw)
        return kl if float(kl.detach().sum()) > 0 else kl * 1.0


class WithoutEntropy(Unit):
    def kl(self, mean, std, draw):
        return mean.square().flatten(1).sum(1) / 2


class AnotherRatio(Unit):
    def log_ratio(self, mean, std, draw):
        return self.kl(mean, std, draw) + 1


class InEvalMode(Unit):
    def kl(self, mean, std, draw):
        return super().kl(mean, std, draw) * (1 if self.training else 2)


class OffScale(Unit):
    def sample(self, mean, std, draw):
        return mean + 2 * std * draw["normal"]


def prior(cls):
    return PriorSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _settings, _dimensions: cls())


def test_a_prior_that_is_right_passes_and_every_law_is_told():
    findings = check_prior(prior(Unit))
    assert all(finding.ok for finding in findings)
    assert len(findings) == 16


@pytest.mark.long
@pytest.mark.parametrize(
    ("cls", "law", "fault"),
    [
        (AtTheMean, "the divergence agrees with the posterior's samples", "must be 0, got -"),
        (Wider, "the divergence agrees with generated values", "the mean of value times slope of kl"),
        (Shifted, "the divergence agrees with generated values", "the mean slope of kl"),
        (InBits, "the divergence counts the posterior's entropy", "got 1.443"),
        (PerDimension, "one number per trial, and everything else shaped as the mean", "must have the shape (5,), got (5, 7)"),
        (GlobalChance, "chance comes from the given generator alone", "draw used torch's global generator"),
        (Overflowing, "divergence and gradients are finite at the ends", "kl is inf at mean -10000, std 0.01"),
        (Mixing, "trials do not touch one another", "differ by up to"),
        (Detached, "gradients are finite differences", "the gradient of kl of (5, 3) must be that of finite differences"),
        (Remembering, "nothing is remembered between calls", "nothing may be kept between calls, but changed: last"),
        (WithoutEntropy, "the divergence counts the posterior's entropy", "must be 0, for it lacks the entropy"),
        (AnotherRatio, "the ratio of densities, if it gives one, has the divergence as its mean", "must be 0, got 1 +-"),
        (InEvalMode, "copies give the same", "in eval mode and without gradients, as trained models are used, it must give the same"),
        (OffScale, "a sample is location plus scale times standard noise", "differ by up to"),
    ],
)
def test_a_broken_prior_is_found(cls, law, fault):
    assert fault in broken(check_prior, prior(cls))[law]


def test_a_prior_of_vectors_alone_may_refuse_paths():
    class Vectors(Unit):
        def kl(self, mean, std, draw):
            if mean.dim() != 2:
                raise LfadsError("vectors: must be a prior of initial conditions")
            return super().kl(mean, std, draw)

    assert all(finding.ok for finding in check_prior(prior(Vectors)))


def test_what_nothing_needs_is_no_law():
    assert all(finding.ok for finding in check_prior(prior(Branching)))  # no vmap: members of a population have priors of their own


def test_the_message_has_one_line_for_each_fault():
    with pytest.raises(ConformanceError) as caught:
        check_prior(prior(GlobalChance))
    lines = str(caught.value).splitlines()
    assert lines[0] == "prior 'mine' breaks 1 of 16 laws."
    assert lines[1] == "  chance comes from the given generator alone: draw used torch's global generator"


def test_laws_after_an_essential_one_are_not_tried():
    spec = PriorSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _settings, _dimensions: nn.Linear(2, 2))
    with pytest.raises(ConformanceError, match=r"breaks 1 of 16 laws. 12 more could not be tried.") as caught:
        check_prior(spec)
    assert "must give an AbstractPrior (lfads_core.components), got a Linear" in str(caught.value)


def test_settings_that_a_config_file_cannot_hold_are_found():
    @attrs.frozen(kw_only=True)
    class Odd:
        scale: float = setting(-1.0, "must be positive, is not", rule=above(0))

    @attrs.frozen
    class Named:
        name: str = "x"

    spec = PriorSpec(name="mine", summary="Mine", config=Named, build=print)
    assert "no setting may be called 'name'" in broken(check_prior, spec)["settings go round a config file"]
    spec = PriorSpec(name="mine", summary="Mine", config=Odd, build=print)
    assert "must be > 0, got -1.0" in broken(check_prior, spec)["settings go round a config file"]


# -- reconstructions


class Exponential(AbstractReconstruction):
    """Exponential data with a log-mean, right in every way."""

    n_params = 1
    support = "nonnegative"

    def log_mean(self, params):
        return 60 * torch.tanh(params[..., 0] / 60)

    def nll(self, params, data):
        return self.log_mean(params) + data * torch.exp(-self.log_mean(params))

    def mean(self, params):
        return torch.exp(self.log_mean(params))

    def sample(self, params, rng):
        unit = torch.empty(params.shape[:-1], dtype=params.dtype).exponential_(generator=rng)
        return unit * torch.exp(self.log_mean(params))


class WrongMean(Exponential):
    def mean(self, params):
        return 1.1 * super().mean(params)


class WrongLikelihood(Exponential):
    def nll(self, params, data):
        return 1.2 * self.log_mean(params) + data * torch.exp(-self.log_mean(params))


class OutsideSupport(Exponential):
    support = "counts"


class NanGradient(Exponential):
    """Finite, but its gradient is 0 * inf."""

    def nll(self, params, data):
        x = params[..., 0]
        exact = x + data * torch.exp(-x)
        return torch.where(x > -60, exact, 60.0 * data)


class OwnChance(Exponential):
    def sample(self, params, rng):
        return torch.exp(self.log_mean(params)) * torch.empty(params.shape[:-1], dtype=params.dtype).exponential_()


class Centred(Exponential):
    """Depends on the other batches."""

    def nll(self, params, data):
        return super().nll(params, data) + data.mean()


class NarrowDistribution(Exponential):
    def distribution_params(self, params):
        return {"scale": self.mean(params)[..., 0]}


class EndlessDistribution(Exponential):
    def distribution_params(self, params):
        return {"scale": torch.exp(params[..., 0])}


class WrongStart(Exponential):
    def params_from_mean(self, mean):
        return mean.unsqueeze(-1)


class Fitting(Exponential):
    """Remembers the largest value it has seen."""

    largest = 0.0

    def nll(self, params, data):
        self.largest = max(self.largest, float(data.max()))
        return super().nll(params, data) + 0.0 * self.largest


class RandomWeights(Exponential):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(3))


def reconstruction(cls):
    return ReconstructionSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _settings, _channels: cls())


def test_a_reconstruction_that_is_right_passes():
    assert all(finding.ok for finding in check_reconstruction(reconstruction(Exponential)))


@pytest.mark.parametrize(
    ("cls", "law", "fault"),
    [
        (WrongMean, "samples have the mean that is promised", "the mean of samples must be"),
        (WrongLikelihood, "samples follow the likelihood", "the mean slope of nll at data that it was drawn for must be 0, got 0.2"),
        (OutsideSupport, "samples are finite values of the support", "samples must be counts, got"),
        (NanGradient, "loss, mean and gradients are finite at the ends", "the gradient of nll is nan at params -10000, data 0"),
        (OwnChance, "chance comes from the given generator alone", "sample used torch's global generator"),
        (Centred, "shapes are right, and batches do not touch one another", "nll of several batches and of each alone"),
        (NarrowDistribution, "shapes are right, and batches do not touch one another", "'scale' must have the shape (2, 5, 3), got (2, 5)"),
        (EndlessDistribution, "loss, mean and gradients are finite at the ends", "distribution_params' 'scale' is inf at params 10000"),
        (WrongStart, "the start suits the data", "the mean of params_from_mean(mean) and mean differ"),
        (Fitting, "nothing is remembered between calls", "but changed: largest"),
        (RandomWeights, "building gives an equal reconstruction each time, its sizes declared", "must be equal. Draw random weights from"),
    ],
)
def test_a_broken_reconstruction_is_found(cls, law, fault):
    assert fault in broken(check_reconstruction, reconstruction(cls))[law]


# -- augmentations


class Scale(AbstractAugmentation):
    """Scales the input by a random factor, and the loss by the same, right in every way."""

    name = "scale"

    def draw(self, batch, rng):
        return {"factor": torch.rand(batch.encod.shape[0], 1, 1, generator=rng)}

    def augment(self, batch, noise):
        return replace(batch, encod=batch.encod * noise["factor"], masks={**batch.masks, "scale/factor": noise["factor"]})

    def weigh(self, loss, batch):
        return loss * batch.masks["scale/factor"]


class Queue(Scale):
    """Masks in a queue: stale after a step whose loss was not weighed."""

    def __init__(self):
        self.queue = []

    def augment(self, batch, noise):
        self.queue.append(noise["factor"])
        return replace(batch, encod=batch.encod * noise["factor"])

    def weigh(self, loss, batch):
        return loss * self.queue.pop(0).mean()


class InPlace(Scale):
    def augment(self, batch, noise):
        batch.encod.mul_(noise["factor"])
        return super().augment(batch, noise)


class Nameless(Scale):
    def augment(self, batch, noise):
        return replace(batch, masks={"factor": noise["factor"]})

    def weigh(self, loss, batch):
        return loss


class PythonChance(Scale):
    def augment(self, batch, noise):
        return replace(super().augment(batch, noise), encod=batch.encod * random.random())


class Promising(Scale):
    observes_missing = True


class Mixing(Scale):
    heeds_weights = True

    def weigh(self, loss, batch):
        return loss / loss.detach().abs().mean()


class Counting(Scale):
    heeds_weights = True

    def measure(self, loss, batch):
        return {"scale": loss.mean()}


class Together(Scale):
    by_trial = True

    def augment(self, batch, noise):
        return replace(batch, encod=batch.encod - batch.encod.mean(0))

    def weigh(self, loss, batch):
        return loss


class Settled(Scale):
    reads_masks_alone = True

    def __init__(self):
        self.share = 0.5

    def weigh(self, loss, batch):
        return loss * self.share


class UpsideDown(Scale):
    def weigh(self, loss, batch):
        return -loss


class Cropping(Scale):
    def augment(self, batch, noise):
        return replace(super().augment(batch, noise), recon=batch.recon[:, 1:])


def augmentation(cls):
    return AugmentationSpec(name="scale", summary="Mine", config=NoSettings, build=lambda _settings: cls())


def test_an_augmentation_that_is_right_passes():
    assert all(finding.ok for finding in check_augmentation(augmentation(Scale)))


@pytest.mark.parametrize(
    ("cls", "law", "fault"),
    [
        (Queue, "nothing is remembered between calls", "the same call must give the same after other calls"),
        (InPlace, "nothing that is handed in is changed in place", "the batch that came in must not be changed in place"),
        (Nameless, "masks carry the augmentation's name, and others' stay", "masks of others must stay, but 'earlier/mask' did not"),
        (PythonChance, "chance comes from the given generator alone", "augment must give the same with the same noise"),
        (Mixing, "trials that only fill a batch up do not count, where that is promised", "weigh must leave trials whose batch.weights are 0 out"),
        (Counting, "trials that only fill a batch up do not count, where that is promised", "measure must leave trials whose batch.weights are 0"),
        (Promising, "missing values are dealt with, where that is promised", "encod, of data with missing values, is nan"),
        (Together, "each trial is changed by itself, where that is promised", "must change each trial by itself, as its attribute by_trial says"),
        (Settled, "the loss is weighed by masks alone, where that is promised", "weigh must read nothing of the augmentation itself"),
        (UpsideDown, "what costs more counts no less", "weigh must count a value that costs more no less, but its slope is -1"),
        (Cropping, "shapes and types stay, and what is no data is left alone", "recon must keep its shape (4, 9, 5)"),
    ],
)
def test_a_broken_augmentation_is_found(cls, law, fault):
    assert fault in broken(check_augmentation, augmentation(cls))[law]


def test_an_augmentation_of_another_name_is_found():
    spec = AugmentationSpec(name="stretch", summary="Mine", config=NoSettings, build=lambda _settings: Scale())
    (fault,) = broken(check_augmentation, spec).values()
    assert fault == "its name must be the registered one, 'stretch', got 'scale'"


# -- read-ins and read-outs


class Readin(AbstractReadin):
    def __init__(self, session, rng=None):
        super().__init__()
        self.size = session.factors
        weight = torch.empty(self.size, session.encod_channels).normal_(generator=rng)
        self.weight = nn.Parameter(weight)

    def forward(self, encod):
        return nn.functional.linear(encod, self.weight)


class Readout(AbstractReadout):
    def __init__(self, session):
        super().__init__()
        rows = session.n_params * session.recon_channels
        self.weight = nn.Parameter(torch.empty(rows, session.factors).normal_(generator=stream(session.seed, "out", session.name)))
        self.bias = nn.Parameter(torch.zeros(rows))

    def forward(self, factors):
        return nn.functional.linear(factors, self.weight, self.bias)

    @torch.no_grad()
    def start_at(self, params):
        self.bias.copy_(params.reshape(-1))  # channel by channel, and not parameter by parameter


def test_a_readin_with_weights_from_the_global_generator_is_found():
    right = ReadinSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _, s: Readin(s, stream(s.seed, "in", s.name)))
    assert all(finding.ok for finding in check_readin(right))
    wrong = ReadinSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _, s: Readin(s))
    assert "Draw random weights from lfads_core.rng.stream" in broken(check_readin, wrong)["building gives an equal read-in each time"]


def test_a_readin_that_needs_arrays_must_refuse_their_absence_in_words():
    def build(_settings, session):
        Readin(session, stream(0)).weight.data += float(session.arrays["readin_weight"][0, 0])
        return Readin(session, stream(0))

    spec = ReadinSpec(name="mine", summary="Mine", config=NoSettings, build=build)
    assert "must be refused with a DataError, got KeyError" in broken(check_readin, spec)["a file without alignment is fine, or refused in words"]


def test_a_readout_that_starts_with_its_parameters_transposed_is_found():
    spec = ReadoutSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _, s: Readout(s))
    found = broken(check_readout, spec)
    assert list(found) == ["it starts at the parameters it is given, or ignores them"]


# -- the others


def test_a_recipe_that_misspells_is_found():
    right = RecipeSpec(name="mine", summary="Mine", settings={"model": {"dropout": 0.1}})
    wrong = RecipeSpec(name="mine", summary="Mine", settings={"model": {"dropuot": 0.1}, "components": {"reconstruction": "zigg"}})
    assert all(finding.ok for finding in check_recipe(right))
    with pytest.raises(ConformanceError, match=r"(?s)Did you mean model.dropout.*no reconstruction named 'zigg'"):
        check_recipe(wrong)
    with pytest.raises(ConformanceError, match="no reconstruction named 'poisson'"):
        check_recipe(right, Registry.from_plugins({}))


def synthetic(generate):
    return SyntheticSpec(name="mine", summary="Mine", config=NoSettings, generate=generate)


def a_recording(rng, *, truth=True):
    arrays = {}
    for split, trials in (("train", 30), ("valid", 12)):
        rates = rng.uniform(0.2, 2, (trials, 10, 4))
        arrays[f"{split}_encod_data"] = arrays[f"{split}_recon_data"] = rng.poisson(rates).astype("float32")
        if truth:
            arrays[f"{split}_truth"] = rates
    return arrays


def test_a_generator_without_truth_or_with_a_chance_of_its_own_is_found():
    assert all(finding.ok for finding in check_synthetic(synthetic(lambda _settings, rng: a_recording(rng))))
    found = broken(check_synthetic, synthetic(lambda _settings, rng: a_recording(rng, truth=False)))
    assert "the true rates must be there" in found["what is made is a recording without faults, with its true rates"]
    found = broken(check_synthetic, synthetic(lambda _settings, _rng: a_recording(np.random)))
    assert found["chance comes from the given generator alone"] == "generate used numpy's global generator"
    found = broken(check_synthetic, synthetic(lambda _settings, _rng: a_recording(np.random.default_rng(0))))
    assert found["chance comes from the given generator alone"] == "another seed must give other data, got the same"


def test_a_reader_is_checked_on_the_file_it_is_given(tmp_path):
    def read(path):
        arrays = np.load(path)
        counts = arrays["counts"].astype("float32")
        return Session(name="a", path=path, splits={name: Split(encod=counts, recon=counts, external=counts[..., :0]) for name in ("train", "valid")})

    path = tmp_path / "a.npz"
    np.savez(path, counts=np.random.default_rng(0).poisson(1.0, (12, 5, 3)))
    spec = DataReaderSpec(name="mine", summary="Mine", matches=lambda p: p.suffix == ".npz", read=read)
    assert all(finding.ok for finding in check_reader(spec))
    with pytest.raises(ConformanceError):
        check_reader(spec, tmp_path / "a.h5")
    np.savez(path, counts=np.full((12, 5, 3), np.inf))
    found = broken(check_reader, spec, path)
    assert list(found) == ["it gives a session without faults"]
    greedy = DataReaderSpec(name="mine", summary="Mine", matches=lambda _path: True, read=read)
    assert "must leave plain .h5 files to the HDF5 reader" in broken(check_reader, greedy)["it says which files are its own without reading them"]


def test_a_metric_that_gives_nan_or_changes_its_data_is_found():
    def spec(compute):
        return MetricSpec(name="mine", summary="Mine", compute=compute)

    def spoil(evaluation):
        evaluation.data[0] = 0
        return {}

    assert all(finding.ok for finding in check_metric(spec(lambda e: {"rate": float(e.means.mean())})))
    found = broken(check_metric, spec(lambda e: {"my rate": float(e.data.mean())}))
    assert found["it gives finite numbers by name, or none"].endswith("must name numbers by words without spaces and slashes, got 'my rate'")
    found = broken(check_metric, spec(lambda e: {"rate": float(e.data.mean())}))
    assert found["it gives finite numbers by name, or none"] == "of counts with gaps: 'rate' must be a finite number, or left out, got nan"
    assert "must not be changed" in broken(check_metric, spec(spoil))["the same predictions give the same, and stay as they are"]


def test_a_report_that_writes_elsewhere_or_spoils_the_run_is_found():
    def page(run, folder):
        path = folder / "page.txt"
        path.write_text(run.fitlog.read_text())
        return [path]

    def elsewhere(run, folder):
        return [run.fitlog]

    def spoil(run, folder):
        run.fitlog.write_text("")
        return []

    def spec(render):
        return ReportSpec(name="mine", summary="Mine", render=render)

    assert all(finding.ok for finding in check_report(spec(page)))
    law = "it writes files into its folder and leaves the run alone"
    assert "must return the files it wrote in the folder it was given" in broken(check_report, spec(elsewhere))[law]
    assert broken(check_report, spec(spoil))[law] == "must leave the files of the run alone"
