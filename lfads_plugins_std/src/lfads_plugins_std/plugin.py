"""What lfads-plugins-std offers. Importing this module loads no torch: it is loaded when something is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import (
    AugmentationSpec,
    MetricSpec,
    NoSettings,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
    ReportSpec,
    SyntheticSpec,
)
from lfads_plugins_std import settings as s
from lfads_plugins_std.bound_settings import BoundConfig
from lfads_plugins_std.lorenz_settings import LorenzConfig
from lfads_plugins_std.network_settings import ChaoticConfig, LabelledConfig

if TYPE_CHECKING:
    import numpy as np

    from lfads_core.components import AbstractAugmentation, AbstractPrior, AbstractReadin, AbstractReadout, AbstractReconstruction, SessionInfo
    from lfads_core.metrics.evaluation import Evaluation
    from lfads_core.runs import Run


@hookimpl
def lfads_priors() -> Iterator[PriorSpec]:
    """Normal, autoregressive, Student-t and null."""
    yield PriorSpec(name="normal", summary="Independent normal values", config=s.NormalConfig, build=_normal, cites=("pandarinath2018",))
    yield PriorSpec(
        name="autoregressive",
        summary="Inputs that are correlated in time, AR(1)",
        config=s.AutoregressiveConfig,
        build=_autoregressive,
        cites=("pandarinath2018",),
    )
    yield PriorSpec(name="student-t", summary="Heavy tails: rare, large inputs", config=s.StudentTConfig, build=_student_t)
    yield PriorSpec(name="null", summary="No price on leaving any prior", config=NoSettings, build=_null)


@hookimpl
def lfads_reconstructions() -> Iterator[ReconstructionSpec]:
    """Poisson (in nats, in bits per spike), Gaussian, squared error."""
    yield ReconstructionSpec(name="poisson", summary="Spike counts", config=NoSettings, build=_poisson, cites=("pandarinath2018",))
    yield ReconstructionSpec(name="poisson-bps", summary="Spike counts, loss in bits per spike", config=NoSettings, build=_poisson_bps)
    yield ReconstructionSpec(name="gaussian", summary="Real values with a variance per channel and bin", config=NoSettings, build=_gaussian)
    yield ReconstructionSpec(name="mse", summary="Real values, squared error", config=NoSettings, build=_mse)


@hookimpl
def lfads_augmentations() -> Iterator[AugmentationSpec]:
    """Coordinated dropout, spike jitter, sample validation."""
    yield AugmentationSpec(
        name="coordinated-dropout",
        summary="Hide inputs and learn only from those, against copying",
        config=s.CoordinatedDropoutConfig,
        build=_coordinated_dropout,
        cites=("keshtkaran2019",),
    )
    yield AugmentationSpec(name="spike-jitter", summary="Move every spike by a few bins", config=s.SpikeJitterConfig, build=_spike_jitter)
    yield AugmentationSpec(
        name="sample-validation",
        summary="Hide input values and report the loss on them",
        config=s.SampleValidationConfig,
        build=_sample_validation,
        cites=("keshtkaran2019",),
    )


@hookimpl
def lfads_readins() -> Iterator[ReadinSpec]:
    """Linear, free or computed beforehand."""
    yield ReadinSpec(name="linear", summary="Trainable affine map per session", config=s.LinearReadinConfig, build=_linear_readin)
    yield ReadinSpec(name="pcr", summary="Affine map per session from the file's alignment", config=s.PCRReadinConfig, build=_pcr_readin)


@hookimpl
def lfads_readouts() -> Iterator[ReadoutSpec]:
    """Linear, free or starting at the inverse of the read-in."""
    yield ReadoutSpec(name="linear", summary="Trainable affine map per session", config=s.LinearReadoutConfig, build=_linear_readout)
    yield ReadoutSpec(name="pcr", summary="Affine map that undoes the file's alignment", config=s.PCRReadoutConfig, build=_pcr_readout)


@hookimpl
def lfads_recipes() -> Iterator[RecipeSpec]:
    """The published settings for spikes."""
    yield RecipeSpec(
        name="spikes",
        summary="Spike counts: Poisson, autoregressive inputs, coordinated dropout (the defaults, by name)",
        settings={
            "components": {
                "reconstruction": "poisson",
                "ic_prior": "normal",
                "input_prior": "autoregressive",
                "train_augmentations": ["coordinated-dropout"],
            }
        },
        cites=("pandarinath2018", "keshtkaran2019"),
    )


@hookimpl
def lfads_synthetics() -> Iterator[SyntheticSpec]:
    """The Lorenz system, and networks whose activity is known."""
    yield SyntheticSpec(
        name="lorenz", summary="Spikes driven by the Lorenz system", config=LorenzConfig, generate=_lorenz, cites=("sussillo2016", "lorenz1963")
    )
    yield SyntheticSpec(
        name="chaotic-rnn",
        summary="Units of a chaotic network, with pulses if wished",
        config=ChaoticConfig,
        generate=_network("generate_chaotic"),
        cites=("sussillo2016",),
    )
    yield SyntheticSpec(
        name="labelled-rnns",
        summary="Several chaotic networks; a label, as external input, says which",
        config=LabelledConfig,
        generate=_network("generate_labelled"),
        cites=("sussillo2016",),
    )
    yield SyntheticSpec(
        name="integration-to-bound",
        summary="A network trained to add up evidence until it reaches a bound",
        config=BoundConfig,
        generate=_network("generate_bound"),
        cites=("sussillo2016",),
    )


@hookimpl
def lfads_metrics() -> Iterator[MetricSpec]:
    """Bits per spike, R2 to true rates, to data and to condition averages, decoding of behaviour."""
    yield MetricSpec(
        name="bits-per-spike", summary="Gain over mean rates: seen, held-out, later", compute=_metric("spike_metrics"), cites=("pei2021",)
    )
    yield MetricSpec(name="r2-truth", summary="R2 to the true rates, where the file has them", compute=_metric("truth_metrics"))
    yield MetricSpec(name="r2-data", summary="R2 to the data themselves, where they are no counts", compute=_metric("data_metrics"))
    yield MetricSpec(
        name="psth", summary="R2 of condition averages, where the file has conditions", compute=_metric("condition_metrics"), cites=("pei2021",)
    )
    yield MetricSpec(name="tp-corr", summary="Speed of rates against the time produced", compute=_metric("duration_metrics"), cites=("pei2021",))
    yield MetricSpec(
        name="velocity", summary="R2 of behaviour decoded by ridge regression, where the file has it", compute=_metric("behaviour_metrics")
    )


@hookimpl
def lfads_reports() -> Iterator[ReportSpec]:
    """Figures of the validation trials and of the training."""
    yield ReportSpec(name="training-curves", summary="Costs, metrics and learning rate over epochs", render=_report("render_curves"))
    yield ReportSpec(name="trials", summary="Rasters beside rates, trial by trial", render=_report("render_trials"))
    yield ReportSpec(name="factors", summary="Factors in three principal components", render=_report("render_factors"))
    yield ReportSpec(name="inputs", summary="Inferred inputs over time", render=_report("render_inputs"))
    yield ReportSpec(name="truth", summary="Rates against true rates, where known", render=_report("render_truth"))


def _report(function: str) -> Callable[[Run, Path], Iterable[Path]]:
    def render(run: Run, folder: Path) -> Iterable[Path]:
        from lfads_plugins_std import reports

        written: Iterable[Path] = getattr(reports, function)(run, folder)
        return written

    return render


def _normal(settings: s.NormalConfig, dimensions: int) -> AbstractPrior:
    from lfads_plugins_std.normal import NormalPrior

    return NormalPrior(settings, dimensions)


def _null(_settings: NoSettings, _dimensions: int) -> AbstractPrior:
    from lfads_plugins_std.normal import NullPrior

    return NullPrior()


def _autoregressive(settings: s.AutoregressiveConfig, dimensions: int) -> AbstractPrior:
    from lfads_plugins_std.autoregressive import AutoregressivePrior

    return AutoregressivePrior(settings, dimensions)


def _student_t(settings: s.StudentTConfig, dimensions: int) -> AbstractPrior:
    from lfads_plugins_std.student_t import StudentTPrior

    return StudentTPrior(settings, dimensions)


def _poisson(_settings: NoSettings, _channels: int) -> AbstractReconstruction:
    from lfads_plugins_std.poisson import Poisson

    return Poisson()


def _poisson_bps(_settings: NoSettings, _channels: int) -> AbstractReconstruction:
    from lfads_plugins_std.poisson import PoissonBPS

    return PoissonBPS()


def _gaussian(_settings: NoSettings, _channels: int) -> AbstractReconstruction:
    from lfads_plugins_std.gaussian import Gaussian

    return Gaussian()


def _mse(_settings: NoSettings, _channels: int) -> AbstractReconstruction:
    from lfads_plugins_std.gaussian import MSE

    return MSE()


def _coordinated_dropout(settings: s.CoordinatedDropoutConfig) -> AbstractAugmentation:
    from lfads_plugins_std.masking import CoordinatedDropout

    return CoordinatedDropout(settings)


def _sample_validation(settings: s.SampleValidationConfig) -> AbstractAugmentation:
    from lfads_plugins_std.masking import SampleValidation

    return SampleValidation(settings)


def _spike_jitter(settings: s.SpikeJitterConfig) -> AbstractAugmentation:
    from lfads_plugins_std.jitter import SpikeJitter

    return SpikeJitter(settings)


def _linear_readin(settings: s.LinearReadinConfig, session: SessionInfo) -> AbstractReadin:
    from lfads_plugins_std.linear import build_linear_readin

    return build_linear_readin(settings, session)


def _pcr_readin(settings: s.PCRReadinConfig, session: SessionInfo) -> AbstractReadin:
    from lfads_plugins_std.linear import build_pcr_readin

    return build_pcr_readin(settings, session)


def _linear_readout(settings: s.LinearReadoutConfig, session: SessionInfo) -> AbstractReadout:
    from lfads_plugins_std.linear import build_linear_readout

    return build_linear_readout(settings, session)


def _pcr_readout(settings: s.PCRReadoutConfig, session: SessionInfo) -> AbstractReadout:
    from lfads_plugins_std.linear import build_pcr_readout

    return build_pcr_readout(settings, session)


def _lorenz(settings: LorenzConfig, rng: np.random.Generator) -> Mapping[str, Any]:
    from lfads_plugins_std.lorenz import generate_lorenz

    return generate_lorenz(settings, rng)


def _network(function: str) -> Callable[[Any, np.random.Generator], Mapping[str, Any]]:
    def generate(settings: Any, rng: np.random.Generator) -> Mapping[str, Any]:
        from lfads_plugins_std import network_data

        made: Mapping[str, Any] = getattr(network_data, function)(settings, rng)
        return made

    return generate


def _metric(function: str) -> Callable[[Evaluation], Mapping[str, float]]:
    def compute(evaluation: Evaluation) -> Mapping[str, float]:
        from lfads_plugins_std import metrics

        found: Mapping[str, float] = getattr(metrics, function)(evaluation)
        return found

    return compute
