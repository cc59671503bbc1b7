"""A fixture's settings and names, said in ours: the model it describes, its weights, noise and batches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import SessionInfo
from lfads_core.components.batch import Batch
from lfads_core.config import schema as s
from lfads_core.config.chosen import Component, ComponentsConfig
from lfads_core.model.build import build_model
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import DropoutMasks, Noise
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import AugmentationSpec, NoSettings
from lfads_core.recurrence.choose import BACKENDS
from lfads_plugins_calcium.settings import ZIGConfig
from lfads_plugins_std import settings as std
from parity.fixture import Fixture, ForeignFileError, tensor, tensors

_NAMES = (
    (r"encoder\.ic_enc_h0", "encoder.gru.h0"),
    (r"encoder\.ci_enc_h0", "input_encoder.gru.h0"),
    (r"encoder\.ic_enc\.fwd_gru\.cell\.(\w+)", r"encoder.gru.forward_gru.\1"),
    (r"encoder\.ic_enc\.bwd_gru\.cell\.(\w+)", r"encoder.gru.backward_gru.\1"),
    (r"encoder\.ci_enc\.fwd_gru\.cell\.(\w+)", r"input_encoder.gru.forward_gru.\1"),
    (r"encoder\.ci_enc\.bwd_gru\.cell\.(\w+)", r"input_encoder.gru.backward_gru.\1"),
    (r"encoder\.ic_linear\.(\w+)", r"encoder.posterior.\1"),
    (r"decoder\.ic_to_g0\.(\w+)", r"decoder.to_generator.\1"),
    (r"decoder\.con_h0", "decoder.controller.h0"),
    (r"decoder\.rnn\.cell\.gen_cell\.(\w+)", r"decoder.generator.\1"),
    (r"decoder\.rnn\.cell\.con_cell\.(\w+)", r"decoder.controller.gru.\1"),
    (r"decoder\.rnn\.cell\.co_linear\.(\w+)", r"decoder.controller.posterior.\1"),
    (r"decoder\.rnn\.cell\.fac_linear\.weight", "decoder.factors.weight"),
    (r"readin\.(\d+)\.(\w+)", r"readins.sess\1.\2"),
    (r"readout\.(\d+)\.(\w+)", r"readouts.sess\1.\2"),
    (r"recon\.(\d+)\.scale", r"reconstructions.sess\1.scale"),
    (r"ic_prior\.(\w+)", r"ic_prior.\1"),
    (r"co_prior\.(\w+)", r"input_prior.\1"),
)
_LEAVES = {
    "weight_ih": "input",
    "weight_hh": "recurrent",
    "bias_ih": "bias",
    "logvar": "log_var",
    "logtaus": "log_tau",
    "lognvars": "log_variance",
    "loc": "location",
    "logscale": "log_scale",
}
_RECONSTRUCTIONS = {
    "Poisson": "poisson",
    "PoissonBPS": "poisson-bps",
    "MSE": "mse",
    "Gaussian": "gaussian",
    "Gamma": "gamma",
    "ZeroInflatedGamma": "zero-inflated-gamma",
}


@cache
def registry() -> Registry:
    """The installed plugins."""
    return Registry.from_installed()


def our_name(name: str) -> str:
    """What we call the parameter ``name``."""
    for pattern, ours in _NAMES:
        if re.fullmatch(pattern, name):
            head, _, leaf = re.sub(pattern, ours, name).rpartition(".")
            return f"{head}.{_LEAVES.get(leaf, leaf)}"
    return name


def has_controller(config: Mapping[str, Any]) -> bool:
    """Whether none of the three sizes of the controller is 0."""
    return min(config["ci_enc_dim"], config["con_dim"], config["co_dim"]) > 0


def model_of(fixture: Fixture) -> LFADS:
    """The model that the fixture describes, built as a run would build it; weights not yet those of the file.

    Raises:
        ForeignFileError: a setting is missing or unknown.
    """
    try:
        model = build_model(run_config(fixture), description(fixture), registry())
    except KeyError as err:
        raise ForeignFileError(f"{fixture.path}: its settings must have {err}") from err
    model.loops = BACKENDS[fixture.recurrence]
    return model


def run_config(fixture: Fixture) -> s.RunConfig:
    """All settings."""
    config = fixture.config
    control = s.ControllerConfig(
        encoder_hidden=config["ci_enc_dim"] or 1, hidden=config["con_dim"] or 1, inputs=config["co_dim"] or 1, lag_bins=config["ci_lag"]
    )
    model = s.ModelConfig(
        encoder=s.EncoderConfig(hidden=config["ic_enc_dim"], ic_bins=config["ic_enc_seq_len"] or None, min_variance=config["ic_post_var_min"]),
        controller=control if has_controller(config) else None,
        generator=s.GeneratorConfig(hidden=config["gen_dim"], ic_size=config["ic_dim"], factors=config["fac_dim"]),
        dropout=config["dropout_rate"],
        cell_clip=config["cell_clip"],
        variational=config.get("variational", True),
    )
    pcr = bool(fixture.group("pcr"))
    readin = None
    if "weights/readin.0.weight" in fixture.arrays:
        trainable = bool(fixture.attributes.get("readin_requires_grad", 1))
        size = fixture.arrays["weights/readin.0.weight"].shape[0]
        readin = Component("pcr", std.PCRReadinConfig(trainable=trainable)) if pcr else Component("linear", std.LinearReadinConfig(size=size))
    readout = Component("linear")
    widths = {array.shape[1] for name, array in fixture.group("pcr").items() if name.endswith("/readin_weight")}
    if widths == {config["fac_dim"]} and config.get("readout", "PCR") != "Linear":
        readout = Component("pcr", std.PCRReadoutConfig(trainable=bool(fixture.attributes.get("readout_requires_grad", 1))))
    components = ComponentsConfig(
        reconstruction=_reconstruction(config.get("recon", {"type": "Poisson"})),
        ic_prior=_prior(config["ic_prior"]),
        input_prior=_prior(config["co_prior"]),
        readin=readin,
        readout=readout,
    )
    return s.RunConfig(model=model, components=components, regularisation=regularisation(config))


def regularisation(config: Mapping[str, Any]) -> s.RegularisationConfig:
    """Scales and ramps."""
    return s.RegularisationConfig(
        kl_ic=config["kl_ic_scale"],
        kl_inputs=config["kl_co_scale"],
        kl_ramp=s.RampConfig(start_epoch=config["kl_start_epoch"], increase_epochs=config["kl_increase_epoch"]),
        l2_encoder=config["l2_ic_enc_scale"],
        l2_input_encoder=config["l2_ci_enc_scale"],
        l2_generator=config["l2_gen_scale"],
        l2_controller=config["l2_con_scale"],
        l2_ramp=s.RampConfig(start_epoch=config["l2_start_epoch"], increase_epochs=config["l2_increase_epoch"]),
        loss_scale=config["loss_scale"],
        reduce="mean" if config["recon_reduce_mean"] else "sum",
    )


def _reconstruction(given: Mapping[str, Any]) -> Component:
    name = _RECONSTRUCTIONS[given["type"]]
    if name != "zero-inflated-gamma":
        return Component(name)
    return Component(name, ZIGConfig(**{key: given[key] for key in ("gamma_loc", "scale_init", "scale_prior", "scale_penalty")}))


def _prior(given: Mapping[str, Any]) -> Component:
    match given["type"]:
        case "MultivariateNormal":
            return Component("normal", std.NormalConfig(mean=given["mean"], variance=given["variance"]))
        case "AutoregressiveMultivariateNormal":
            return Component("autoregressive", std.AutoregressiveConfig(tau=given["tau"], variance=given["nvar"]))
        case "MultivariateStudentT":
            return Component("student-t", std.StudentTConfig(location=given["loc"], scale=given["scale"], degrees=given["df"]))
        case "Null":
            return Component("null")
        case other:
            raise KeyError(f"a known prior, not {other!r}")


def session_inputs(fixture: Fixture) -> dict[str, dict[str, np.ndarray]]:
    """Each session's given arrays, by our name for the session."""
    count = 0
    while fixture.group(f"inputs/sess{count}"):
        count += 1
    if count:
        return {f"sess{i}": with_external(fixture.group(f"inputs/sess{i}")) for i in range(count)}
    return {"sess0": with_external(fixture.group("inputs") or fixture.group("batches/0"))}


def with_external(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, with an external input of width 0 where there is none."""
    trials, bins = given["encod_data"].shape[:2]
    return {"ext_input": np.zeros((trials, bins, 0)), **given}


def description(fixture: Fixture) -> ModelDescription:
    """Sizes of the fixture's data."""
    sessions = session_inputs(fixture)
    first = next(iter(sessions.values()))
    infos = [
        SessionInfo(
            name=name,
            encod_channels=given["encod_data"].shape[2],
            recon_channels=given["recon_data"].shape[2],
            factors=0,
            arrays=fixture.group(f"pcr/{name}"),
        )
        for name, given in sessions.items()
    ]
    return ModelDescription(
        sessions=infos,
        encoded_bins=first["encod_data"].shape[1],
        bins=first["recon_data"].shape[1],
        external=first["ext_input"].shape[2],
    )


def batch_of(given: Mapping[str, np.ndarray], ic_bins: int) -> Batch:
    """A batch of one session; external input lies from output bin 0 on, as given."""
    given = with_external(given)
    data = {name: tensor(given[name]) for name in ("encod_data", "recon_data", "ext_input")}
    return Batch(
        encod=data["encod_data"],
        recon=data["recon_data"],
        external=data["ext_input"],
        trials=torch.arange(len(data["encod_data"])),
        ic_bins=ic_bins,
    )


def noise_of(given: Mapping[str, np.ndarray], dropout: Mapping[str, np.ndarray], rate: float, *, sample: bool) -> Noise:
    """Standard random numbers and dropout masks under our names."""
    draws = {which: _draw(given, which) for which in ("ic", "co", "ic_kl", "co_kl")}
    masks = None
    if dropout:
        kept = {name: mask / (1 - rate) for name, mask in tensors(dropout).items()}
        masks = DropoutMasks(
            data=kept["data"],
            ic_final=kept["ic_enc_final"],
            gen_init=kept["gen_init"],
            gen_state=kept["gen_state"],
            external=kept.get("ext_input"),
            con_input=kept.get("con_input"),
        )
    return Noise(
        ic=draws["ic"] if sample else None,
        inputs=draws["co"] if sample else None,
        ic_kl=draws["ic_kl"],
        inputs_kl=draws["co_kl"],
        dropout=masks,
    )


def _draw(given: Mapping[str, np.ndarray], which: str) -> dict[str, torch.Tensor] | None:
    draw = {kind: tensor(given[f"{which}_{kind}"]) for kind in ("normal", "chi2") if f"{which}_{kind}" in given}
    return draw or None


def stack_of(fixture: Fixture) -> AugmentationStack:
    """The augmentations that the fixture went through, in its orders."""
    made: dict[str, Any] = {}
    if any(np.isnan(given["recon_data"]).any() for given in session_inputs(fixture).values()):
        made["sbtt"] = registry().get(AugmentationSpec, "sbtt").build(NoSettings())
    rate = float(fixture.attributes.get("cd_rate", 0.0))
    if rate > 0:
        settings = std.CoordinatedDropoutConfig(rate=rate, pass_rate=float(fixture.attributes.get("cd_pass_rate", 0.0)))
        made["cd"] = registry().get(AugmentationSpec, "coordinated-dropout").build(settings)
    batch_order = fixture.attributes.get("batch_order", list(made))
    loss_order = fixture.attributes.get("loss_order", batch_order)
    return AugmentationStack([made[name] for name in batch_order], [made[name] for name in loss_order])
