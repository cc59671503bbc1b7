"""The eager baseline: the model as one writes it first in PyTorch, a cell called bin by bin under autograd.

The same mathematics as the model proper, on its own parameters; nothing is hoisted out of the loops, dropout masks are drawn where
they are used, and every bin is sliced out of the whole sequence. Only ``lfads bench`` uses it, as a yardstick.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import dropout, linear

from lfads_core.components import AbstractEncoder, GRUWeights
from lfads_core.components.batch import Batch
from lfads_core.components.prior import Draw
from lfads_core.model.gru import BidirectionalGRU
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import Latents, ModelOutput, Posterior


def naive_pass(model: LFADS, batches: Mapping[str, Batch], rng: torch.Generator, rate: float, *, sample: bool = True) -> tuple[ModelOutput, Noise]:
    """Encode, decode and read out all sessions' trials; the noise that comes back is that of the divergences."""
    x, external = model.gather(batches)
    trials, segment, clip = x.shape[0], model.config.encoder.ic_bins or 0, model.config.cell_clip
    x = dropout(x, rate)
    ahead, back = _both_ways(model.encoder.part, x[:, :segment] if segment else x, clip)
    final = dropout(torch.cat([ahead[:, -1], back[:, 0]], dim=-1), rate)
    mean, log_var = model.encoder.posterior(final).chunk(2, dim=-1)
    ic = Posterior(mean=mean, std=torch.sqrt(torch.exp(log_var) + model.encoder.min_variance))
    noise = model.draw_noise(trials, rng, sample=sample, dropout=False)
    start = model.ic_prior.sample(ic.mean, ic.std, noise.ic) if noise.ic is not None else ic.mean
    ci = None
    if model.input_encoder is not None:
        ahead, back = _both_ways(model.input_encoder.part, x[:, segment:], clip)
        lag, seen = model.input_encoder.lag, x.shape[1] - segment
        ahead = torch.nn.functional.pad(ahead, (0, 0, lag, 0))[:, :seen]
        back = torch.nn.functional.pad(back, (0, 0, 0, lag))[:, lag:]
        ci = torch.nn.functional.pad(torch.cat([ahead, back], dim=-1), (0, 0, segment, model.sizes.bins - segment - seen))
    latents = _decode(model, start, ic, ci, external, noise.inputs, rate)
    rows, params, first = {}, {}, 0
    for name, batch in batches.items():
        rows[name] = slice(first, first + batch.encod.shape[0])
        first = rows[name].stop
        params[name] = model.read_out(name, latents.factors[rows[name]])
    return ModelOutput(latents=latents, params=params, rows=rows), noise


def _cell(gru: GRUWeights, x: Tensor, h: Tensor, clip: float) -> Tensor:
    """A GRU cell called with one bin's input."""
    hidden = h.shape[-1]
    from_input = linear(x, gru.input, gru.bias)
    gates = torch.sigmoid(from_input[:, : 2 * hidden] + linear(h, gru.recurrent[: 2 * hidden]))
    z, r = gates.chunk(2, dim=-1)
    n = torch.tanh(from_input[:, 2 * hidden :] + linear(r * h, gru.recurrent[2 * hidden :]))
    return (z * h + (1 - z) * n).clamp(-clip, clip)


def _both_ways(gru: AbstractEncoder, x: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """States of both directions, in the order of the input."""
    if not isinstance(gru, BidirectionalGRU):
        raise TypeError(f"the baseline is of GRUs in both directions, got {type(gru).__name__}")
    one, other = gru.forward_gru.weights(), gru.backward_gru.weights()
    bins = x.shape[1]
    ahead: list[Tensor] = []
    back: list[Tensor] = []
    h = gru.h0[0].expand(x.shape[0], -1)
    for t in range(bins):
        h = _cell(one, x[:, t], h, clip)
        ahead.append(h)
    h = gru.h0[1].expand(x.shape[0], -1)
    for t in reversed(range(bins)):
        h = _cell(other, x[:, t], h, clip)
        back.append(h)
    return torch.stack(ahead, dim=1), torch.stack(back[::-1], dim=1)


def _decode(model: LFADS, start: Tensor, ic: Posterior, ci: Tensor | None, external: Tensor, draw: Draw | None, rate: float) -> Latents:
    decoder, clip, gru = model.decoder, model.config.cell_clip, model.decoder.generator.gru()
    if gru is None:
        raise TypeError(f"the baseline is of a GRU, got {type(model.decoder.generator).__name__}")
    g = gen_init = decoder.to_generator(start)
    f = linear(dropout(g, rate), decoder.factors.rows())
    noise = None if draw is None or model.input_prior is None else model.input_prior.standardise(draw)
    c = None if decoder.controller is None else decoder.controller.h0.expand(start.shape[0], -1)
    seen: dict[str, list[Tensor]] = {"gen": [], "factors": [], "gen_in": [], "con": [], "mean": [], "std": []}
    for t in range(model.sizes.bins):
        given = dropout(external[:, t], rate)
        if decoder.controller is not None and ci is not None and c is not None:
            c = _cell(decoder.controller.gru.weights(), dropout(torch.cat([ci[:, t], f], dim=-1), rate), c, clip)
            mean, log_var = decoder.controller.posterior(c).chunk(2, dim=-1)
            std = torch.exp(log_var / 2)
            u = mean if noise is None else mean + std * noise[:, t]
            given = torch.cat([u, given], dim=-1)
            for name, value in (("con", c), ("mean", mean), ("std", std)):
                seen[name].append(value)
        g = _cell(gru, given, g, clip)
        f = linear(dropout(g, rate), decoder.factors.rows())
        for name, value in (("gen", g), ("factors", f), ("gen_in", given)):
            seen[name].append(value)
    path = {name: torch.stack(values, dim=1) for name, values in seen.items() if values}
    return Latents(
        ic=ic,
        inputs=Posterior(mean=path["mean"], std=path["std"]) if "mean" in path else None,
        ci=ci,
        gen_init=gen_init,
        gen_states=path["gen"],
        gen_inputs=path["gen_in"],
        con_states=path.get("con"),
        factors=path["factors"],
    )
