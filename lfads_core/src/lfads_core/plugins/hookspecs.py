"""Every door a plugin can come through. The names and types here are the contract; nothing else is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from lfads_core.plugins.specs import (
        AugmentationSpec,
        DataReaderSpec,
        MetricSpec,
        PriorSpec,
        ReadinSpec,
        ReadoutSpec,
        RecipeSpec,
        ReconstructionSpec,
        ReportSpec,
        SyntheticSpec,
    )
    from lfads_core.runs import Run

PROJECT = "lfads"
"""pluggy's project name, and the entry-point group of every plugin package."""

hookimpl = pluggy.HookimplMarker(PROJECT)
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
def lfads_recipes() -> Iterable[RecipeSpec]:
    """Offer named bundles of settings for ``--plugin NAME``.

    Example::

        @hookimpl
        def lfads_recipes():
            yield RecipeSpec(name="binned-lfp", summary="Gaussian LFP power", settings={"components": {"reconstruction": "gaussian"}})
    """
    yield from ()


@_hookspec
def lfads_synthetics() -> Iterable[SyntheticSpec]:
    """Offer generators of data with known rates for ``lfads synth NAME``.

    Example::

        @hookimpl
        def lfads_synthetics():
            yield SyntheticSpec(name="ring", summary="A ring attractor", config=RingConfig, generate=generate_ring)
    """
    yield from ()


@_hookspec
def lfads_data_readers() -> Iterable[DataReaderSpec]:
    """Offer readers of files that are not in the HDF5 layout.

    Example::

        @hookimpl
        def lfads_data_readers():
            yield DataReaderSpec(name="npz", summary="NumPy archives", matches=lambda p: p.suffix == ".npz", read=read_npz)
    """
    yield from ()


@_hookspec
def lfads_metrics() -> Iterable[MetricSpec]:
    """Offer numbers that say how good a run is; they are logged during training and after it.

    Example::

        @hookimpl
        def lfads_metrics():
            yield MetricSpec(name="mean-rate", summary="Mean predicted rate", compute=lambda e: {"mean_rate": float(e.means.mean())})
    """
    yield from ()


@_hookspec
def lfads_reports() -> Iterable[ReportSpec]:
    """Offer figures or pages drawn once a run has finished.

    Example::

        @hookimpl
        def lfads_reports():
            yield ReportSpec(name="spectra", summary="Power spectra of the rates", render=draw_spectra)
    """
    yield from ()


@_hookspec
def lfads_run_started(run: Run) -> None:
    """Be told that training begins, or goes on; the settings are on disk at ``run.config_path``.

    Example::

        @hookimpl
        def lfads_run_started(run):
            print("started", run.path)
    """


@_hookspec
def lfads_epoch_ended(run: Run, epoch: int, row: Mapping[str, float]) -> None:
    """Be told the numbers of each epoch in a copy of one's own: its row of ``fitlog.csv``, told again if a killed process writes it again.

    Example::

        @hookimpl
        def lfads_epoch_ended(run, epoch, row):
            print(epoch, row["valid/recon"])
    """


@_hookspec
def lfads_run_finished(run: Run, status: str) -> None:
    """Be told how a run ended: ``finished``, ``interrupted`` or ``failed``.

    Example::

        @hookimpl
        def lfads_run_finished(run, status):
            print(status, run.path)
    """
