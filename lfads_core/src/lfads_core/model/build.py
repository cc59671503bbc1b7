"""From settings and sessions to a model: sizes are inferred, components are made by their plugins."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import AbstractLatent, AbstractLoss, AbstractReconstruction, LatentInfo, LossInfo, SessionInfo
from lfads_core.config.chosen import Component
from lfads_core.config.schema import RunConfig
from lfads_core.data.loader import SplitTensors
from lfads_core.data.means import observed_means
from lfads_core.data.session import Session
from lfads_core.errors import ConfigError, DataError, PluginError
from lfads_core.model.built import built, check_start, keeping_parameters
from lfads_core.model.description import ModelDescription, describe
from lfads_core.model.freeze import freeze, prunable
from lfads_core.model.lfads import LFADS
from lfads_core.model.parts import Parts
from lfads_core.model.sizes import ModelSizes
from lfads_core.origin import Provenance, blaming, origin_of
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import (
    AlignmentSpec,
    AugmentationSpec,
    ComponentSpec,
    EncoderSpec,
    GeneratorSpec,
    LatentSpec,
    LossSpec,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    ReconstructionSpec,
)
from lfads_core.recurrence.choose import recurrence_for
from lfads_core.recurrence.precision import check_precision
from lfads_core.rng import stream

_NO_PRICE = Component("null")


def build_model(config: RunConfig, description: ModelDescription, registry: Registry) -> LFADS:
    """Make the model for the described sessions, with fresh weights from the run's seed.

    Raises:
        ConfigError: settings that do not fit the sessions or one another.
        DataError: sessions that lack what a component needs.
        PluginError: a component that no installed package offers.
    """
    chosen, model, seed = config.components, config.model, config.train.seed
    readin = chosen.readin
    if readin is None and len(description.sessions) > 1:
        readin = Component("linear")
    sessions = description.sessions
    reconstructions = {s.name: build_component(registry, ReconstructionSpec, chosen.reconstruction, s.recon_channels) for s in sessions}
    infos = [replace(s, factors=model.generator.factors, n_params=reconstructions[s.name].n_params, seed=seed) for s in sessions]
    readins = {} if readin is None else {i.name: build_component(registry, ReadinSpec, readin, i) for i in infos if i.name not in description.bare}
    readouts = {i.name: build_component(registry, ReadoutSpec, chosen.readout, i) for i in infos}
    through = model.external_inputs == "encoders"
    sizes = ModelSizes(
        encoder_width=_width(infos, readins) + (description.external if through else 0),
        encoded_bins=description.encoded_bins,
        bins=description.bins,
        external=0 if through else description.external,
        feedback=_feedback(config, infos),
    )
    _check_segment(config, sizes)
    _check_causal(config, registry)
    control = model.controller
    parts = Parts(
        encoder_name=chosen.encoder.name,
        encoder=partial(build_component, registry, EncoderSpec, chosen.encoder),
        generator=partial(build_component, registry, GeneratorSpec, chosen.generator),
        latents=_latents(config, sizes, registry),
        ic_prior=build_component(registry, PriorSpec, chosen.ic_prior or _NO_PRICE, model.generator.ic_size),
        input_prior=None if control is None else build_component(registry, PriorSpec, chosen.input_prior or _NO_PRICE, control.inputs),
        readins=readins,
        readouts=readouts,
        reconstructions=reconstructions,
        losses={i.name: found for i in infos if (found := _losses(config, i, description, registry))},
    )
    network = LFADS(model, sizes, parts, stream(seed, "weights"))
    if control is not None and control.causal and network.input_encoder is not None and (ways := network.input_encoder.part.directions) != 1:
        raise PluginError(
            f"{origin_of(network.input_encoder.part)}: build must give one that reads forwards alone when info.causal is true, with directions 1, "
            f"got {ways}. Or say causal=False in its record."
        )
    return network.to(torch.get_default_dtype())


def _latents(config: RunConfig, sizes: ModelSizes, registry: Registry) -> dict[str, AbstractLatent]:
    """Latents of plugins by name.

    Raises:
        PluginError: one of each bin is to enter beside the initial condition, of which there is one a trial.
    """
    found = {}
    for component in config.components.latents:
        info = LatentInfo(width=sizes.encoder_width, bins=sizes.bins, rng=stream(config.train.seed, "latent", component.name))
        part: AbstractLatent = build_component(registry, LatentSpec, component, info)
        if part.per == "bin" and part.enters == "initial":
            owner = registry.owner(LatentSpec, component.name)
            raise PluginError(f"{owner}: the latent {component.name!r} must enter 'generator' if there is one of each bin, got 'initial'.")
        found[component.name] = part
    return found


def _losses(config: RunConfig, session: SessionInfo, description: ModelDescription, registry: Registry) -> dict[str, AbstractLoss]:
    """A session's losses by name, with its alignment if it has one.

    Raises:
        ConfigError: a loss is about inferred inputs, and there are none.
    """
    control, found = config.model.controller, {}
    alignment = config.components.alignment if session.name in description.aligned else None
    for record, component in [(LossSpec, part) for part in config.components.losses] + ([] if alignment is None else [(AlignmentSpec, alignment)]):
        info = LossInfo(
            session=session,
            bins=description.bins,
            states=config.model.generator.hidden,
            inputs=0 if control is None else control.inputs,
            rng=stream(config.train.seed, "loss", component.name, session.name),
        )
        part: AbstractLoss = build_component(registry, record, component, info)
        if part.needs_inputs and control is None:
            raise ConfigError(
                f"components.losses: {component.name} is about inferred inputs, which model.controller: null does not have. Leave one of the two out."
            )
        found[component.name] = part
    return found


def prepare_model(config: RunConfig, sessions: Sequence[Session], registry: Registry, device: str) -> LFADS:
    """Make the model for a training: reconstructions and read-outs start near the training data where they can.

    Raises:
        ConfigError: the settings are those of an adaptation, or name parameters that there are none of.
    """
    if (alignment := config.components.alignment) is not None:
        raise ConfigError(
            f"components.alignment: must be null in a training that does not follow another, got {alignment.name}. "
            f"Use `lfads adapt RUN DATA --align {alignment.name}`."
        )
    network = build_model(config, describe(sessions), registry)
    start_near_data(network, sessions)
    freeze(network, config.train)
    prunable(network, config.train)  # raises if a name fits nothing
    set_up(network, config, device)
    return network.to(device)


def set_up(network: LFADS, config: RunConfig, device: str) -> None:
    """Choose how a training on this device computes: the backend of the loops, and the precision of the products outside them.

    Raises:
        ConfigError: the device cannot.
    """
    check_precision(config.train.precision, device)
    network.loops, network.precision = recurrence_for(config, device, make=config.train.compile), config.train.precision


def start_near_data(network: LFADS, sessions: Sequence[Session]) -> None:
    """Let these sessions' reconstructions and read-outs start near their training data where they can."""
    for session in sessions:
        part = network.reconstructions[session.name]
        data = session.splits["train"].recon
        with blaming(part, " where the read-out starts"), keeping_parameters(part, "start_from"):
            start = part.start_from(torch.as_tensor(data))
            if start is None:
                start = part.params_from_mean(torch.as_tensor(observed_means(data), dtype=torch.get_default_dtype()))
            slopes = None if start is None else slopes_at(part, check_start(part, start, data.shape[2]))
        if start is not None and slopes is not None:
            readout = network.readouts[session.name]
            with blaming(readout, " in start_near"), keeping_parameters(readout, "start_at or start_near"):
                readout.start_near(start, slopes)
        if session.name in network.losses:
            arrays = SplitTensors.from_split(session.splits["train"], dtype=torch.get_default_dtype(), extras=network.arrays_wanted).extras
            for loss in network.losses[session.name].values():
                with blaming(loss, " in start_from"), keeping_parameters(loss, "start_from"):
                    loss.start_from(arrays)


def slopes_at(reconstruction: AbstractReconstruction, params: Float[Tensor, "N P"]) -> Float[Tensor, "N P"]:
    """Least change of the parameters for which, to first order, the expected value rises by one: ``J / |J|²``, J = d mean / d params.

    A channel whose expected value does not depend on its parameters gives 0.
    """
    with torch.enable_grad():
        at = params.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(reconstruction.mean(at[None, None]).sum(), at)
    size = gradient.square().sum(dim=-1, keepdim=True)
    return torch.where(size > 0, gradient / size.clamp(min=torch.finfo(size.dtype).tiny), 0.0)


def build_stacks(config: RunConfig, registry: Registry) -> tuple[AugmentationStack, AugmentationStack]:
    """The stacks for training, and for validation and inference."""
    chosen = config.components
    train, infer = (
        AugmentationStack.ordered([build_component(registry, AugmentationSpec, part) for part in parts], chosen.loss_order)
        for parts in (chosen.train_augmentations, chosen.infer_augmentations)
    )
    return train, infer


def build_component(registry: Registry, record: type[ComponentSpec], component: Component, *context: Any) -> Any:
    """Have a chosen component made by its plugin, with its settings or the defaults of these.

    Raises:
        PluginError: making it fails, or gives something else than a component of its kind.
    """
    spec: Any = registry.get(record, component.name)
    origin = Provenance(record.kind, spec.name, str(registry.owner(record, component.name)), record.contract)
    settings = spec.config() if component.settings is None else component.settings
    kept = copy.deepcopy(settings)
    part = built(origin, lambda: spec.build(settings, *context))
    if settings != kept:
        raise PluginError(f"{origin}: build must leave its settings as they are, for the run writes them down, but made {settings} of {kept}.")
    return part


def _width(infos: Sequence[SessionInfo], readins: Mapping[str, Any]) -> int:
    """D: what the read-ins give, or the channels themselves."""
    widths = {i.name: readins[i.name].size if i.name in readins else i.encod_channels for i in infos}
    if len(set(widths.values())) > 1:
        raise ConfigError(f"components.readin: every session must be read in at the same width, got {widths}. Set the read-in's size.")
    return next(iter(widths.values()))


def _feedback(config: RunConfig, infos: Sequence[SessionInfo]) -> int:
    """Width of what the controller hears of the bin before."""
    control = config.model.controller
    if control is None or control.feedback == "none":
        return 0
    if control.feedback == "factors":
        return config.model.generator.factors
    if len(infos) > 1:
        raise ConfigError(
            f"model.controller.feedback: rates needs a model of one session, whose rates they are, got {len(infos)} sessions. Use factors or none."
        )
    return infos[0].recon_channels


def _check_segment(config: RunConfig, sizes: ModelSizes) -> None:
    segment = config.model.encoder.ic_bins
    if segment is not None and segment >= sizes.encoded_bins:
        raise ConfigError(
            f"model.encoder.ic_bins: must be below the {sizes.encoded_bins} bins that are encoded, got {segment}. Use null for all bins."
        )
    if sizes.encoded_bins < 1:
        raise DataError("the encoders need at least one bin, got none.")


def _check_causal(config: RunConfig, registry: Registry) -> None:
    """Inputs that are inferred from the past alone need an encoder that can read forwards alone."""
    name, control = config.components.encoder.name, config.model.controller
    if control is not None and control.causal and not registry.get(EncoderSpec, name).causal:
        able = ", ".join(spec.name for spec in registry.all(EncoderSpec) if spec.causal)
        raise ConfigError(
            f"model.controller.causal: must be false with components.encoder: {name}, which cannot read forwards alone, got true. "
            f"Encoders that can: {able}."
        )
