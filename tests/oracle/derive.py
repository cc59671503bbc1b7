"""Derivatives of the oracle by complex steps, and averages over posterior samples."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from oracle.arrays import Array
from oracle.case import Case
from oracle.lfads_numpy import forward, run

STEP = 1e-30


def moved(weight: Array, chunk: int) -> Iterator[tuple[slice, Array]]:
    """Copies of ``weight``, a chunk at a time, each with one entry moved by STEP along the imaginary axis."""
    for start in range(0, weight.size, chunk):
        which = slice(start, min(start + chunk, weight.size))
        steps = np.zeros((which.stop - start, weight.size))
        steps[np.arange(which.stop - start), np.arange(start, which.stop)] = STEP
        yield which, weight + 1j * steps.reshape(-1, *weight.shape)


def gradient(function: Callable[[Array], Array], at: Array, chunk: int = 128) -> Array:
    """Derivative of ``function``, which maps (K, *shape) to (K,), at the array ``at`` (shape): exact to rounding."""
    flat = np.zeros(at.size)
    for which, copies in moved(at, chunk):
        value = function(copies)
        if np.iscomplexobj(value):  # else it does not depend on ``at``
            flat[which] = value.imag / STEP
    return flat.reshape(at.shape)


def gradients(case: Case, names: list[str]) -> dict[str, Array]:
    """d total / d weight for each name."""

    def total(name: str) -> Callable[[Array], Array]:
        return lambda copies: run(replace(case, weights={**case.weights, name: copies})).loss["total"]

    return {name: gradient(total(name), case.weights[name]) for name in names}


def posterior_average(case: Case, draws: int) -> dict[str, Array]:
    """Mean of every output over given draws (noise leads with the draw). ``output_params`` are means here: the average of rates."""
    runs = []
    for i in range(draws):
        one = replace(case, noise={name: v[i] for name, v in case.noise.items()}, sample_posteriors=True)
        runs.append(forward(one).outputs)
    averages = {name: sum(r[name] for r in runs) / draws for name in runs[0] if name != "output_params"}
    averages["output_params"] = averages.pop("output_means")
    return averages
