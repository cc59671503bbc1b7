"""Decoder: from an initial condition, through generator and controller, to factors.

Trials and weights may carry a leading population axis M, which every operation leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractGenerator, GeneratorInfo
from lfads_core.config.schema import ModelConfig
from lfads_core.model.generator import control_stepwise, first_state, run_given
from lfads_core.model.layers import Affine, GRUParameters, UnitRows, drop
from lfads_core.model.noise import DropoutMasks
from lfads_core.recurrence.choose import Recurrence
from lfads_core.recurrence.reference import affine
from lfads_core.recurrence.weights import ControlWeights, DecoderDrive, DecoderPath, DecoderStart, DecoderWeights


class Controller(nn.Module):
    """The controller GRU and its map to the posterior over inferred inputs."""

    def __init__(self, inputs: int, hidden: int, inferred: int, rng: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.zeros(hidden))
        self.gru = GRUParameters(inputs, hidden, rng, joint_scale=False, scales=(scale, scale))
        self.posterior = Affine(hidden, 2 * inferred, rng)


@dataclass(frozen=True, kw_only=True, eq=False)
class Unrolled:
    """The generator's path; ``path`` is None when no controller was in the loop."""

    gen_init: Float[Tensor, "*B G"]
    gen_states: Float[Tensor, "*B T G"]
    gen_inputs: Float[Tensor, "*B T UE"]
    factors: Float[Tensor, "*B T F"]
    path: DecoderPath | None


@dataclass(frozen=True, kw_only=True)
class DecoderInputs:
    """Widths of what reaches the decoder in each bin."""

    external: int  # E, of the generator's inputs that are given, latents among them
    initial: int  # of latents beside the initial condition
    heard: int  # of all that the controller hears; 0 without one


class Decoder(nn.Module):
    """Generator, factors and, unless the dynamics are autonomous, the controller."""

    def __init__(self, config: ModelConfig, build: Callable[[GeneratorInfo], AbstractGenerator], inputs: DecoderInputs, rng: torch.Generator) -> None:
        super().__init__()
        size, control = config.generator, config.controller
        self.clip = config.cell_clip
        inferred = 0 if control is None else control.inputs
        self.to_generator = Affine(size.ic_size + inputs.initial, size.hidden, rng)
        self.generator = build(
            GeneratorInfo(
                inputs=inferred + inputs.external,
                size=size.hidden,
                rng=rng,
                clip=config.cell_clip,
                input_scale=size.input_scale,
                recurrent_scale=size.recurrent_scale,
            )
        )
        self.factors = UnitRows(size.hidden, size.factors, rng)
        self.feedback = "none" if control is None else control.feedback
        self.controller = None if control is None else Controller(inputs.heard, control.hidden, control.inputs, rng, config.weight_scale)

    def forward(
        self,
        ic: Float[Tensor, "*B I"],
        ci: Float[Tensor, "*B T C2"] | None,
        external: Float[Tensor, "*B T E"],
        noise: Float[Tensor, "*B T U"] | None,
        loops: Recurrence,
        masks: DropoutMasks | None,
        rates: Callable[[Tensor], Tensor] | None = None,
    ) -> Unrolled:
        """Unroll with inputs inferred by the controller, if there is one: ``ci`` is None without.

        ``rates`` turns factors of one bin into what a controller hears that is fed rates back.
        """
        if self.controller is None or ci is None:
            return self.unroll(ic, external, loops, masks)
        if self.feedback == "none":
            return self._open_loop(self.controller, ic, ci, external, noise, loops, masks)
        external, gen_init, state_mask = self._start(ic, external, masks)
        con, rows = self.controller, self.factors.rows()
        first_factors = affine(drop(gen_init, None if masks is None else masks.gen_init), rows)
        start = DecoderStart(generator=gen_init, factors=first_factors, controller=con.h0.unsqueeze(-2).expand(*ic.shape[:-1], -1))
        con_mask = None if masks is None else masks.con_input
        drive = DecoderDrive(ci=ci, external=external, noise=noise, con_mask=con_mask, state_mask=state_mask)
        weights = ControlWeights(controller=con.gru.weights(), posterior=con.posterior.weight, posterior_bias=con.posterior.bias, factors=rows)
        path = self._controlled(weights, start, drive, loops, rates)
        gen_inputs = torch.cat([path.inputs, external], dim=-1) if external.shape[-1] else path.inputs
        return Unrolled(gen_init=gen_init, gen_states=path.states, gen_inputs=gen_inputs, factors=path.factors, path=path)

    def _controlled(
        self, weights: ControlWeights, start: DecoderStart, drive: DecoderDrive, loops: Recurrence, rates: Callable[[Tensor], Tensor] | None
    ) -> DecoderPath:
        """The closed loop: the device's, if it knows the generator and factors are what is fed back, else bin by bin."""
        gru = self.generator.gru()
        if gru is None or rates is not None:
            return control_stepwise(self.generator, start, drive, weights, clip=self.clip, rates=rates)
        return loops.controlled(start, drive, DecoderWeights(**vars(weights), generator=gru), clip=self.clip)

    def _open_loop(
        self,
        con: Controller,
        ic: Tensor,
        ci: Tensor,
        external: Tensor,
        noise: Tensor | None,
        loops: Recurrence,
        masks: DropoutMasks | None,
    ) -> Unrolled:
        """A controller that hears nothing of the generator: its path comes first, then the generator's with all inputs given."""
        heard = ci if masks is None or masks.con_input is None else ci * masks.con_input
        states = loops.gru(heard, con.h0.unsqueeze(-2).expand(*ic.shape[:-1], -1), con.gru.weights(), clip=self.clip)
        mean, log_var = con.posterior(states).chunk(2, dim=-1)
        std = torch.exp(log_var / 2)
        inputs = mean if noise is None else mean + std * noise
        external, gen_init, state_mask = self._start(ic, external, masks)
        gen_inputs = torch.cat([inputs, external], dim=-1)
        gen_states, factors = self._run(gen_inputs, gen_init, loops, state_mask)
        path = DecoderPath(states=gen_states, factors=factors, con_states=states, input_mean=mean, input_std=std, inputs=inputs)
        return Unrolled(gen_init=gen_init, gen_states=gen_states, gen_inputs=gen_inputs, factors=factors, path=path)

    def unroll(self, ic: Float[Tensor, "*B I"], inputs: Float[Tensor, "*B T UE"], loops: Recurrence, masks: DropoutMasks | None = None) -> Unrolled:
        """Unroll with all generator inputs given: autonomous dynamics, or inputs drawn from their prior."""
        inputs, gen_init, state_mask = self._start(ic, inputs, masks)
        states, factors = self._run(inputs, gen_init, loops, state_mask)
        return Unrolled(gen_init=gen_init, gen_states=states, gen_inputs=inputs, factors=factors, path=None)

    def _run(self, inputs: Tensor, gen_init: Tensor, loops: Recurrence, state_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """States and factors of the generator under given inputs."""
        gru, rows = self.generator.gru(), self.factors.rows()
        if gru is not None:
            return loops.driven(inputs, gen_init, gru, rows, clip=self.clip, mask=state_mask)
        states = run_given(self.generator, inputs, gen_init, clip=self.clip)
        return states, affine(drop(states, state_mask), rows)

    def _start(self, ic: Tensor, external: Tensor, masks: DropoutMasks | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """External input after dropout, the first generator state, the state mask."""
        gen_init = first_state(self.generator, self.to_generator(ic))
        return drop(external, None if masks is None else masks.external), gen_init, None if masks is None else masks.gen_state
