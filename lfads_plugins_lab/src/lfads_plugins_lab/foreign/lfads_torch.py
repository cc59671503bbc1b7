"""Settings of lfads-torch (YAML of a model, a datamodule, a trainer, alone or together under these names)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfads_core.config.faults import Path
from lfads_core.wording import shown
from lfads_plugins_lab.foreign.reading import PLACE, SIZE, Reading, Translation, apply, as_number, controller, keep, left, number, size, switch
from lfads_plugins_lab.foreign.tf2 import leaves, segment

_BY_HAND = "no counterpart by that name here; lfads plugins list shows what there is, and plugins are how to add one"

RECONSTRUCTIONS = {
    "Poisson": "poisson",
    "PoissonBPS": "poisson-bps",
    "MSE": "mse",
    "Gaussian": "gaussian",
    "Gamma": "gamma",
    "ZeroInflatedGamma": "zero-inflated-gamma",
}
PRIORS: dict[str, tuple[str, dict[str, str]]] = {
    "MultivariateNormal": ("normal", {"mean": "mean", "variance": "variance"}),
    "AutoregressiveMultivariateNormal": ("autoregressive", {"tau": "tau", "nvar": "variance"}),
    "MultivariateStudentT": ("student-t", {"loc": "location", "scale": "scale", "df": "degrees"}),
    "Null": ("null", {}),
}
AUGMENTATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "CoordinatedDropout": ("coordinated-dropout", {"cd_rate": "rate", "cd_pass_rate": "pass_rate"}),
    "SelectiveBackpropThruTime": ("sbtt", {}),
    "TemporalShift": ("temporal-shift", {"std": "std", "max_shift": "max_shift"}),
    "SpikeJitter": ("spike-jitter", {"width": "width"}),
    "SampleValidation": ("sample-validation", {"sv_rate": "rate"}),
}
_SIZES = ("shape", "ic_enc_seq_len", "encod_data_dim", "recon_data_dim", "in_features", "out_features", "recon_reduce_mean")
"""Arguments of parts that repeat what is known elsewhere."""


def _class(value: Any) -> str | None:
    """``Poisson`` of ``{_target_: somewhere.Poisson}`` or of a text."""
    target = value.get("_target_") if isinstance(value, Mapping) else value
    return target.rpartition(".")[2] if isinstance(target, str) else None


def _part(reading: Reading, key: str, where: Path, value: Any, names: Mapping[str, tuple[str, dict[str, str]]]) -> dict[str, Any] | None:
    """One part by its class, with the arguments that have a counterpart."""
    name = _class(value)
    if name is None or name not in names:
        reading.leave(key, f"{name or shown(value)}: {_BY_HAND}")
        return None
    ours, arguments = names[name]
    part: dict[str, Any] = {"name": ours}
    for argument, given in value.items() if isinstance(value, Mapping) else ():
        if argument == "_target_" or argument in _SIZES:
            continue
        got = as_number(given)
        if argument not in arguments:
            reading.unknown(f"{key}.{argument}", arguments)
        elif got is None:
            reading.fault(f"{key}.{argument}", (*where, argument), f"must be a number, got {shown(given)}")
        else:
            part[arguments[argument]] = int(got) if arguments[argument] in {"max_shift", "width"} and got == int(got) else got
    return part


def _prior(path: str) -> Translation:
    def rule(reading: Reading, key: str, where: Path, value: Any) -> None:
        part = _part(reading, key, where, value, PRIORS)
        if part is not None:
            reading.put(key, path, part)

    return rule


def _modules(value: Any) -> list[Any]:
    """The list of a ``ModuleList``, or a single one."""
    modules = value.get("modules", value.get("_args_")) if isinstance(value, Mapping) else value
    if isinstance(modules, list):
        return [item for part in modules for item in (part if isinstance(part, list) else [part])]
    return [value]


def _reconstruction(reading: Reading, key: str, where: Path, value: Any) -> None:
    parts = _modules(value)
    names = {_class(part) for part in parts}
    (first,) = names if len(names) == 1 else (None,)
    if first is None or first not in RECONSTRUCTIONS:
        reading.leave(key, f"{', '.join(sorted(str(n) for n in names))}: all sessions share one kind of reconstruction; {_BY_HAND}")
        return
    part: dict[str, Any] = {"name": RECONSTRUCTIONS[first]}
    if first == "ZeroInflatedGamma" and isinstance(parts[0], Mapping):
        for argument in ("gamma_loc", "scale_init", "scale_prior", "scale_penalty"):
            if (got := as_number(parts[0].get(argument))) is not None:
                part[argument] = got
    reading.put(key, "components.reconstruction", part)


def _stack(path: str) -> Translation:
    """A stack of augmentations, put in the order of its ``batch_order``."""

    def rule(reading: Reading, key: str, where: Path, value: Any) -> None:
        if value is None:
            reading.put(key, path, [])
            return
        stack = value if isinstance(value, Mapping) else {"transforms": value}
        transforms = stack.get("transforms")
        if not isinstance(transforms, list):
            reading.put(key, path, []) if transforms is None else reading.fault(key, where, f"must hold a list, got {shown(transforms)}")
            return
        parts = {i: _part(reading, f"{key}.{i}", (*where, "transforms", i), item, AUGMENTATIONS) for i, item in enumerate(transforms)}
        ordered = _in_order(stack.get("batch_order"), parts)
        reading.put(key, path, ordered)
        losses = [part["name"] for part in _in_order(stack.get("loss_order"), parts)]
        if path.endswith("train_augmentations") and losses != [part["name"] for part in ordered]:
            reading.put(key, "components.loss_order", losses)

    return rule


def _in_order(order: Any, parts: Mapping[int, dict[str, Any] | None]) -> list[dict[str, Any]]:
    """The parts that an order of numbers names; all of them if it says nothing."""
    numbers = order if isinstance(order, list) and all(isinstance(i, int) for i in order) and order else list(parts)
    return [part for i in numbers if (part := parts.get(i)) is not None]


def _layer(path: str) -> Translation:
    def rule(reading: Reading, key: str, where: Path, value: Any) -> None:
        names = {_class(part) for part in _modules(value)} - {None}
        text = " ".join(str(name) for name in names)
        if "PCR" in text:
            reading.put(key, path, "pcr")
        elif "Identity" in text and path.endswith("readin"):
            reading.leave(key, "no read-in, the default for one session")
        elif "Linear" in text or "FanIn" in text:
            reading.put(key, path, "linear")
        else:
            reading.leave(key, f"{text or shown(value)}: {_BY_HAND}")

    return rule


def _segment(reading: Reading, key: str, where: Path, value: Any) -> None:
    segment(reading, key, value)


def _precision(reading: Reading, key: str, where: Path, value: Any) -> None:
    """The trainer's words for float32 and for bfloat16 products; other types have no counterpart."""
    known = {"32": "float32", "32-true": "float32", "bf16": "bf16", "bf16-mixed": "bf16"}
    if (word := str(value)) in known:
        reading.put(key, "train.precision", known[word])
    else:
        reading.leave(key, "numbers are float32; train.precision=bf16 has products in bfloat16")


MODEL: dict[str, Translation] = {
    "ic_enc_dim": size("model.encoder.hidden"),
    "ic_enc_seq_len": _segment,
    "ic_post_var_min": number("model.encoder.min_variance"),
    "ic_dim": size("model.generator.ic_size"),
    "gen_dim": size("model.generator.hidden"),
    "fac_dim": size("model.generator.factors"),
    **dict.fromkeys(("ci_enc_dim", "con_dim", "co_dim", "ci_lag"), keep),
    "dropout_rate": number("model.dropout"),
    "cell_clip": number("model.cell_clip"),
    "variational": switch("model.variational"),
    "reconstruction": _reconstruction,
    "ic_prior": _prior("components.ic_prior"),
    "co_prior": _prior("components.input_prior"),
    "readin": _layer("components.readin"),
    "readout": _layer("components.readout"),
    "train_aug_stack": _stack("components.train_augmentations"),
    "infer_aug_stack": _stack("components.infer_augmentations"),
    "loss_scale": number("regularisation.loss_scale"),
    "recon_reduce_mean": switch("regularisation.reduce", "mean", "sum"),
    "lr_init": number("optim.lr"),
    "lr_stop": number("optim.min_lr"),
    "lr_decay": number("optim.decay"),
    "lr_patience": size("optim.patience"),
    "lr_adam_beta1": keep,
    "lr_adam_beta2": keep,
    "lr_adam_epsilon": number("optim.eps"),
    "lr_scheduler": switch("optim.schedule", "plateau", "constant"),
    "weight_decay": number("optim.weight_decay"),
    "kl_ic_scale": number("regularisation.kl_ic"),
    "kl_co_scale": number("regularisation.kl_inputs"),
    "kl_start_epoch": size("regularisation.kl_ramp.start_epoch"),
    "kl_increase_epoch": size("regularisation.kl_ramp.increase_epochs"),
    "l2_start_epoch": size("regularisation.l2_ramp.start_epoch"),
    "l2_increase_epoch": size("regularisation.l2_ramp.increase_epochs"),
    "l2_ic_enc_scale": number("regularisation.l2_encoder"),
    "l2_ci_enc_scale": number("regularisation.l2_input_encoder"),
    "l2_gen_scale": number("regularisation.l2_generator"),
    "l2_con_scale": number("regularisation.l2_controller"),
    **{name: left(SIZE) for name in ("encod_data_dim", "encod_seq_len", "recon_seq_len", "recon_data_dim", "ext_input_dim")},
    "_target_": left("there is one kind of model"),
    "defaults": left("files are not composed here; give several to lfads run, the later ones win"),
}
DATA: dict[str, Translation] = {
    "batch_size": size("data.batch_size"),
    **{name: left(PLACE) for name in ("datafile_pattern", "data_paths", "data_dir")},
    **{name: left("every array of a file rides along") for name in ("batch_keys", "attr_keys")},
    **{name: left("lfads data split makes a new split, in a file of its own") for name in ("reshuffle_tv_seed", "reshuffle_tv_ratio")},
    **{name: left("the augmentation sample-validation, or validation.masked") for name in ("sv_rate", "sv_seed")},
    "dm_ic_enc_seq_len": left("model.encoder.ic_bins says it for data and model"),
    "num_workers": left("there are no workers"),
    "_target_": left("there is one kind of data"),
}
TRAINER: dict[str, Translation] = {
    "max_epochs": size("train.epochs"),
    "gradient_clip_val": number("optim.clip_norm"),
    "precision": _precision,
    **{name: left("train.device chooses by itself") for name in ("accelerator", "devices", "gpus")},
    **dict.fromkeys(
        ("callbacks", "logger", "enable_progress_bar", "num_sanity_val_steps", "_target_"),
        left("has no counterpart, or is always so"),
    ),
}
SECTIONS: dict[str, dict[str, Translation]] = {"model": MODEL, "datamodule": DATA, "trainer": TRAINER}


def translate(data: Mapping[str, Any], reading: Reading) -> None:
    """Take a file over: sections under their names, or one section alone."""
    for key, value in data.items():
        section, _, rest = key.partition(".")
        if section in SECTIONS and rest:
            _one(reading, SECTIONS[section], key, (key,), value, rest)
        elif key in SECTIONS and isinstance(value, Mapping):
            for inner, item in value.items():
                _one(reading, SECTIONS[key], f"{key}.{inner}", (key, inner), item, inner)
        else:
            table = next((table for table in SECTIONS.values() if key in table), MODEL)
            _one(reading, table, key, (key,), value, key)
    _together(reading)
    reading.as_before()


def _one(reading: Reading, table: Mapping[str, Translation], key: str, where: Path, value: Any, name: str) -> None:
    """One key; a prior whose numbers stand elsewhere is left."""
    refers = (way for way, leaf in leaves(value) if isinstance(leaf, str) and leaf.startswith("${") and way and way[-1] not in _SIZES)
    if name in {"ic_prior", "co_prior"} and next(refers, None):
        reading.leave(key, "refers to another place; write the values out")
        return
    apply(reading, table, key, where, value, name)


def _together(reading: Reading) -> None:
    """What several keys decide: the controller, Adam's two decays."""
    given = {key.rpartition(".")[2]: key for key in reading.given}
    names = {"ci_enc_dim": "encoder_hidden", "con_dim": "hidden", "co_dim": "inputs"}
    controller(reading, {given[name]: f"model.controller.{ours}" for name, ours in names.items() if name in given})
    if "ci_lag" in given:
        if reading.settings.get("model", {}).get("controller", {}) is None:
            reading.leave(given["ci_lag"], "there is no controller")
        else:
            size("model.controller.lag_bins")(reading, given["ci_lag"], (), reading.given[given["ci_lag"]])
    betas = [0.9, 0.999]
    for i, name in enumerate(("lr_adam_beta1", "lr_adam_beta2")):
        if name in given:
            value = reading.given[given[name]]
            if not isinstance(value, float):
                reading.fault(given[name], (), f"must be a number, got {shown(value)}")
                return
            betas[i] = value
            reading.put(given[name], "optim.betas", betas)


def known(data: Mapping[str, Any]) -> int:
    """How many keys are this format's own, in sections, with dots or without either."""
    names = set(data)
    for section in SECTIONS:
        inner = data.get(section)
        names |= set(inner) if isinstance(inner, Mapping) else set()
    names |= {name.partition(".")[2] for name in names if name.partition(".")[0] in SECTIONS}
    return len(names & {name for table in SECTIONS.values() for name in table})
