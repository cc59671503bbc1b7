"""What lfads-plugins-std offers. Importing this module loads no torch: it is loaded when something is built."""

from __future__ import annotations

from collections.abc import Iterator

from lfads_core.config.losses import LossConfig
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import (
    AlignmentSpec,
    AugmentationSpec,
    CommandSpec,
    DoctorCheckSpec,
    EncoderSpec,
    GeneratorSpec,
    LatentSpec,
    LossSpec,
    MetricSpec,
    NoSettings,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
    RecurrenceSpec,
    ReportSpec,
    SyntheticSpec,
)
from lfads_plugins_std import model_settings as m
from lfads_plugins_std import settings as s
from lfads_plugins_std.bound_settings import BoundConfig
from lfads_plugins_std.drifting_settings import DriftingConfig
from lfads_plugins_std.latent_settings import ContextConfig
from lfads_plugins_std.lorenz_settings import LorenzConfig
from lfads_plugins_std.loss_settings import BehaviourConfig, NomadConfig
from lfads_plugins_std.network_settings import ChaoticConfig, LabelledConfig

_STD = "lfads_plugins_std"


@hookimpl
def lfads_priors() -> Iterator[PriorSpec]:
    """Normal, autoregressive, Student-t and null."""
    yield PriorSpec(
        name="normal", summary="Independent normal values", config=s.NormalConfig, build=f"{_STD}.normal:NormalPrior", cites=("pandarinath2018",)
    )
    yield PriorSpec(
        name="autoregressive",
        summary="Inputs that are correlated in time, AR(1)",
        config=s.AutoregressiveConfig,
        build=f"{_STD}.autoregressive:AutoregressivePrior",
        cites=("pandarinath2018",),
    )
    yield PriorSpec(name="student-t", summary="Heavy tails: rare, large inputs", config=s.StudentTConfig, build=f"{_STD}.student_t:StudentTPrior")
    yield PriorSpec(name="null", summary="No price on leaving any prior", config=NoSettings, build=f"{_STD}.normal:build_null")


@hookimpl
def lfads_reconstructions() -> Iterator[ReconstructionSpec]:
    """Poisson (in nats, in bits per spike), Gaussian, squared error."""
    yield ReconstructionSpec(
        name="poisson", summary="Spike counts", config=NoSettings, build=f"{_STD}.poisson:build_poisson", cites=("pandarinath2018",)
    )
    yield ReconstructionSpec(
        name="poisson-bps", summary="Spike counts, loss in bits per spike", config=NoSettings, build=f"{_STD}.poisson:build_poisson_bps"
    )
    yield ReconstructionSpec(
        name="gaussian",
        summary="Real values with a variance per channel and bin",
        config=s.GaussianConfig,
        build=f"{_STD}.gaussian:build_gaussian",
        cites=("seitzer2022",),
    )
    yield ReconstructionSpec(name="mse", summary="Real values, squared error", config=NoSettings, build=f"{_STD}.gaussian:build_mse")


@hookimpl
def lfads_augmentations() -> Iterator[AugmentationSpec]:
    """Coordinated dropout, spike jitter, sample validation."""
    yield AugmentationSpec(
        name="coordinated-dropout",
        summary="Hide inputs and learn only from those, against copying",
        config=s.CoordinatedDropoutConfig,
        build=f"{_STD}.masking:CoordinatedDropout",
        cites=("keshtkaran2019",),
    )
    yield AugmentationSpec(
        name="spike-jitter", summary="Move every spike by a few bins", config=s.SpikeJitterConfig, build=f"{_STD}.jitter:SpikeJitter"
    )
    yield AugmentationSpec(
        name="sample-validation",
        summary="Hide input values and report the loss on them",
        config=s.SampleValidationConfig,
        build=f"{_STD}.masking:SampleValidation",
        cites=("keshtkaran2019",),
    )


@hookimpl
def lfads_readins() -> Iterator[ReadinSpec]:
    """Linear, free or computed beforehand."""
    yield ReadinSpec(
        name="linear", summary="Trainable affine map per session", config=s.LinearReadinConfig, build=f"{_STD}.linear:build_linear_readin"
    )
    yield ReadinSpec(
        name="pcr", summary="Affine map per session from the file's alignment", config=s.PCRReadinConfig, build=f"{_STD}.linear:build_pcr_readin"
    )


@hookimpl
def lfads_readouts() -> Iterator[ReadoutSpec]:
    """Linear, free or starting at the inverse of the read-in."""
    yield ReadoutSpec(
        name="linear", summary="Trainable affine map per session", config=s.LinearReadoutConfig, build=f"{_STD}.linear:build_linear_readout"
    )
    yield ReadoutSpec(
        name="pcr", summary="Affine map that undoes the file's alignment", config=s.PCRReadoutConfig, build=f"{_STD}.linear:build_pcr_readout"
    )


@hookimpl
def lfads_encoders() -> Iterator[EncoderSpec]:
    """Transformer and LSTM."""
    yield EncoderSpec(
        name="transformer",
        summary="Self-attention in each direction",
        config=m.TransformerConfig,
        build=f"{_STD}.encoders.transformer:TransformerEncoder",
        causal=True,
        cites=("vaswani2017",),
    )
    yield EncoderSpec(
        name="lstm",
        summary="A long short-term memory in each direction",
        config=m.LSTMConfig,
        build=f"{_STD}.encoders.lstm:LSTMEncoder",
        causal=True,
        cites=("hochreiter1997",),
    )


@hookimpl
def lfads_generators() -> Iterator[GeneratorSpec]:
    """Residual network, network of low rank, linear dynamics."""
    yield GeneratorSpec(
        name="mlp",
        summary="A small network says how the state changes",
        config=m.MLPConfig,
        build=f"{_STD}.generators.mlp:ResidualMLP",
        cites=("versteeg2023",),
    )
    yield GeneratorSpec(
        name="low-rank",
        summary="Leaky units, connected at a low rank",
        config=m.LowRankConfig,
        build=f"{_STD}.generators.low_rank:LowRankNetwork",
        cites=("mastrogiuseppe2018",),
    )
    yield GeneratorSpec(
        name="linear-dynamics", summary="Linear dynamics", config=m.LinearDynamicsConfig, build=f"{_STD}.generators.linear:LinearDynamics"
    )


@hookimpl
def lfads_latents() -> Iterator[LatentSpec]:
    """What stays the same throughout a trial."""
    yield LatentSpec(name="context", summary="A vector of each trial", config=ContextConfig, build=f"{_STD}.latents.context:Context")


@hookimpl
def lfads_losses() -> Iterator[LossSpec]:
    """Behaviour that is decoded from factors, correlation of inferred inputs."""
    yield LossSpec(
        name="behaviour", summary="Behaviour is decoded from the factors", config=BehaviourConfig, build=f"{_STD}.losses.behaviour:BehaviourLoss"
    )
    yield LossSpec(
        name="input-correlation",
        summary="Inferred inputs must not be correlated from bin to bin",
        config=LossConfig,
        build=f"{_STD}.losses.input_correlation:InputCorrelation",
        cites=("sussillo2016",),
    )


@hookimpl
def lfads_alignments() -> Iterator[AlignmentSpec]:
    """Generator states that are distributed as before."""
    yield AlignmentSpec(
        name="nomad",
        summary="Generator states keep their mean and covariance",
        config=NomadConfig,
        build=f"{_STD}.alignment.nomad:Nomad",
        cites=("karpowicz2025",),
    )


@hookimpl
def lfads_recipes() -> Iterator[RecipeSpec]:
    """The published settings for spikes; real values."""
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
    yield RecipeSpec(
        name="gaussian",
        summary="Real values, such as dF/F: a normal whose mean is learned where its variance is large too",
        settings={"components": {"reconstruction": {"name": "gaussian", "beta": 0.5}}},
    )


@hookimpl
def lfads_synthetics() -> Iterator[SyntheticSpec]:
    """The Lorenz system, and networks whose activity is known."""
    yield SyntheticSpec(
        name="lorenz",
        summary="Spikes driven by the Lorenz system",
        config=LorenzConfig,
        generate=f"{_STD}.lorenz:generate_lorenz",
        cites=("sussillo2016", "lorenz1963"),
    )
    yield SyntheticSpec(
        name="drifting-days",
        summary="Days of a recording of the Lorenz system whose channels drift, with behaviour",
        config=DriftingConfig,
        generate=f"{_STD}.drifting:generate_drifting",
        cites=("lorenz1963",),
    )
    yield SyntheticSpec(
        name="chaotic-rnn",
        summary="Units of a chaotic network, with pulses if wished",
        config=ChaoticConfig,
        generate=f"{_STD}.network_data:generate_chaotic",
        cites=("sussillo2016",),
    )
    yield SyntheticSpec(
        name="labelled-rnns",
        summary="Several chaotic networks; a label, as external input, says which",
        config=LabelledConfig,
        generate=f"{_STD}.network_data:generate_labelled",
        cites=("sussillo2016",),
    )
    yield SyntheticSpec(
        name="integration-to-bound",
        summary="A network trained to add up evidence until it reaches a bound",
        config=BoundConfig,
        generate=f"{_STD}.network_data:generate_bound",
        cites=("sussillo2016",),
    )


@hookimpl
def lfads_metrics() -> Iterator[MetricSpec]:
    """Bits per spike, R2 to true rates, to data and to condition averages, decoding of behaviour."""
    yield MetricSpec(
        name="bits-per-spike",
        summary="Gain over mean rates: seen, held-out, later",
        compute=f"{_STD}.metrics.offered:spike_metrics",
        cites=("pei2021",),
    )
    yield MetricSpec(name="r2-truth", summary="R2 to the true rates, where the file has them", compute=f"{_STD}.metrics.offered:truth_metrics")
    yield MetricSpec(name="r2-data", summary="R2 to the data themselves, where they are no counts", compute=f"{_STD}.metrics.offered:data_metrics")
    yield MetricSpec(
        name="psth", summary="R2 of condition averages, where there are any", compute=f"{_STD}.metrics.offered:condition_metrics", cites=("pei2021",)
    )
    yield MetricSpec(
        name="tp-corr", summary="Speed of rates against the time produced", compute=f"{_STD}.metrics.offered:duration_metrics", cites=("pei2021",)
    )
    yield MetricSpec(
        name="velocity", summary="R2 of behaviour decoded by ridge regression, if there is any", compute=f"{_STD}.metrics.offered:behaviour_metrics"
    )


@hookimpl
def lfads_reports() -> Iterator[ReportSpec]:
    """Figures of the validation trials and of the training."""
    yield ReportSpec(name="training-curves", summary="Costs, metrics and learning rate over epochs", render=f"{_STD}.reports:render_curves")
    yield ReportSpec(name="trials", summary="Rasters beside rates, trial by trial", render=f"{_STD}.reports:render_trials")
    yield ReportSpec(name="factors", summary="Factors in three principal components", render=f"{_STD}.reports:render_factors")
    yield ReportSpec(name="inputs", summary="Inferred inputs over time", render=f"{_STD}.reports:render_inputs")
    yield ReportSpec(name="truth", summary="Rates against true rates, where known", render=f"{_STD}.reports:render_truth")


@hookimpl
def lfads_recurrences() -> Iterator[RecurrenceSpec]:
    """Loops in C, compiled on this machine."""
    yield RecurrenceSpec(
        name="compiled",
        summary="compiled for this processor",
        gru=f"{_STD}.compiled.gru:gru",
        controlled=f"{_STD}.compiled.controlled:controlled",
        last=f"{_STD}.compiled.gru:last",
        driven=f"{_STD}.compiled.driven:driven",
        obstacle=f"{_STD}.compiled.obstacle:obstacle",
        fastest_on=("cpu",),
    )


@hookimpl
def lfads_commands() -> Iterator[CommandSpec]:
    """The whole journey on data of known rates, and loops in C."""
    yield CommandSpec(name="demo", summary="Make data, train, infer and plot: the whole journey in one go.", command=f"{_STD}.demo:command")
    yield CommandSpec(
        name="compile", summary="Make training on a CPU faster: compile the recurrent loops, once.", command=f"{_STD}.compiled.command:command"
    )


@hookimpl
def lfads_doctor_checks() -> Iterator[DoctorCheckSpec]:
    """The loops in C, and what draws figures."""
    yield DoctorCheckSpec(name="compiled-loops", summary="compiler and compiled loops", check=f"{_STD}.compiled.doctor:loops")
    yield DoctorCheckSpec(name="figures", summary="what draws figures", check=f"{_STD}.figures.doctor:packages")
