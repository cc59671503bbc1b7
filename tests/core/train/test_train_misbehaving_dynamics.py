# ruff: noqa: ARG005 - a spoilt method has the arguments of a sound one
"""Encoders and generators that break their contract: each is named with its package, before the first step."""

from __future__ import annotations

import dataclasses
import itertools
import sys

import pytest
import torch
from torch import nn

from lfads_core.components import GRUWeights
from model_parts import RIGHT, RightEncoder, RightGenerator, refused, spoilt, trains, with_attributes


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "more"),
    [*((kind, ()) for kind in RIGHT), ("encoder", ("model.controller.causal=true",)), ("generator", ("model.controller=null",))],
)
def test_what_keeps_its_contract_trains(kind, more, train_tiny):
    assert trains(kind, RIGHT[kind], train_tiny, *more).outcome == "epochs"


class LoopOfItsOwn(RightGenerator):
    """Its loop is called as the contract declares it, with ``clip`` by name alone."""

    def run(self, inputs, state, *, clip):
        return super().run(inputs, state, clip=clip)


def test_a_loop_of_ones_own_that_gives_what_its_steps_give_trains(train_tiny):
    assert trains("generator", LoopOfItsOwn, train_tiny, "model.controller=null").outcome == "epochs"


# What is wrong


CALLS = itertools.count()
WITHOUT_CONTROLLER, CAUSAL = "model.controller=null", "model.controller.causal=true"


def states(change):
    return {"forward": lambda self, x: change(RightEncoder.forward(self, x), x, self)}


def moved(change):
    return {"step": lambda self, state, inputs: change(RightGenerator.step(self, state, inputs))}


def remembered(found, _x, self):
    self.last = found.detach() + getattr(self, "last", 0)
    return found


def another_loop(change):
    return {"run": lambda self, inputs, state, *, clip: change(RightGenerator.run(self, inputs, state, clip=clip))}


def endless(self, x):
    return self.forward(x)


BAD = {
    "states without directions": (
        "encoder",
        states(lambda h, *_: h[0]),
        r"the call must give the shape \(W, \*B, T, C\) = \(2, 4, 8, 6\), got \(4, 8, 6\)",
    ),
    "states of nothing": ("encoder", states(lambda *_: None), "the call must give a tensor, got None"),
    "states in numpy": ("encoder", states(lambda h, *_: h.detach().numpy()), "the call must give a tensor, got a numpy.ndarray"),
    "states of another width": ("encoder", states(lambda h, *_: h[..., 1:]), r"= \(2, 4, 8, 6\), got \(2, 4, 8, 5\)"),
    "a width that is none": ("encoder", with_attributes("encoder", size=None), "build must give it a 'size', a whole number above 0, got None"),
    "a width that is another": ("encoder", with_attributes("encoder", size=3), r"= \(2, 4, 8, 3\), got \(2, 4, 8, 6\)"),
    "three directions": (
        "encoder",
        with_attributes("encoder", directions=3),
        "build must give it 'directions', 2, or 1 if it reads forwards alone, got 3",
    ),
    "states that know later bins": (
        "encoder",
        states(lambda h, *_: h + h.mean(-2, keepdim=True)),
        "must give states of bins that have been read, but a direction knows a later one",
    ),
    "a second direction that reads forwards": (
        "encoder",
        {"forward": lambda self, x: torch.stack([torch.tanh(x @ kernel.T) for kernel in self.weight])},
        "but the second direction, which begins with the last bin, knows a later one",
    ),
    "states that mix trials": ("encoder", states(lambda h, *_: h - h.mean(1, keepdim=True)), "must give each trial what it gets alone"),
    "states that are NaN": ("encoder", states(lambda h, *_: h * torch.nan), "the call must give finite numbers, got nan in 384 of 384"),
    "states without gradient": ("encoder", states(lambda h, *_: h.detach()), "the call must pass gradients on to its parameters"),
    "states in float64": ("encoder", states(lambda h, *_: h.double()), "numbers of the type float32, as its arguments are, got float64"),
    "an encoder with dropout of torch's": ("encoder", states(lambda h, *_: nn.functional.dropout(h)), "but used torch's global generator"),
    "an encoder that remembers": ("encoder", states(remembered), "the call must keep nothing between calls"),
    "an encoder that changes the data": (
        "encoder",
        {"forward": lambda self, x: RightEncoder.forward(self, x.clamp_(max=0.1))},
        "the call must leave 'x' as it was, but changed it in place",
    ),
    "an encoder that cannot be vectorised": (
        "encoder",
        states(lambda h, x, _: h * (1 if x.sum().item() > 0 else 2)),
        r"failed in .*vmap.*\.item\(\)",
    ),
    "an encoder that ends the process": (
        "encoder",
        states(lambda *_: sys.exit(0)),
        r"failed in forward \(SystemExit: 0, at test_train_misbehaving_dynamics.py",
    ),
    "an encoder without end": ("encoder", {"forward": endless}, r"failed in forward \(RecursionError"),
    "a summary of another width": (
        "encoder",
        {"summary": lambda self, x: x.mean(-2)},
        r"summary must give the shape \(\*B, K\) = \(4, 12\), got \(4, 5\)",
    ),
    "a summary that is none": ("encoder", {"summary": lambda self, x: None}, "summary must give a tensor, got None"),
    "an encoder that is not causal when it must be": (
        "encoder",
        {"__init__": lambda self, info: RightEncoder.__init__(self, dataclasses.replace(info, causal=False))},
        "build must give one that reads forwards alone when info.causal is true, with directions 1, got 2",
        CAUSAL,
    ),
    "an encoder that is another one once it is loaded": (
        "encoder",
        states(lambda h, _, self: h if self.training else h / 2),
        "the call must give the same in eval mode, in which a trained model is loaded",
    ),
    "a stream that hears something else": (
        "encoder",
        {"listen": lambda self, x, memory: (torch.zeros(len(x), self.size), memory)},
        "the call must give the states that listen gives bin by bin, got others",
        CAUSAL,
    ),
    "an encoder that cannot take loops": ("encoder", {"use": lambda self, loops: 1 // 0}, r"failed in use \(ZeroDivisionError"),
    "matrices that are none": ("encoder", {"kernels": lambda self: None}, "kernels must give a list of tensors, got None"),
    "matrices that come one by one": (
        "encoder",
        {"kernels": lambda self: (kernel for kernel in self.weight)},
        "kernels must give a list of tensors, got a builtins.generator",
    ),
    "matrices that are numbers": ("generator", {"kernels": lambda self: [3.0]}, "kernels must give a list of tensors, got 3.0 in it"),
    "a state of another width": (
        "generator",
        moved(lambda g: torch.cat([g, g], -1)),
        r"step must give the shape \(\*B, G\) = \(4, 8\), got \(4, 16\)",
    ),
    "a state that is none": ("generator", moved(lambda _: None), "step must give a tensor, got None"),
    "a state that is changed in place": (
        "generator",
        {"step": lambda self, state, inputs: state.mul_(0.9) + inputs @ self.drive.T},
        "step must leave 'state' as it was, but changed it in place",
    ),
    "a step that mixes trials": ("generator", moved(lambda g: g - g.mean(0, keepdim=True)), "step must give each trial what it gets alone"),
    "a step that counts": (
        "generator",
        moved(lambda g: g * (1 + 0.01 * next(CALLS))),
        "step must give the same when it is called twice with the same",
    ),
    "a step without gradient": (
        "generator",
        moved(lambda g: g.detach()),
        "step must pass gradients on to state, inputs, but what it gives carries none",
    ),
    "a start of another width": (
        "generator",
        {"start": lambda self, first: first[..., :3]},
        r"start must give the shape \(\*B, G\) = \(4, 8\), got \(4, 3\)",
    ),
    "a start at infinity": ("generator", {"start": lambda self, first: first / 0}, "start must give finite numbers, got -?inf in 32 of 32"),
    "a loop that is another": (
        "generator",
        another_loop(lambda g: 2 * g),
        "run must give what its steps give, each bounded by clip",
        WITHOUT_CONTROLLER,
    ),
    "a loop that gives nothing": ("generator", another_loop(lambda _: None), "run must give a tensor, got None", WITHOUT_CONTROLLER),
    "weights of a GRU that are none": ("generator", {"gru": lambda self: 42}, "gru must give GRUWeights, or None, got 42"),
    "weights of a GRU of other shapes": (
        "generator",
        {"gru": lambda self: GRUWeights(input=torch.zeros(8, 2), recurrent=torch.zeros(8, 8), bias=torch.zeros(8))},
        r"gru must give the shapes \(3H, I\), \(3H, H\) and \(3H\) of input, recurrent and bias, got \(8, 2\), \(8, 8\), \(8,\)",
    ),
    "weights of another GRU": (
        "generator",
        {"gru": lambda self: GRUWeights(input=torch.zeros(24, 2), recurrent=torch.zeros(24, 8), bias=torch.zeros(24))},
        "gru must give None unless a step is that of core's GRU with these weights, but it is another",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", BAD)
def test_what_breaks_its_contract_is_named_before_the_first_step(case, train_tiny, capfd):
    kind, bad, text, *more = BAD[case]
    refused(kind, bad if isinstance(bad, type) else spoilt(kind, **bad), text, train_tiny, *more)
    assert "epoch 1" not in capfd.readouterr().out
