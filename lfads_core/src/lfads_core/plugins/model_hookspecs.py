"""The doors for parts of the model. The names and types here are the contract; nothing else is."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from lfads_core.plugins.hookspecs import PROJECT
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

_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def lfads_priors() -> Iterable[PriorSpec]:
    """Offer priors over the initial condition and the inferred inputs.

    Example::

        @hookimpl
        def lfads_priors():
            yield PriorSpec(name="laplace", summary="Sharp, heavy-tailed inputs", config=LaplaceConfig, build=build_laplace)
    """
    yield from ()


@_hookspec
def lfads_reconstructions() -> Iterable[ReconstructionSpec]:
    """Offer reconstructions: how the parameters read out of the factors become a distribution over the data.

    Example::

        @hookimpl
        def lfads_reconstructions():
            yield ReconstructionSpec(name="binomial", summary="Spikes out of n", config=BinomialConfig, build=build_binomial)
    """
    yield from ()


@_hookspec
def lfads_augmentations() -> Iterable[AugmentationSpec]:
    """Offer changes to batches during training or inference, and what they do to the loss.

    Example::

        @hookimpl
        def lfads_augmentations():
            yield AugmentationSpec(name="flip-sign", summary="Flip channels", config=FlipConfig, build=build_flip)
    """
    yield from ()


@_hookspec
def lfads_readins() -> Iterable[ReadinSpec]:
    """Offer ways from a session's channels to the width that all sessions share.

    Example::

        @hookimpl
        def lfads_readins():
            yield ReadinSpec(name="mlp", summary="Two layers per session", config=MlpConfig, build=build_mlp_readin)
    """
    yield from ()


@_hookspec
def lfads_readouts() -> Iterable[ReadoutSpec]:
    """Offer ways from the factors to a session's reconstruction parameters.

    Example::

        @hookimpl
        def lfads_readouts():
            yield ReadoutSpec(name="mlp", summary="Two layers per session", config=MlpConfig, build=build_mlp_readout)
    """
    yield from ()


@_hookspec
def lfads_encoders() -> Iterable[EncoderSpec]:
    """Offer ways to read a trial: for the posterior over its initial condition, and for what the controller hears in each bin.

    Example::

        @hookimpl
        def lfads_encoders():
            yield EncoderSpec(name="conv", summary="Convolutions", config=ConvConfig, build=build_conv, causal=True)
    """
    yield from ()


@_hookspec
def lfads_generators() -> Iterable[GeneratorSpec]:
    """Offer dynamics of the latent state, in place of a GRU.

    Example::

        @hookimpl
        def lfads_generators():
            yield GeneratorSpec(name="spring", summary="Damped oscillators", config=SpringConfig, build=build_spring)
    """
    yield from ()


@_hookspec
def lfads_losses() -> Iterable[LossSpec]:
    """Offer further terms of what training minimises, with trainable modules of their own if need be.

    Example::

        from lfads_core.config.losses import LossConfig

        @hookimpl
        def lfads_losses():
            yield LossSpec(name="smooth", summary="Factors that change slowly", config=LossConfig, build=build_smooth)
    """
    yield from ()


@_hookspec
def lfads_latents() -> Iterable[LatentSpec]:
    """Offer further latents of a trial or of its bins, with their posterior, their prior, and where they enter the model.

    Example::

        from lfads_core.config.losses import LatentConfig

        @hookimpl
        def lfads_latents():
            yield LatentSpec(name="gain", summary="A gain of each trial", config=LatentConfig, build=build_gain)
    """
    yield from ()


@_hookspec
def lfads_alignments() -> Iterable[AlignmentSpec]:
    """Offer ways to follow a recording that drifts, for ``lfads adapt --align NAME``: what keeps latents where they were.

    Example::

        from lfads_core.config.losses import AlignmentConfig

        @hookimpl
        def lfads_alignments():
            yield AlignmentSpec(name="coral", summary="Equal covariances", config=AlignmentConfig, build=build_coral)
    """
    yield from ()
