"""What is done to a batch before the model and to the loss after it, with all random draws given."""

import numpy as np

from oracle.arrays import Array, only_derivative_where

MISSING_TARGET = 10.0
"""Put in place of a missing target for the loss call; that loss is then set to 0, so the value never matters."""


def cd_input(encod: Array, kept: Array, rate: float, ic_enc_seq_len: int) -> Array:
    """Coordinated dropout: hide what ``kept`` (1 keep, 0 hide) says, after the first ``ic_enc_seq_len`` bins, and rescale the rest."""
    out = encod.copy()
    out[:, ic_enc_seq_len:] = out[:, ic_enc_seq_len:] * kept / (1 - rate)
    return out


def cd_grad_mask(kept: Array, passed: Array) -> Array:
    """1 where the loss may send gradients: what was hidden, and what a coin let pass."""
    return np.where((kept == 0) | (passed == 1), 1.0, 0.0)


def cd_padded_mask(kept: Array, passed: Array, rate: float, loss_shape: tuple[int, ...], first_bin: int) -> Array:
    """``cd_grad_mask`` laid on the loss (B, T_rec, N_rec) from ``first_bin``; 1 around it, and 1 everywhere at rate 0."""
    mask = np.ones(loss_shape)
    if rate > 0:
        bins, channels = kept.shape[1:]
        mask[:, first_bin : first_bin + bins, :channels] = cd_grad_mask(kept, passed)
    return mask


def cd_loss(recon_all: Array, padded_mask: Array) -> Array:
    """The same loss values; derivatives only where the mask is 1."""
    return only_derivative_where(recon_all, padded_mask)


def sbtt_input(encod: Array) -> Array:
    """Missing encoder values become 0."""
    return np.where(np.isnan(encod), 0.0, encod)


def sbtt_target(recon: Array) -> Array:
    """Missing targets become a harmless number."""
    return np.where(np.isnan(recon), MISSING_TARGET, recon)


def sbtt_loss(recon_all: Array, recon: Array) -> Array:
    """Loss of missing targets 0, the others divided by the fraction present in the whole array."""
    present = ~np.isnan(recon)
    return np.where(present, recon_all, 0.0) / present.mean()


def sv_input(encod: Array, kept: Array, rate: float, ic_enc_seq_len: int) -> Array:
    """Sample validation hides inputs exactly as coordinated dropout does."""
    return cd_input(encod, kept, rate, ic_enc_seq_len)


def sv_loss(recon_all: Array, kept: Array, rate: float, first_bin: int) -> Array:
    """Held-in loss: times kept/(1 - rate) inside the encoded block, unchanged around it."""
    bins, channels = kept.shape[1:]
    factor = np.ones(recon_all.shape[-3:])
    factor[:, first_bin : first_bin + bins, :channels] = kept / (1 - rate)
    return recon_all * factor


def sv_heldout(recon_all: Array, kept: Array, rate: float, first_bin: int, *, reduce_mean: bool) -> Array:
    """Logged held-out value: loss * (1 - kept)/rate over the encoded block, mean of all or summed per trial and then averaged."""
    bins, channels = kept.shape[1:]
    held = recon_all[..., first_bin : first_bin + bins, :channels] * (1 - kept) / rate
    return held.mean() if reduce_mean else held.sum(axis=(-2, -1)).mean(axis=-1)


def round_and_clamp(shift: Array, largest: int) -> Array:
    """Real shifts to whole bins: half to even, then limited to [-largest, largest]."""
    return np.clip(np.round(shift), -largest, largest).astype(np.int64)


def temporal_shift(data: Array, shift: Array) -> Array:
    """out[b, t, n] = data[b, clamp(t - shift[b, 0, n]), n]: the edge bins repeat."""
    out = np.empty_like(data)
    trials, bins, channels = data.shape
    for b in range(trials):
        for n in range(channels):
            for t in range(bins):
                out[b, t, n] = data[b, min(max(t - int(shift[b, 0, n]), 0), bins - 1), n]
    return out


def jitter_probability(bins: int, width: int) -> Array:
    """Row: where a spike is, column: where it may land. Uniform shift in [-width, width], reflected at both ends without repeating the edge bin."""
    out = np.zeros((bins, bins))
    for source in range(bins):
        for shift in range(-width, width + 1):
            at = source + shift
            if at < 0:
                at = -at
            if at > bins - 1:
                at = 2 * (bins - 1) - at
            out[source, at] += 1 / (2 * width + 1)
    return out
