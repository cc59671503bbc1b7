# ruff: noqa: ARG005 - a spoilt method has the arguments of a sound one
"""Components that break their contract: none trains in silence, none ends in a traceback, each is named with its package and what must hold."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
import threading
from types import SimpleNamespace

import attrs
import pytest
import torch
from torch import nn

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.components import AbstractAugmentation, AbstractEncoder, AbstractGenerator, AbstractPrior, AbstractReadin, AbstractReadout
from lfads_core.config.fields import setting
from lfads_core.errors import LfadsError, NumericsError, PluginError
from lfads_core.plugins import (
    AugmentationSpec,
    EncoderSpec,
    GeneratorSpec,
    NoSettings,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    ReconstructionSpec,
    Registry,
    hookimpl,
)
from lfads_core.rng import stream
from lfads_core.train.loop import step_together
from lfads_plugins_std.poisson import Poisson

pytestmark = pytest.mark.long

WHO = "lab-bad 0 (entry point 'lab-bad'): the {kind} 'bad'"


# What is right, to be spoilt


class Right(Poisson):
    """A reconstruction."""


class RightPrior(AbstractPrior):
    """A standard normal prior."""

    def kl(self, mean, std, draw):
        each = 0.5 * (mean.square() + std.square() - 1) - std.log()
        return each.flatten(1).sum(1)

    def generate(self, like, rng):
        return torch.empty_like(like).normal_(generator=rng)


class RightReadin(AbstractReadin):
    """A matrix."""

    def __init__(self, channels):
        super().__init__()
        self.size = 4
        self.weight = nn.Parameter(torch.empty(channels, 4).normal_(generator=stream(0, "w")) / 2)

    def forward(self, encod):
        return encod @ self.weight


class RightReadout(AbstractReadout):
    """A matrix."""

    def __init__(self, factors, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(factors, width).normal_(generator=stream(0, "w")) / 2)

    def forward(self, factors):
        return factors @ self.weight


class RightAugmentation(AbstractAugmentation):
    """Hides a tenth of the input."""

    name = "bad"

    def draw(self, batch, rng):
        return {"keep": (torch.rand(batch.encod.shape, generator=rng) > 0.1).float()}

    def augment(self, batch, noise):
        return dataclasses.replace(batch, encod=batch.encod * noise["keep"], masks={**batch.masks, "bad/keep": noise["keep"]})


BUILDS = {
    "reconstruction": lambda cls: lambda *_: cls(),
    "prior": lambda cls: lambda *_: cls(),
    "augmentation": lambda cls: lambda _: cls(),
    "readin": lambda cls: lambda _, s: cls(s.encod_channels),
    "readout": lambda cls: lambda _, s: cls(s.factors, s.n_params * s.recon_channels),
}
RIGHT = {"reconstruction": Right, "prior": RightPrior, "augmentation": RightAugmentation, "readin": RightReadin, "readout": RightReadout}
SPECS = {"reconstruction": ReconstructionSpec, "prior": PriorSpec, "augmentation": AugmentationSpec, "readin": ReadinSpec, "readout": ReadoutSpec}
CHOICES = {
    "reconstruction": ("components.reconstruction=bad",),
    "prior": ("components.ic_prior=bad", "components.input_prior=bad"),
    "augmentation": ("components.train_augmentations=[bad]",),
    "readin": ("components.readin=bad",),
    "readout": ("components.readout=bad",),
}


def registry_of(kind, build):
    @hookimpl
    def hook():
        return [SPECS[kind](name="bad", summary="Misbehaves", config=NoSettings, build=build)]

    return Registry.from_plugins(
        {"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "lab-bad": SimpleNamespace(**{f"lfads_{kind}s": hook})}
    )


def spoilt(kind, **methods):
    """The right component of a kind with other methods; ``was`` is the right one's."""
    return type("Bad", (RIGHT[kind],), methods)


def trains(kind, build, train_tiny, *more):
    return train_tiny("train.epochs=2", *CHOICES[kind], *more, registry=registry_of(kind, build))


@pytest.mark.parametrize("kind", RIGHT)
def test_what_keeps_its_contract_trains(kind, train_tiny):
    assert trains(kind, BUILDS[kind](RIGHT[kind]), train_tiny).outcome == "epochs"


# What is wrong


class Nan(torch.autograd.Function):
    """The identity, with a gradient of NaN."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(_, grad):
        return grad * torch.nan


class Raising(torch.autograd.Function):
    """The identity, whose gradient cannot be had."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(*_):
        raise ZeroDivisionError("no way back")


def nll(change):
    return {"nll": lambda self, params, data: change(Poisson.nll(self, params, data), params, data)}


def mean(change):
    return {"mean": lambda self, params: change(Poisson.mean(self, params))}


def kl(change):
    return {"kl": lambda self, mean, std, draw: change(RightPrior.kl(self, mean, std, draw), mean)}


def generate(change):
    return {"generate": lambda self, like, rng: change(RightPrior.generate(self, like, rng))}


def read(cls, change):
    return {"forward": lambda self, x: change(cls.forward(self, x), x)}


def augment(change):
    return {"augment": lambda self, batch, noise: change(RightAugmentation.augment(self, batch, noise), batch)}


def in_place(batch, value):
    value.encod.zero_()
    return batch


def counted(self, params, data):
    self.calls = getattr(self, "calls", 0) + 1
    return Poisson.nll(self, params, data)


CALLS = itertools.count()


def counted_outside(self, params, data):
    return Poisson.nll(self, params, data) * (1 + 0.01 * next(CALLS))


def moves_itself(self, encod):
    with torch.no_grad():
        self.weight.add_(0.01)
    return encod @ self.weight


def shared_chance(value, *_):
    return value + 0 * torch.rand(())


def changes_data(self, params, data):
    loss = Poisson.nll(self, params, data)
    data.clamp_(max=1)
    return loss


def in_place_of_graph(self, params, data):
    rate = params.exp()
    loss = rate.square().sum(-1)
    rate.mul_(2)
    return loss


def with_parameters(cls, name, start):
    """A read-out that begins with other parameters than it was built with."""

    def start_at(self, params):
        setattr(self, name, start(params))

    return {"start_at": start_at, "forward": lambda self, x: cls.forward(self, x) + getattr(self, name, 0)}


def uncopied(self):
    Poisson.__init__(self)
    self.lock = threading.Lock()


MEAN_SHAPE = r"must give the shape \(\*B, T, N\) = \(6?4?, 8, 5\), got "
BAD = {
    "nll that is one number": ("reconstruction", nll(lambda x, *_: x.sum()), r"nll must give the shape \(\*B, T, N\) = \(4, 8, 5\), got \(\)"),
    "nll summed over bins": ("reconstruction", nll(lambda x, *_: x.sum(1)), r"nll must give the shape \(\*B, T, N\) = \(4, 8, 5\), got \(4, 5\)"),
    "nll averaged over trials": (
        "reconstruction",
        nll(lambda x, *_: x.mean(0, keepdim=True).expand_as(x)),
        "nll must give each trial what it gets alone",
    ),
    "a distribution that is no mapping": (
        "reconstruction",
        {"distribution_params": lambda self, p: p[..., 0]},
        "distribution_params must give tensors by name",
    ),
    "a distribution averaged over bins": (
        "reconstruction",
        {"distribution_params": lambda self, p: {"rate": p[..., 0].mean(1)}},
        r"distribution_params must give a value for each channel and bin, \(4, 8, 5\), got \(4, 5\) for 'rate'",
    ),
    "a distribution's name with a slash": (
        "reconstruction",
        {"distribution_params": lambda self, p: {"a/b": p[..., 0]}},
        "distribution_params must give parameters names of letters, digits and _, got 'a/b'",
    ),
    "nll without gradient": ("reconstruction", nll(lambda x, *_: x.detach()), "nll must pass gradients on to params"),
    "nll of its own parameter alone": (
        "reconstruction",
        {
            "__init__": lambda self: (Poisson.__init__(self), setattr(self, "free", nn.Parameter(torch.ones(()))))[0],
            "nll": lambda self, p, d: d * self.free,
        },
        "nll must pass a gradient on to params, or nothing is learnt, got none",
    ),
    "nll of one trial": (
        "reconstruction",
        nll(lambda x, *_: x.squeeze(0)),
        r"nll must give the shape \(1, 8, 5\) to a batch of 1, such as an epoch may end with, got \(8, 5\)",
    ),
    "nll of a validation": (
        "reconstruction",
        nll(lambda x, *_: x if torch.is_grad_enabled() else x / 10),
        "nll must give the same without gradients, as in a validation, got something else",
    ),
    "nll of a model that is loaded": (
        "reconstruction",
        {"nll": lambda self, params, data: Poisson.nll(self, params, data) * (1 if self.training else 2)},
        "nll must give the same in eval mode, in which a trained model is loaded, got something else",
    ),
    "a lock, which cannot be copied": ("reconstruction", {"__init__": uncopied}, "build must give what copy.deepcopy can copy, got TypeError"),
    "nll in float64": (
        "reconstruction",
        nll(lambda x, *_: x.double()),
        "nll must give numbers of the type float32, as its arguments are, got float64",
    ),
    "nll on another device": (
        "reconstruction",
        nll(lambda x, *_: x.to("meta")),
        "nll must give what lies on the device cpu, as its arguments do, got meta",
    ),
    "nll of whole numbers": ("reconstruction", nll(lambda x, *_: x.long()), "nll must give numbers of the type float32, got int64"),
    "nll in numpy": ("reconstruction", nll(lambda x, *_: x.detach().numpy()), "nll must give a tensor, got a numpy.ndarray"),
    "nll that gives nothing": ("reconstruction", nll(lambda *_: None), "nll must give a tensor, got None"),
    "nll of NaN": ("reconstruction", nll(lambda x, *_: x * torch.nan), "nll must give finite numbers, got nan in 160 of 160"),
    "nll with a gradient of NaN": ("reconstruction", nll(lambda x, *_: Nan.apply(x)), "nll must have finite gradients, got nan in 160 of 160"),
    "nll that raises": (
        "reconstruction",
        nll(lambda x, *_: x / (1 // 0)),
        r"failed in nll \(ZeroDivisionError: .*, at test_train_misbehaving.py:\d+\)",
    ),
    "nll that raises on the way back": (
        "reconstruction",
        nll(lambda x, *_: Raising.apply(x)),
        r"failed in nll, on the way back \(ZeroDivisionError: no way back, at test_train_misbehaving.py:\d+\)",
    ),
    "nll that spoils its own graph": (
        "reconstruction",
        {"nll": in_place_of_graph},
        r"failed in nll, on the way back \(RuntimeError: .*inplace operation",
    ),
    "nll that changes the data": ("reconstruction", {"nll": changes_data}, "nll must leave 'data' as it was, but changed it in place"),
    "nll that counts its calls": ("reconstruction", {"nll": counted}, "nll must keep nothing between calls"),
    "nll that depends on its calls": ("reconstruction", {"nll": counted_outside}, "nll must give the same when it is called twice with the same"),
    "nll that draws from what all share": ("reconstruction", nll(shared_chance), "but used torch's global generator"),
    "nll that knows the place in the batch": (
        "reconstruction",
        nll(lambda x, *_: x * torch.arange(1.0, 1 + len(x))[:, None, None]),
        "nll must give each trial what it gets alone",
    ),
    "mean without the channels": ("reconstruction", mean(lambda x: x.sum(-1)), "mean must give the shape|where the read-out starts"),
    "mean with the parameters' axis": (
        "reconstruction",
        mean(lambda x: x.unsqueeze(-1)),
        r"mean must give the shape \(\*B, T, N\) = \(4, 8, 5\), got \(4, 8, 5, 1\)",
    ),
    "samples of another shape": (
        "reconstruction",
        {"sample": lambda self, params, rng: Poisson.sample(self, params, rng).sum(0)},
        r"sample must give the shape \(\*B, T, N\) = \(4, 8, 5\), got \(8, 5\)",
    ),
    "a start of another shape": (
        "reconstruction",
        {"params_from_mean": lambda self, mean: mean.log()},
        r"start_from and params_from_mean must give finite numbers of the shape \(N, P\) = \(5, 1\), got \(5,\)",
    ),
    "no number of parameters": ("reconstruction", {"n_params": None}, "build must give it a 'n_params', a whole number above 0, got None"),
    "an unknown support": (
        "reconstruction",
        {"support": "spikes"},
        "build must give it 'support', one of counts, real, nonnegative, positive, got 'spikes'",
    ),
    "a penalty of many numbers": ("reconstruction", {"penalty": lambda self: torch.ones(3)}, r"penalty must give the shape \(\) = \(\), got \(3,\)"),
    "kl that is one number": ("prior", kl(lambda x, _: x.mean()), r"kl must give the shape \(B\) = \(4\), got \(\)"),
    "kl below 0": ("prior", kl(lambda x, _: -x), "kl must be 0 or more over samples of the posterior, .* got -"),
    "kl estimated too low": (
        "prior",
        {"kl": lambda self, mean, std, draw: (draw["normal"] - 1).flatten(1).sum(1) + 0 * (mean + std).flatten(1).sum(1)},
        "kl must be 0 or more over samples of the posterior, .* got -",
    ),
    "kl per bin": ("prior", kl(lambda x, mean: mean.square()), r"kl must give the shape \(B\) = \(4\), got \(4, 4\)"),
    "kl averaged over trials": ("prior", kl(lambda x, _: x.mean().expand_as(x)), "kl must give each trial what it gets alone"),
    "kl detached": ("prior", kl(lambda x, _: x.detach()), "kl must pass gradients on to mean, std"),
    "prior that generates another shape": ("prior", generate(lambda x: x.sum(-1)), r"generate must give the shape \(\*S\) = \(4, 4\), got \(4,\)"),
    "prior that generates from what all share": ("prior", generate(torch.rand_like), "but used torch's global generator"),
    "prior that draws another shape": (
        "prior",
        {"draw": lambda self, like, rng: {"normal": torch.empty(1, 1).normal_(generator=rng)}},
        r"draw must give the shape of the mean, \(4, 4\), got \(1, 1\) for 'normal'",
    ),
    "ratio per bin": ("prior", {"log_ratio": lambda self, mean, std, draw: mean}, r"log_ratio must give the shape \(B\) = \(4\), got \(4, 4\)"),
    "prior whose noise is nothing": ("prior", {"standardise": lambda self, draw: None}, "standardise must give a tensor, got None"),
    "prior whose numbers are tensors": (
        "prior",
        {"scalars": lambda self: {"tau": torch.ones(2)}},
        r"scalars must give a plain number for 'tau', got a tensor of shape \(2,\)",
    ),
    "prior whose numbers are none": ("prior", {"scalars": lambda self: {"tau": float("nan")}}, "scalars must give finite numbers, got nan for 'tau'"),
    "read-in that mixes trials": ("readin", read(RightReadin, lambda x, _: x - x.mean(0)), "the call must give each trial what it gets alone"),
    "read-in that mixes bins": ("readin", read(RightReadin, lambda x, _: x - x.mean(1, keepdim=True)), "the call must not mix bins"),
    "read-in that goes on from bin to bin": ("readin", read(RightReadin, lambda x, _: x.cumsum(1)), "the call must not mix bins"),
    "read-in with weights that nobody trains": (
        "readin",
        {
            "__init__": lambda self, channels: (RightReadin.__init__(self, channels), setattr(self, "own", [nn.Parameter(torch.ones(4))]))[0],
            "forward": lambda self, x: RightReadin.forward(self, x) * self.own[0],
        },
        "the call must hold what is to be trained as parameters",
    ),
    "read-in that freezes itself": (
        "readin",
        {"forward": lambda self, x: RightReadin.forward(self.requires_grad_(False), x)},
        "the call must leave the component's own parameters and buffers as they are",
    ),
    "read-in with dropout of torch's": ("readin", read(RightReadin, lambda x, _: nn.functional.dropout(x)), "but used torch's global generator"),
    "read-in that is normalised over the batch": (
        "readin",
        {
            "__init__": lambda self, channels: (RightReadin.__init__(self, channels), setattr(self, "norm", nn.BatchNorm1d(8)))[0],
            "forward": lambda self, x: self.norm(RightReadin.forward(self, x)),
        },
        "the call must leave the component's own parameters and buffers as they are",
    ),
    "read-in that switches gradients off": (
        "readin",
        read(RightReadin, lambda x, _: (torch.set_grad_enabled(False), x)[1]),
        "must leave what all of a process shares as it is, but changed torch.is_grad_enabled",
    ),
    "read-in that ends the process": ("readin", read(RightReadin, lambda *_: sys.exit(0)), r"failed in forward \(SystemExit: 0, at"),
    "read-in of another width": (
        "readin",
        read(RightReadin, lambda x, _: x[..., :3]),
        r"the call must give the shape \(\*B, Te, D\) = \(4, 8, 4\), got \(4, 8, 3\)",
    ),
    "read-in that is detached": ("readin", read(RightReadin, lambda x, _: x.detach()), "the call must pass gradients on to its parameters"),
    "read-in that changes its parameters": (
        "readin",
        {"forward": moves_itself},
        "the call must leave the component's own parameters and buffers as they are",
    ),
    "read-in without a width": (
        "readin",
        {"size": property(lambda self: None, lambda *_: None)},
        "build must give it a 'size', a whole number above 0, got None",
    ),
    "read-out of another width": (
        "readout",
        read(RightReadout, lambda x, _: x[..., :4]),
        r"the call must give the shape \(\*B, T, PN\) = \(4, 8, 5\), got \(4, 8, 4\)",
    ),
    "read-out that mixes bins": ("readout", read(RightReadout, lambda x, _: x.cumsum(1).flip(1)), "the call must not mix bins"),
    "read-out that begins with other parameters": (
        "readout",
        with_parameters(RightReadout, "bias", lambda params: nn.Parameter(params.T.reshape(-1).clone())),
        r"start_at or start_near must change parameters and buffers in place .* but 'bias' was none and is \(5,\)",
    ),
    "augmentation in place": ("augmentation", augment(in_place), "augment must leave 'batch' as it was, but changed it in place"),
    "augmentation that gives nothing": ("augmentation", augment(lambda *_: None), r"augment must give a batch .*, got None"),
    "augmentation of fewer bins": (
        "augmentation",
        augment(lambda b, _: dataclasses.replace(b, recon=b.recon[:, 1:])),
        r"augment recon must keep its shape \(4, 8, 5\)",
    ),
    "augmentation in float64": (
        "augmentation",
        augment(lambda b, _: dataclasses.replace(b, encod=b.encod.double())),
        "augment must give numbers of the type float32",
    ),
    "augmentation that draws in augment": (
        "augmentation",
        augment(lambda b, _: dataclasses.replace(b, encod=b.encod + torch.randn_like(b.encod))),
        "but used torch's global generator",
    ),
    "augmentation that throws masks away": (
        "augmentation",
        augment(lambda b, _: dataclasses.replace(b, masks={"keep": b.encod})),
        "augment masks must be named 'bad/...', got 'keep'",
    ),
    "augmentation of another name": ("augmentation", {"name": "other"}, "build must give it the 'name' it is registered under, 'bad', got 'other'"),
    "weights that lose the gradient": ("augmentation", {"weigh": lambda self, loss, batch: loss.detach()}, "weigh must pass gradients on to loss"),
    "weights that turn losses around": (
        "augmentation",
        {"weigh": lambda self, loss, batch: -loss},
        "weigh must count a value that costs more no less, but its slope is -1: training would seek what is worst",
    ),
    "augmentation by trial that is not": (
        "augmentation",
        {"by_trial": True, "augment": lambda self, batch, noise: dataclasses.replace(batch, encod=batch.encod - batch.encod.mean(0))},
        "augment must change each trial by itself, as its attribute by_trial says",
    ),
    "weights that add up": (
        "augmentation",
        {"weigh": lambda self, loss, batch: loss.sum()},
        r"weigh must give the shape \(B, T, N\) = \(4, 8, 5\), got \(\)",
    ),
    "measures that are plain": (
        "augmentation",
        {"measure": lambda self, loss, batch: {"share": 0.5}},
        "measure must give tensors of one number by name, got 0.5 for 'share'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_breaks_its_contract_is_named_before_the_first_step(case, train_tiny, capfd):
    kind, methods, text = BAD[case]
    with pytest.raises(LfadsError) as caught:
        trains(kind, BUILDS[kind](spoilt(kind, **methods)), train_tiny)
    message = str(caught.value)
    assert message.startswith(WHO.format(kind=kind)), message
    assert re.search(text, message), message
    assert "\n" not in message
    assert "epoch 1" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda *_: None, "build must give an instance of AbstractPrior, got None"),
        (lambda *_: RightPrior, "build must give an instance of AbstractPrior, got the class RightPrior itself"),
        (lambda *_: nn.Linear(2, 2), r"build must give an instance of AbstractPrior \(lfads_core.components\), got a torch.nn.modules.linear.Linear"),
        (lambda: RightPrior, r"failed in build \(TypeError: .* takes 0 positional arguments but 2 were given\)"),
        (lambda *_: AbstractPrior(), r"failed in build \(TypeError: Can't instantiate abstract class AbstractPrior"),
        (lambda *_: 1 // 0, r"failed in build \(ZeroDivisionError: .*, at test_train_misbehaving.py:\d+\)"),
        ("no_such_module:Prior", "No module named 'no_such_module'"),
    ],
)
def test_what_is_no_component_is_named_when_it_is_built(build, text, train_tiny):
    with pytest.raises(LfadsError, match=text) as caught:
        trains("prior", build, train_tiny)
    assert "'bad'" in str(caught.value)


def test_a_build_that_changes_its_settings_is_named(train_tiny):
    @attrs.define(kw_only=True)
    class Settings:
        width: float = setting(1.0, "width")

    def build(settings, _):
        settings.width = 9.0
        return RightPrior()

    @hookimpl
    def lfads_priors():
        return [PriorSpec(name="bad", summary="Misbehaves", config=Settings, build=build)]

    plugins = {"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "lab-bad": SimpleNamespace(lfads_priors=lfads_priors)}
    with pytest.raises(LfadsError, match=r"build must leave its settings as they are, for the run writes them down, but made .*9.0.* of .*1.0"):
        train_tiny("components.ic_prior=bad", registry=Registry.from_plugins(plugins))


def test_weights_from_the_generator_that_all_share_are_refused_and_those_that_are_overwritten_are_not(train_tiny):
    class Random(RightReadin):
        def __init__(self, channels):
            super().__init__(channels)
            self.weight = nn.Parameter(torch.rand(channels, 4))

    class Overwritten(Random):
        def __init__(self, channels):
            super().__init__(channels)
            nn.init.constant_(self.weight, 0.3)

    with pytest.raises(LfadsError, match="build must give the same each time, but draws from the random generator that all of a process shares"):
        trains("readin", BUILDS["readin"](Random), train_tiny)
    assert trains("readin", BUILDS["readin"](Overwritten), train_tiny).outcome == "epochs"


def test_what_prints_is_told_once_and_standard_output_stays_clean(train_tiny, caplog, capsys):
    def loud(self, encod):
        print("hello")
        return encod @ self.weight

    trains("readin", BUILDS["readin"](spoilt("readin", forward=loud)), train_tiny)
    told = [message for message in caplog.messages if "must not print" in message]
    how = "Its authors may use the module logging, which keeps the output of --json clean."
    assert told == [f"{WHO.format(kind='readin')}: the call must not print, got 'hello'. {how}"]


def test_a_prior_without_a_price_is_no_fault(train_tiny):
    assert trains("prior", BUILDS["prior"](spoilt("prior", **kl(lambda x, _: torch.zeros_like(x.detach())))), train_tiny).outcome == "epochs"


def test_a_cache_that_settles_is_no_fault(train_tiny):
    def cached(self, encod):
        if not hasattr(self, "table"):
            self.table = torch.arange(4.0)
        return encod @ self.weight + self.table

    assert trains("readin", BUILDS["readin"](spoilt("readin", forward=cached)), train_tiny).outcome == "epochs"


def test_an_interrupt_that_nobody_made_is_the_component_s(train_tiny):
    def nll(self, params, data):
        raise KeyboardInterrupt

    with pytest.raises(LfadsError, match=r"the reconstruction 'bad' failed in nll \(RuntimeError: a KeyboardInterrupt of its own") as caught:
        trains("reconstruction", BUILDS["reconstruction"](spoilt("reconstruction", nll=nll)), train_tiny)
    assert str(caught.value).startswith(WHO.format(kind="reconstruction"))


# Told, and not refused


def told_of(kind, cls, train_tiny, caplog, *more):
    assert trains(kind, BUILDS[kind](cls), train_tiny, *more).outcome == "epochs"
    return [message for message in caplog.messages if message.startswith(WHO.format(kind=kind))]


def test_a_parameter_that_nothing_trains_is_told_once(train_tiny, caplog):
    class Detached(RightReadin):
        def __init__(self, channels):
            super().__init__(channels)
            self.shift = nn.Parameter(torch.zeros(4))

        def forward(self, encod):
            return encod @ self.weight.detach() + self.shift

    who = WHO.format(kind="readin")
    said = told_of("readin", Detached, train_tiny, caplog)
    assert f"{who}: the loss must depend on all parameters, but not on weight, which nothing trains: detached, or not used." in said
    assert sum("nothing trains" in text for text in said) == 1


@pytest.mark.parametrize(
    ("kind", "methods", "law"),
    [
        ("reconstruction", {"sample": lambda self, params, rng: 3 * Poisson.sample(self, params, rng)}, "samples have the mean that is promised"),
        (
            "prior",
            {"sample": lambda self, mean, std, draw: mean + 2 * std * draw["normal"]},
            "a sample is location plus scale times standard noise",
        ),
        ("prior", {"log_ratio": lambda self, mean, std, draw: self.kl(mean, std, draw) - 5}, "the ratio of densities"),
        ("prior", {"kl": lambda self, mean, std, draw: mean.square().flatten(1).sum(1)}, "the divergence counts the posterior's entropy"),
    ],
)
def test_a_law_that_no_batch_shows_is_told_when_a_run_begins(kind, methods, law, train_tiny, caplog):
    said = told_of(kind, spoilt(kind, **methods), train_tiny, caplog)
    assert len(said) == 1
    assert f"'bad' breaks a law of its kind, '{law}" in said[0]
    assert said[0].endswith(" `lfads plugins check bad` tells more.")


@pytest.mark.parametrize("kind", RIGHT)
def test_nothing_is_told_of_what_keeps_the_laws(kind, train_tiny, caplog):
    assert told_of(kind, RIGHT[kind], train_tiny, caplog) == []


# Later than the first batch


def test_what_goes_wrong_in_a_later_epoch_is_seen_when_it_is_tried_again(train_tiny):
    epochs = itertools.count()

    class Later(RightAugmentation):
        def draw(self, batch, rng):
            next(epochs)
            return super().draw(batch, rng)

        def augment(self, batch, noise):
            if next(epochs) > LATE:
                batch.encod.zero_()
            return super().augment(batch, noise)

    with pytest.raises(LfadsError, match="augment must leave 'batch' as it was, but changed it in place"):
        trains("augmentation", BUILDS["augmentation"](Later), train_tiny, "train.epochs=40")


def after(calls, change):
    """An nll that changes after so many calls: what no trial can see."""
    count = itertools.count()
    return {"nll": lambda self, p, d: (change if next(count) > calls else lambda x: x)(Poisson.nll(self, p, d))}


LATE = 85  # calls, with those of trials: between two of these


def trains_until_late(change, train_tiny):
    return trains("reconstruction", lambda *_: spoilt("reconstruction", **after(LATE, change))(), train_tiny, "train.epochs=20")


def test_a_gradient_that_is_not_finite_names_the_component_and_not_a_parameter_s_place(train_tiny, caplog):
    with pytest.raises(LfadsError) as caught:
        train_tiny(
            "train.epochs=20",
            "components.reconstruction=bad",
            registry=registry_of("reconstruction", lambda *_: spoilt("reconstruction", **after(LATE, Nan.apply))()),
        )
    assert re.search(
        r"epoch \d+: the gradient must be finite, got nan from '.*'\. It comes from lab-bad 0 \(entry point 'lab-bad'\): "
        r"the reconstruction 'bad': nll, which has gradients that are not finite\.",
        str(caught.value),
    )


def test_a_loss_that_is_not_finite_names_the_component(train_tiny):
    with pytest.raises(LfadsError, match=r"the (loss|validation) term 'recon' must be finite, got nan\.") as caught:
        train_tiny(
            "train.epochs=20",
            "components.reconstruction=bad",
            registry=registry_of("reconstruction", lambda *_: spoilt("reconstruction", **after(LATE, lambda x: x * torch.nan))()),
        )
    assert "It comes from lab-bad 0 (entry point 'lab-bad'): the reconstruction 'bad': nll, which gives numbers that are not finite." in str(
        caught.value
    )


def test_weights_that_a_training_has_driven_away_are_divergence_and_no_fault_of_a_component(make_trainer):
    def ends(epoch):
        trainer = make_trainer(f"from-{epoch}")
        trainer.progress.epoch = epoch
        with torch.no_grad():
            for part in trainer.model.readouts.values():
                for value in part.parameters():
                    value.fill_(3e38)
        return step_together({0: trainer}, {0: next(trainer.remaining())})[0]

    first, later = ends(0), ends(1)
    assert isinstance(first, PluginError)
    assert isinstance(later, NumericsError)
    assert re.match(
        r"epoch 1: with the weights as they are trained so far, .*: the call must give finite numbers, got inf in \d+ of 160\. ", str(later)
    )


@pytest.mark.parametrize("change", [lambda x: x / (1 // 0), Raising.apply], ids=["there", "back"])
def test_what_raises_later_is_named_too(change, train_tiny):
    with pytest.raises(LfadsError, match=r"the reconstruction 'bad' failed in .*ZeroDivisionError: .*, at test_train_misbehaving.py:\d+\)"):
        train_tiny(
            "train.epochs=20",
            "components.reconstruction=bad",
            registry=registry_of("reconstruction", lambda *_: spoilt("reconstruction", **after(LATE, change))()),
        )


# Encoders and generators, which a population shares


def training_with(kind, cls, record, build, train_tiny):
    @hookimpl
    def hook():
        return [record(name="bad", summary="Misbehaves", config=NoSettings, build=build)]

    own = Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "lab-bad": SimpleNamespace(**{f"lfads_{kind}s": hook})})
    return train_tiny("train.epochs=1", f"components.{kind}=bad", registry=own)


class Dynamics(AbstractGenerator):
    """A linear map."""

    def __init__(self, info):
        super().__init__()
        self.own = nn.Parameter(torch.eye(info.size) * 0.9)
        self.given = nn.Parameter(torch.zeros(info.inputs, info.size))

    def step(self, state, inputs):
        return state @ self.own + inputs @ self.given


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda new, _: new, None),
        (lambda new, _: new[..., :3], r"step must give the shape \(\*B, G\) = \(4, 8\), got \(4, 3\)"),
        (lambda new, _: new - new.mean(0), "step must give each trial what it gets alone"),
        (lambda new, _: new.detach(), "step must pass gradients on to state"),
        (lambda new, state: new + 0 * state.mul_(1.01), "step must leave 'state' as it was"),
        (lambda new, _: new + 0 * torch.rand(()), "but used torch's global generator"),
    ],
)
def test_dynamics_that_break_their_contract_are_named(change, text, train_tiny):
    cls = type("Bad", (Dynamics,), {"step": lambda self, state, inputs: change(Dynamics.step(self, state, inputs), state)})
    if text is None:
        assert training_with("generator", cls, GeneratorSpec, lambda _, info: cls(info), train_tiny).outcome == "epochs"
        return
    with pytest.raises(LfadsError, match=text) as caught:
        training_with("generator", cls, GeneratorSpec, lambda _, info: cls(info), train_tiny)
    assert str(caught.value).startswith(WHO.format(kind="generator"))


@pytest.mark.wrong_types
def test_an_encoder_of_another_shape_is_named(train_tiny):
    class Bad(AbstractEncoder):
        directions = 1

        def __init__(self, info):
            super().__init__()
            self.size = info.hidden
            self.weight = nn.Parameter(torch.zeros(info.width, info.hidden))

        def forward(self, x):
            return (x @ self.weight).cumsum(-2)

    with pytest.raises(LfadsError, match="must give the shape") as caught:
        training_with("encoder", Bad, EncoderSpec, lambda _, info: Bad(info), train_tiny)
    assert str(caught.value).startswith(WHO.format(kind="encoder"))
