"""Copying a fixture's weights into our model, and our gradients and weights back under the fixture's names."""

from __future__ import annotations

import numpy as np
import torch

from lfads_core.model.lfads import LFADS
from parity.fixture import Fixture, tensor
from parity.report import Report
from parity.translate import our_name


def load_weights(model: LFADS, fixture: Fixture, report: Report) -> None:
    """Copy every weight; records those that find no place, and our parameters that get none."""
    parameters = dict(model.named_parameters())
    filled = set()
    for name, value in fixture.group("weights").items():
        target = parameters.get(our_name(name))
        if target is not None and target.numel() == value.size:
            with torch.no_grad():
                target.copy_(tensor(value).reshape(target.shape))
            filled.add(our_name(name))
        elif name.endswith("bias_hh"):
            report.require(f"weights/{name}", not np.any(value), note="we have no second bias: it must be 0")
        elif value.size:
            report.require(f"weights/{name}", False, note=f"finds no place in our model as {our_name(name)}")
    for name in sorted(parameters.keys() - filled):
        report.require(f"our parameter {name}", False, note="the file has no weights for it")


def weight_of(model: LFADS, name: str, like: np.ndarray) -> np.ndarray | None:
    """Our value of the parameter that the fixture calls ``name``, in its shape; zeros for what we do not have because it is 0 or empty."""
    parameter = dict(model.named_parameters()).get(our_name(name))
    if parameter is None:
        return np.zeros_like(like) if name.endswith("bias_hh") or not like.size else None
    return parameter.detach().numpy().reshape(like.shape) if parameter.numel() == like.size else parameter.detach().numpy()


def compare_gradients(model: LFADS, fixture: Fixture, report: Report, note: str) -> None:
    """Compare d total / d parameter, and that nothing else has a gradient."""
    parameters = dict(model.named_parameters())
    frozen, unreached = (list(fixture.attributes.get(key, [])) for key in ("frozen_params", "params_without_grad"))
    grads = fixture.group("grads")
    for name, expected in grads.items():
        parameter = parameters.get(our_name(name))
        if parameter is None:
            report.compare(f"grads/{name}", expected, None if expected.size else np.zeros_like(expected), note=note)
            continue
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        report.compare(f"grads/{name}", expected, grad.reshape(expected.shape) if grad.numel() == expected.size else grad, note=note)
        report.require(f"trainable/{name}", parameter.requires_grad and name not in frozen)
    for name in frozen:
        parameter = parameters.get(our_name(name))
        report.require(f"frozen_params/{name}", parameter is None or not parameter.requires_grad)
        report.require(f"frozen_params/{name} is in the file", f"weights/{name}" in fixture.arrays)
    for name in unreached:
        parameter = parameters.get(our_name(name))
        untouched = parameter is None or parameter.grad is None or not bool(parameter.grad.any())
        report.require(f"params_without_grad/{name}", untouched and name not in frozen)
    listed = {our_name(name) for name in (*grads, *frozen, *unreached)}
    for name, parameter in parameters.items():
        if name not in listed:
            report.require(f"our parameter {name}", not parameter.requires_grad, note="we train it, the file does not")
