"""The deterministic part of LFADS, given all noise and all masks: read-in, encoders, decoder, read-out."""

from dataclasses import dataclass

import numpy as np

from oracle import priors
from oracle.arrays import Array, concat, floor, linear, stack_bins
from oracle.case import Case, Session, has_controller
from oracle.gru import Weights, bidirectional, gru_step


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What the encoders say about a batch."""

    ic_mean: Array  # (B, ic)
    ic_std: Array
    ci: Array  # (B, T_rec, 2 * ci_enc), width 0 without a controller


def dropped(x: Array, case: Case, site: str, bin_: int | None = None) -> Array:
    """Apply the given 0/1 mask of one dropout site (one bin of it), and rescale what is kept."""
    if site not in case.dropout_masks:
        return x
    mask = case.dropout_masks[site]
    return x * (mask if bin_ is None else mask[:, bin_]) / (1 - case.config["dropout_rate"])


def delayed(states: Array, bins: int) -> Array:
    """Move states (..., B, T, C) ``bins`` later (negative: earlier); zeros enter, what leaves is lost."""
    length = states.shape[-2]
    zero = np.zeros(states.shape[-3:-2] + states.shape[-1:])
    return stack_bins([states[..., t - bins, :] if 0 <= t - bins < length else zero for t in range(length)])


def encode(data: Array, case: Case) -> Encoded:
    """Initial-condition posterior and controller input from data (B, T_enc, D), which is past the read-in."""
    config, weights = case.config, case.weights
    limit, segment = config["cell_clip"], config["ic_enc_seq_len"]
    data = dropped(data, case, "data")
    forward, backward = bidirectional(data[..., :segment, :] if segment else data, weights, "ic_enc", limit)
    final = dropped(concat([forward[..., -1, :], backward[..., 0, :]], -1), case, "ic_enc_final")
    ic = linear(final, weights["encoder.ic_linear.weight"], weights["encoder.ic_linear.bias"])
    ic_mean, ic_logvar = np.split(ic, 2, axis=-1)
    ic_std = np.sqrt(np.exp(ic_logvar) + config["ic_post_var_min"])

    trials, bins = data.shape[-3:-1]
    ci_width = 2 * config["ci_enc_dim"] if has_controller(config) else 0
    ci = np.zeros((trials, config["recon_seq_len"], ci_width))
    if has_controller(config):
        forward, backward = bidirectional(data[..., segment:, :], weights, "ci_enc", limit)
        lag = config["ci_lag"]
        inside = concat([delayed(forward, lag), delayed(backward, -lag)], -1)
        ci = concat([ci[:, :segment], inside, ci[:, bins:]], -2)
    return Encoded(ic_mean=ic_mean, ic_std=ic_std, ci=ci)


def unit_rows(weight: Array) -> Array:
    """Every row scaled to unit L2 norm (norm floored at 1e-12)."""
    return weight / floor(np.sqrt((weight * weight).sum(axis=-1, keepdims=True)), 1e-12)


def decode(encoded: Encoded, ext_input: Array, case: Case) -> dict[str, Array]:
    """Run the generator over all output bins. ``ext_input`` is (B, T_rec, E)."""
    config, weights = case.config, case.weights
    limit, bins, trials = config["cell_clip"], config["recon_seq_len"], ext_input.shape[0]
    ic = encoded.ic_mean
    if case.sample_posteriors:
        ic = priors.posterior_sample(config["ic_prior"], ic, encoded.ic_std, case.noise["ic_normal"], case.noise.get("ic_chi2"))
    gen_init = linear(ic, weights["decoder.ic_to_g0.weight"], weights["decoder.ic_to_g0.bias"])
    to_factors = unit_rows(weights["decoder.rnn.cell.fac_linear.weight"])
    factors = linear(dropped(gen_init, case, "gen_init"), to_factors)
    gen, con = gen_init, np.repeat(weights["decoder.con_h0"], trials, axis=-2)
    co_mean, co_std = np.zeros((trials, config["co_dim"])), np.ones((trials, config["co_dim"]))
    seen: dict[str, list[Array]] = {name: [] for name in ("gen_states", "con_states", "co_means", "co_stds", "gen_inputs", "factors")}
    for t in range(bins):
        ext = dropped(ext_input[:, t], case, "ext_input", t)
        gen_input = ext
        if has_controller(config):
            con_input = dropped(concat([encoded.ci[..., t, :], factors], -1), case, "con_input", t)
            con = gru_step(con_input, con, weights, "decoder.rnn.cell.con_cell", limit)
            co = linear(con, weights["decoder.rnn.cell.co_linear.weight"], weights["decoder.rnn.cell.co_linear.bias"])
            co_mean, co_logvar = np.split(co, 2, axis=-1)
            co_std = np.exp(co_logvar / 2)
            u = co_mean
            if case.sample_posteriors:
                chi2 = case.noise["co_chi2"][:, t] if "co_chi2" in case.noise else None
                u = priors.posterior_sample(config["co_prior"], co_mean, co_std, case.noise["co_normal"][:, t], chi2)
            gen_input = concat([u, ext], -1)
        gen = gru_step(gen_input, gen, weights, "decoder.rnn.cell.gen_cell", limit)
        factors = linear(dropped(gen, case, "gen_state", t), to_factors)
        now = {"gen_states": gen, "con_states": con, "co_means": co_mean, "co_stds": co_std, "gen_inputs": gen_input, "factors": factors}
        for name, value in now.items():
            seen[name].append(value)
    return {"gen_init": gen_init, **{name: stack_bins(values) for name, values in seen.items()}}


def readout(factors: Array, weights: Weights, session: int) -> Array:
    """Affine map of factors (..., B, T, F), bin by bin."""
    weight, bias = weights[f"readout.{session}.weight"], weights[f"readout.{session}.bias"]
    return stack_bins([linear(factors[..., t, :], weight, bias) for t in range(factors.shape[-2])])


def readin(data: Array, weights: Weights, session: int) -> Array:
    """Affine map of data (B, T, N) into the shared input space; the identity when there are no such weights."""
    if f"readin.{session}.weight" not in weights:
        return data
    weight, bias = weights[f"readin.{session}.weight"], weights[f"readin.{session}.bias"]
    return stack_bins([linear(data[:, t], weight, bias) for t in range(data.shape[1])])


def external_input(sessions: tuple[Session, ...], bins: int, width: int) -> Array:
    """All sessions' external input, one below the other, zeros appended up to ``bins``."""
    ext = np.zeros((sum(len(s.ext_input) for s in sessions), bins, width))
    row = 0
    for s in sessions:
        ext[row : row + len(s.ext_input), : s.ext_input.shape[1]] = s.ext_input
        row += len(s.ext_input)
    return ext
