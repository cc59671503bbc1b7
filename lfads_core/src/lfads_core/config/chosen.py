"""Which plugins a run is made of, each by name."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from lfads_core.config.fields import setting
from lfads_core.plugins.specs import (
    AlignmentSpec,
    AugmentationSpec,
    EncoderSpec,
    GeneratorSpec,
    LatentSpec,
    LossSpec,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    ReconstructionSpec,
)


@frozen
class Component:
    """A plugin component chosen by name, with its own settings (an instance of the class its spec declares)."""

    name: str
    settings: Any = None  # None until the registry has given the class


@frozen(kw_only=True)
class ComponentsConfig:
    """Plugin components, each by name."""

    reconstruction: Component = setting(Component("poisson"), "distribution of the data", component=ReconstructionSpec, tune="sometimes")
    ic_prior: Component | None = setting(Component("normal"), "prior of the initial condition (null: no price)", component=PriorSpec)
    input_prior: Component | None = setting(
        Component("autoregressive"), "prior of the inferred inputs (null: no price)", component=PriorSpec, tune="sometimes"
    )
    encoder: Component = setting(
        Component("gru"), "how a trial is read, for the initial condition and for the controller", component=EncoderSpec, tune="sometimes"
    )
    generator: Component = setting(Component("gru"), "dynamics of the latent state", component=GeneratorSpec, tune="sometimes")
    readin: Component | None = setting(None, "way into the encoders (null: none for one session, 'linear' for several)", component=ReadinSpec)
    readout: Component = setting(Component("linear"), "way from factors to channels", component=ReadoutSpec)
    train_augmentations: tuple[Component, ...] = setting(
        (Component("coordinated-dropout"),), "changes to training batches, in this order", component=AugmentationSpec, tune="often"
    )
    infer_augmentations: tuple[Component, ...] = setting((), "changes to batches in validation and inference, in order", component=AugmentationSpec)
    latents: tuple[Component, ...] = setting((), "further latents of trials or bins", component=LatentSpec)
    losses: tuple[Component, ...] = setting((), "further terms of the loss", component=LossSpec, tune="sometimes")
    alignment: Component | None = setting(
        None,
        "how an adaptation follows a recording that drifts (null, as in every other training: it does not); said by lfads adapt --align",
        component=AlignmentSpec,
    )
    loss_order: tuple[str, ...] | None = setting(None, "names of augmentations in the order they act on the loss (null: as listed)")

    def losses_of_all_kinds(self) -> tuple[Component, ...]:
        """The further losses, and the alignment, which is one."""
        return self.losses if self.alignment is None else (*self.losses, self.alignment)
