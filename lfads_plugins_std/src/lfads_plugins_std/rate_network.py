"""A network of rate units, the source of several synthetic data sets.

    x(t+1) = x(t) + dt / tau (-x(t) + g W r(t) + B u(t) + b),   r = tanh(x)          W_ij ~ N(0, 1 / N)

For g > 1 and large N the network without input is chaotic (Sompolinsky, Crisanti & Sommers 1988, doi:10.1103/PhysRevLett.61.259). A unit
fires at (r + 1) / 2 of the largest rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """Weights; ``recurrent`` holds g W."""

    recurrent: Float[np.ndarray, "N N"]
    into: Float[np.ndarray, "N U"]  # B
    bias: Float[np.ndarray, " N"]  # b
    pace: float  # dt / tau

    @property
    def units(self) -> int:
        """Number of units N."""
        return len(self.bias)


def random_network(units: int, g: float, pace: float, rng: np.random.Generator, inputs: int = 1) -> Network:
    """Draw a network: recurrent weights of standard deviation g / sqrt(N), input weights standard normal, no bias."""
    return Network(
        recurrent=g * rng.normal(size=(units, units)) / np.sqrt(units), into=rng.normal(size=(units, inputs)), bias=np.zeros(units), pace=pace
    )


def run_network(network: Network, start: Float[np.ndarray, "K N"], inputs: Float[np.ndarray, "K T U"]) -> Float[np.ndarray, "K T N"]:
    """Activity r in every bin, from the start state on: the first bin is the state after one step."""
    state, activity = start, np.empty((*inputs.shape[:2], network.units))
    for t in range(inputs.shape[1]):
        drive = np.tanh(state) @ network.recurrent.T + inputs[:, t] @ network.into.T + network.bias
        state = state + network.pace * (drive - state)
        activity[:, t] = np.tanh(state)
    return activity
