"""Contract of an encoder: what it makes of a trial as it was read in, bin by bin."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderInfo:
    """What an encoder is built for: once for the initial condition and, with a controller, once more for what the controller hears."""

    width: int  # D, of what it reads in each bin
    hidden: int  # C that the settings ask for: model.encoder.hidden, model.controller.encoder_hidden
    causal: bool  # whether it must read forwards alone
    rng: torch.Generator  # of the first weights
    clip: float = 5.0  # bound on recurrent states, model.cell_clip
    scale: float = 1.0  # factor on the first weights of cells, model.weight_scale


class AbstractEncoder(nn.Module, abc.ABC):
    """Reads trials in one direction or in two, for ONE model; the framework does members of a population.

    Must provide ``forward`` and the attributes ``size`` and ``directions``. What it knows in a bin may depend on this bin and those it has
    read before, and on nothing else. Must not use chance after it is built, nor keep anything between calls.
    """

    size: int
    """C, the width of a direction's states."""
    directions: int
    """W, which is 2, or 1 for an encoder that reads forwards alone, as it must when it is built for ``causal``."""
    population: ClassVar[bool] = False
    """Whether weights and data may carry a leading axis M (:func:`lfads_core.recurrence.reference.affine`); otherwise it is vectorised."""

    @abc.abstractmethod
    def forward(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "W *B T C"]:
        """States of each direction, in the order in which it reads: the first from the first bin on, the second from the last bin on."""

    @property
    def features(self) -> int:
        """K, the width of a summary."""
        return self.directions * self.size

    def summary(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "*B K"]:
        """What the posterior over the initial condition is a linear function of: each direction's state in the last bin it reads."""
        return torch.cat(self(x)[..., -1, :].unbind(0), dim=-1)

    def listen(self, x: Float[Tensor, "B D"], memory: Any) -> tuple[Float[Tensor, "B C"], Any]:
        """The forward direction's state in the next bin of trials that are streamed, and what to remember; a trial begins with None.

        By default everything is read anew in each bin.
        """
        bins = x.unsqueeze(1) if memory is None else torch.cat([memory, x.unsqueeze(1)], dim=1)
        return self(bins)[0, :, -1], bins

    def kernels(self) -> Sequence[Tensor]:
        """Matrices that the L2 term counts."""
        return ()

    def use(self, loops: Any) -> None:
        """Hear which loops over time were chosen for the device, a :class:`lfads_core.recurrence.choose.Recurrence`."""
