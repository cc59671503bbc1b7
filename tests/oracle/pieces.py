"""What the small files hold (priors, augmentations, metrics): each function takes a group's given arrays and returns its computed ones."""

from collections.abc import Callable, Mapping

import numpy as np

from oracle import augmentations as aug
from oracle import nlb, priors
from oracle.arrays import Array
from oracle.derive import gradient

Arrays = Mapping[str, Array]


def ar_prior(given: Arrays) -> dict[str, Array]:
    """``j``, ``ar<i>``: log density of samples, KL at a given draw, and the gradients of both."""
    x, taus, nvars, mean, std, eps = (given[name] for name in ("sample", "logtaus", "lognvars", "post_mean", "post_std", "eps"))

    def total(x: Array = x, taus: Array = taus, nvars: Array = nvars) -> Array:
        return priors.ar_log_prob(x, taus, nvars).sum(axis=-1)

    def kl(mean: Array = mean, std: Array = std, taus: Array = taus, nvars: Array = nvars) -> Array:
        return priors.ar_kl(mean, std, taus, nvars, eps)

    return {
        "log_prob": priors.ar_log_prob(x, taus, nvars),
        "grad_sum_log_prob_wrt_sample": gradient(total, x),
        "grad_sum_log_prob_wrt_logtaus": gradient(lambda v: total(taus=v), taus),
        "grad_sum_log_prob_wrt_lognvars": gradient(lambda v: total(nvars=v), nvars),
        "kl": kl(),
        "grad_kl_wrt_post_mean": gradient(kl, mean),
        "grad_kl_wrt_post_std": gradient(lambda v: kl(std=v), std),
        "grad_kl_wrt_logtaus": gradient(lambda v: kl(taus=v), taus),
        "grad_kl_wrt_lognvars": gradient(lambda v: kl(nvars=v), nvars),
    }


def normal_prior(given: Arrays) -> dict[str, Array]:
    """``j``, ``mvn<i>``: analytic KL over (B, T, C), over the first bin alone, and gradients of the former."""
    mean, logvar, post_mean, post_std = (given[name] for name in ("mean", "logvar", "post_mean", "post_std"))

    def kl(post_mean: Array = post_mean, post_std: Array = post_std, mean: Array = mean) -> Array:
        return priors.normal_kl(post_mean, post_std, mean, logvar, per_bin=True)

    return {
        "kl": kl(),
        "kl_on_first_step_only": priors.normal_kl(post_mean[:, 0], post_std[:, 0], mean, logvar, per_bin=False),
        "grad_kl_wrt_post_mean": gradient(kl, post_mean),
        "grad_kl_wrt_post_std": gradient(lambda v: kl(post_std=v), post_std),
        "grad_kl_wrt_mean": gradient(lambda v: kl(mean=v), mean),
    }


def weighted_gradient(loss_of: Callable[[Array], Array], given: Arrays) -> Array:
    """Gradient of sum(loss_weight * loss_out) with respect to loss_in."""
    return gradient(lambda loss: (given["loss_weight"] * loss_of(loss)).sum(axis=(-3, -2, -1)), given["loss_in"])


def coordinated_dropout(given: Arrays, first_bin: int | None = None) -> dict[str, Array]:
    """``k_coordinated_dropout``, ``cd<i>``. ``first_bin`` None is the aligned place of the mask, 0 the published one."""
    kept, passed, rate, segment = given["cd_mask"], given["pass_mask"], float(given["cd_rate"]), int(given["ic_enc_seq_len"])
    first = segment if first_bin is None else first_bin
    mask = aug.cd_padded_mask(kept, passed, rate, given["loss_in"].shape, first)
    return {
        "encod_data_out": aug.cd_input(given["encod_data"], kept, rate, segment),
        "grad_mask": aug.cd_grad_mask(kept, passed) if rate > 0 else np.ones_like(kept),
        "loss_out": aug.cd_loss(given["loss_in"], mask),
        "grad_weighted_sum_wrt_loss_in": weighted_gradient(lambda loss: aug.cd_loss(loss, mask), given),
    }


def speckled_bins(given: Arrays) -> dict[str, Array]:
    """``k_sbtt``: missing inputs and targets."""
    recon = given["recon_data"]
    return {
        "encod_data_out": aug.sbtt_input(given["encod_data"]),
        "recon_data_out": aug.sbtt_target(recon),
        "isnan": np.isnan(recon).astype(np.uint8),
        "loss_out": aug.sbtt_loss(given["loss_in"], recon),
        "grad_weighted_sum_wrt_loss_in": weighted_gradient(lambda loss: aug.sbtt_loss(loss, recon), given),
    }


def sample_validation(given: Arrays, first_bin: int | None = None) -> dict[str, Array]:
    """``k_sample_validation``, ``sv<i>``."""
    kept, rate, segment = given["sv_mask"], float(given["sv_rate"]), int(given["ic_enc_seq_len"])
    first = segment if first_bin is None else first_bin
    return {
        "encod_data_out": aug.sv_input(given["encod_data"], kept, rate, segment),
        "loss_out": aug.sv_loss(given["loss_in"], kept, rate, first),
        "logged_heldout": aug.sv_heldout(given["loss_in"], kept, rate, first, reduce_mean=bool(given["recon_reduce_mean"])),
        "grad_weighted_sum_wrt_loss_in": weighted_gradient(lambda loss: aug.sv_loss(loss, kept, rate, first), given),
    }


def temporal_shift(given: Arrays, max_shift: int) -> dict[str, Array]:
    """``k_temporal_shift``: whole-bin shifts and the shifted data, for inputs and targets with their own given shifts."""
    out = {}
    for which in ("encod", "recon"):
        shift = aug.round_and_clamp(given[f"{which}_shift_raw"], max_shift)
        out[f"{which}_shift"] = shift
        out[f"{which}_data_out"] = aug.temporal_shift(given[f"{which}_data"], shift)
    return out


def metrics(given: Arrays) -> dict[str, Array]:
    """``n_metrics``."""
    lograte, counts = given["lograte"], given["counts"]
    channels, bins = int(given["regional/encod_data_dim"]), int(given["regional/encod_seq_len"])
    seen = (lograte[:, :bins, :channels], counts[:, :bins, :channels])
    out = {
        "bits_per_spike": nlb.bits_per_spike_from_log_rates(lograte, counts),
        "r2/r2_score": nlb.r2_score(given["r2/preds"], given["r2/targets"]),
        "r2/r2_score_2d": nlb.r2_score(given["r2/preds"][0], given["r2/targets"][0]),
    }
    out |= {f"regional/{k}": v for k, v in nlb.regional_bits_per_spike(lograte, counts, channels, bins).items()}
    out |= {f"regional_without_heldout/{k}": v for k, v in nlb.regional_bits_per_spike(*seen, channels, bins).items()}
    for name in {k.split("/")[0] for k in given if k.startswith("exp_smoothed")}:
        means, smoothed = nlb.exponential_smoothing(given[f"{name}/values"], given[f"{name}/batch_sizes"], float(given[f"{name}/coef"]))
        out |= {f"{name}/epoch_mean": means, f"{name}/smoothed": smoothed}
    return {name: np.asarray(value) for name, value in out.items()}


def nlb_metrics(given: Arrays) -> dict[str, Array]:
    """``n_nlb_tools``."""
    rates, spikes = given["bits_per_spike/rates"], given["bits_per_spike/spikes"]
    psth_rates, jitter = given["eval_psth/rates"], given["eval_psth/jitter"]
    conditions = [given[f"eval_psth/cond_idx/{i}"] for i in range(len(given["eval_psth/psth"]))]
    speed = [given[f"speed_tp_correlation/{name}"] for name in ("spikes_heldout", "rates", "behavior")]
    train, test = (
        (given[f"velocity_decoding/{part}_rates"], given[f"velocity_decoding/{part}_behavior"], given[f"velocity_decoding/{part}_mask"])
        for part in ("train", "eval")
    )
    out = {
        "bits_per_spike/value": nlb.bits_per_spike(rates, spikes),
        "bits_per_spike/value_rates_with_zero": nlb.bits_per_spike(given["bits_per_spike/rates_with_zero"], spikes),
        "bits_per_spike/value_with_nan": nlb.bits_per_spike(rates, given["bits_per_spike/spikes_with_nan"]),
        "eval_psth/value": nlb.eval_psth(given["eval_psth/psth"], psth_rates, conditions),
        "eval_psth/value_with_nan": nlb.eval_psth(given["eval_psth/psth_with_nan"], psth_rates, conditions),
        "eval_psth/value_with_jitter": nlb.eval_psth(given["eval_psth/psth_for_jitter"], psth_rates, conditions, jitter),
        "speed_tp_correlation/value": nlb.speed_tp_correlation(*speed),
        "velocity_decoding/value_grid_search": nlb.velocity_decoding(train, test, grid_search=True),
        "velocity_decoding/value_fixed_alpha": nlb.velocity_decoding(train, test, grid_search=False),
    }
    return {name: np.asarray(value) for name, value in out.items()}
