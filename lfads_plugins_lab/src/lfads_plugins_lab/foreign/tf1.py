"""Flags of LFADS in TensorFlow 1 (``hyperparameters-*.txt``, JSON), and those that LFADS Run Manager adds to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfads_core.config.faults import Path
from lfads_core.wording import shown
from lfads_plugins_lab.foreign.reading import PLACE, SIZE, Reading, Translation, apply, controller, keep, left, number, size, switch

_STEPS = "counted in steps there and in epochs here; an epoch has trials / batch size steps: set regularisation.{}"
_KEPT = "the last checkpoint is kept, and the best ones by train.keep_best"
_INFER = "say it when inferring: lfads infer --samples, lfads generate -n"
_TRAINED = "say it when going on: lfads run --resume RUN --set train.only=..."


def _one_of(path: str, names: Mapping[str, Any]) -> Translation:
    def rule(reading: Reading, key: str, where: Path, value: Any) -> None:
        if not isinstance(value, str) or value not in names:
            reading.fault(key, where, f"must be one of {', '.join(names)}, got {shown(value)}")
        else:
            reading.put(key, path, names[value])

    return rule


def _correlation(reading: Reading, key: str, where: Path, value: Any) -> None:
    """A scale that becomes a loss of ours, unless it is 0."""
    number("components.losses", lambda scale: [{"name": "input-correlation", "scale": scale}] if scale else [])(reading, key, where, value)


TABLE: dict[str, Translation] = {
    "ic_dim": size("model.generator.ic_size"),
    "gen_dim": size("model.generator.hidden"),
    "factors_dim": size("model.generator.factors"),
    "ic_enc_dim": size("model.encoder.hidden"),
    "ci_enc_dim": keep,
    "con_dim": keep,
    "co_dim": keep,
    "in_factors_dim": keep,
    "controller_input_lag": keep,
    "do_causal_controller": keep,
    "do_feed_factors_to_controller": keep,
    "feedback_factors_or_rates": keep,
    "keep_prob": number("model.dropout", lambda kept: round(1 - kept, 12)),
    "cell_clip_value": number("model.cell_clip"),
    "ic_post_var_min": number("model.encoder.min_variance"),
    "ic_prior_var_min": keep,
    "ic_prior_var_scale": keep,
    "ic_prior_var_max": keep,
    "co_prior_var_scale": left("the autoregressive prior has no use for it, there as here"),
    "prior_ar_atau": number("components.input_prior.tau"),
    "prior_ar_nvar": number("components.input_prior.variance"),
    "do_train_prior_ar_atau": switch("components.input_prior.train_tau"),
    "do_train_prior_ar_nvar": switch("components.input_prior.train_variance"),
    "num_steps_for_gen_ic": keep,
    "inject_ext_input_to_gen": switch("model.external_inputs", "generator", "encoders"),
    "cell_weight_scale": number("model.weight_scale"),
    "gen_cell_input_weight_scale": number("model.generator.input_scale"),
    "gen_cell_rec_weight_scale": number("model.generator.recurrent_scale"),
    "output_dist": _one_of("components.reconstruction", {"poisson": "poisson", "gaussian": "gaussian"}),
    "kl_ic_weight": number("regularisation.kl_ic"),
    "kl_co_weight": number("regularisation.kl_inputs"),
    "l2_gen_scale": number("regularisation.l2_generator"),
    "l2_con_scale": number("regularisation.l2_controller"),
    "co_mean_corr_scale": _correlation,
    "kl_start_step": left(_STEPS.format("kl_ramp.start_epoch")),
    "kl_increase_steps": left(_STEPS.format("kl_ramp.increase_epochs")),
    "l2_start_step": left(_STEPS.format("l2_ramp.start_epoch")),
    "l2_increase_steps": left(_STEPS.format("l2_ramp.increase_epochs")),
    "batch_size": size("data.batch_size"),
    "learning_rate_init": number("optim.lr"),
    "learning_rate_stop": number("optim.min_lr"),
    "learning_rate_decay_factor": number("optim.decay"),
    "learning_rate_n_to_compare": size("optim.patience"),
    "max_grad_norm": number("optim.clip_norm"),
    "num_epochs": size("train.epochs"),
    "temporal_spike_jitter_width": keep,
    "keep_ratio": keep,
    "cd_grad_passthru_prob": keep,
    "cv_keep_ratio": keep,
    "do_reset_learning_rate": left("say it when going on: lfads run --resume RUN --reset-lr"),
    "do_train_io_only": left(_TRAINED),
    "do_train_encoder_only": left(_TRAINED),
    "do_train_readin": left("set train.frozen to ['readins.*'], or components.readin.trainable, if it was false"),
    "ps_nexamples_to_process": left(_INFER),
    "max_ckpt_to_keep": left(_KEPT),
    "max_ckpt_to_keep_lve": number("train.keep_best", lambda kept: max(1, kept), whole=True),
    **{name: left(PLACE) for name in ("checkpoint_name", "csv_log")},
    "device": left("train.device chooses by itself"),
    "allow_gpu_growth": left("has no counterpart in torch"),
    **{name: left(SIZE) for name in ("num_steps", "ext_input_dim", "dataset_dims", "dataset_names", "nconditions", "data_dim")},
    **{name: left(PLACE) for name in ("data_dir", "data_filename_stem", "lfads_save_dir", "output_filename_stem", "checkpoint_pb_load_name")},
    **{
        name: left("say it as a command: lfads run, infer, generate, export")
        for name in ("kind", "output_dir", "posterior_sample_and_average", "run_type")
    },
    **{name: left("a switch for developers there") for name in ("debug_verbose", "debug_reduce_timesteps_to", "debug_print_each_step")},
}


def translate(data: Mapping[str, Any], reading: Reading) -> None:
    """Take all flags over; losses are sums over bins and channels there, and Adam's epsilon is 0.1."""
    for key, value in data.items():
        apply(reading, TABLE, key, (key,), value)
    reading.put("(the loss is a sum over bins and channels)", "regularisation.reduce", "sum")
    reading.put("(the loss is not scaled)", "regularisation.loss_scale", 1.0)
    reading.put("(Adam's epsilon is 0.1)", "optim.eps", 0.1)
    sizes = {"ci_enc_dim": "model.controller.encoder_hidden", "con_dim": "model.controller.hidden", "co_dim": "model.controller.inputs"}
    controller(reading, sizes)
    _feedback(reading)
    _variance(reading)
    _others(reading)
    _augmentations(reading)
    reading.as_before()


def _feedback(reading: Reading) -> None:
    given = reading.given
    keys = ("controller_input_lag", "do_causal_controller", "do_feed_factors_to_controller", "feedback_factors_or_rates")
    if reading.settings.get("model", {}).get("controller", {}) is None:
        for key in keys:
            if key in given:
                reading.leave(key, "there is no controller")
        return
    if "controller_input_lag" in given:
        size("model.controller.lag_bins")(reading, "controller_input_lag", ("controller_input_lag",), given["controller_input_lag"])
    if "do_causal_controller" in given:
        switch("model.controller.causal")(reading, "do_causal_controller", ("do_causal_controller",), given["do_causal_controller"])
    kind = given.get("feedback_factors_or_rates", "factors")
    if given.get("do_feed_factors_to_controller") is False:
        reading.put("do_feed_factors_to_controller", "model.controller.feedback", "none")
    elif kind not in ("factors", "rates"):
        reading.fault("feedback_factors_or_rates", ("feedback_factors_or_rates",), f"must be factors or rates, got {shown(kind)}")
    else:
        for key in keys[2:]:
            if key in given:
                reading.put(key, "model.controller.feedback", kind)


def _variance(reading: Reading) -> None:
    """The prior's variance is trained within bounds; equal bounds fix it."""
    names = ("ic_prior_var_min", "ic_prior_var_scale", "ic_prior_var_max")
    values = {key: reading.given[key] for key in names if key in reading.given}
    for key, value in values.items():
        if not isinstance(value, float):
            reading.fault(key, (key,), f"must be a number, got {shown(value)}")
            return
    if len(values) < len(names):
        if "ic_prior_var_scale" in values:
            reading.put("ic_prior_var_scale", "components.ic_prior.variance", values["ic_prior_var_scale"])
        return
    low, start, high = (values[key] for key in names)
    if low >= high:
        reading.put("ic_prior_var_scale", "components.ic_prior.variance", start)
        for key in (names[0], names[2]):
            reading.leave(key, "the bounds leave no room: the variance is fixed")
        return
    inside = min(max(start, low + 0.01 * (high - low)), high - 0.01 * (high - low))
    reading.put(names[1], "components.ic_prior.train_variance", True)
    reading.put(names[1], "components.ic_prior.variance", inside)
    reading.put(names[0], "components.ic_prior.min_variance", low)
    reading.put(names[2], "components.ic_prior.max_variance", high)


def _others(reading: Reading) -> None:
    given = reading.given
    if "in_factors_dim" in given:
        if given["in_factors_dim"] == 0:
            reading.leave("in_factors_dim", "0: no read-in for one session, the default here")
        else:
            number("components.readin", lambda n: {"name": "linear", "size": int(n)}, whole=True)(
                reading, "in_factors_dim", ("in_factors_dim",), given["in_factors_dim"]
            )
    bins = given.get("num_steps_for_gen_ic")
    if bins is not None:
        if isinstance(bins, float) and bins < 10_000:
            size("model.encoder.read_bins")(reading, "num_steps_for_gen_ic", ("num_steps_for_gen_ic",), bins)
        else:
            reading.leave("num_steps_for_gen_ic", "all bins, the default here")


def _augmentations(reading: Reading) -> None:
    """Coordinated dropout only where the flags of its extension are there; jitter if it has a width."""
    items: list[dict[str, Any]] = []
    keys: list[str] = []
    for key, name, setting, value in (
        ("temporal_spike_jitter_width", "spike-jitter", "width", int),
        ("keep_ratio", "coordinated-dropout", "rate", lambda v: round(1 - v, 12)),
        ("cv_keep_ratio", "sample-validation", "rate", lambda v: round(1 - v, 12)),
    ):
        given = reading.given.get(key)
        if given is None:
            continue
        if not isinstance(given, float):
            reading.fault(key, (key,), f"must be a number, got {shown(given)}")
        elif (got := value(given)) > 0:
            items.append({"name": name, setting: got})
            keys.append(key)
        else:
            reading.leave(key, "off")
    passed = reading.given.get("cd_grad_passthru_prob")
    for item in items:
        if item["name"] == "coordinated-dropout" and isinstance(passed, float):
            item["pass_rate"] = passed
            keys.append("cd_grad_passthru_prob")
    if "cd_grad_passthru_prob" in reading.given and "cd_grad_passthru_prob" not in keys:
        reading.leave("cd_grad_passthru_prob", "there is no coordinated dropout")
    for key in keys or ["(no coordinated dropout)"]:
        reading.put(key, "components.train_augmentations", items)


def known(data: Mapping[str, Any]) -> int:
    """How many keys are this format's own."""
    return len(set(data) & TABLE.keys())
