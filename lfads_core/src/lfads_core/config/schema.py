"""Every setting of a run, grouped as users think of them. Sizes of the data are inferred, never typed."""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import attrs
from attrs import frozen

from lfads_core.config.chosen import Component, ComponentsConfig  # noqa: F401 - the first is known from here to plugins that were written before
from lfads_core.config.fields import AUTO, FIGURE_FORMATS, MOST_SAMPLES, Auto, FigureFormat, Rule, above, at_least, between, one_of, setting, share
from lfads_core.config.optional import HoldOutConfig, MaskedConfig, PruneConfig
from lfads_core.config.spaces import ELSEWHERE, LIVE, log, uniform

G = TypeVar("G")

DEVICE = Rule("one of auto, cpu, cuda, mps, or cuda:N for GPU number N", lambda x: re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", x) is not None)


@frozen(kw_only=True)
class DataConfig:
    """How recordings are read and cut into batches."""

    batch_size: int | Auto = setting(
        AUTO, "trials per step, over all sessions together (auto: a quarter of the training trials, from 16 to 64)", rule=at_least(1), unit="trials",
        tune="sometimes",
    )  # fmt: skip
    passes: int | Auto = setting(
        AUTO, "times that an epoch visits every training trial (auto: as often as makes an epoch of 12 steps)", rule=at_least(1)
    )
    hold_out: HoldOutConfig | None = setting(None, "hold channels out of the encoders' input (null: none)")
    memory_gb: float | None = setting(
        None,
        "most memory that data may fill; larger recordings are read from disk batch by batch (null: half of what is free)",
        rule=above(0),
        unit="GB",
    )


@frozen(kw_only=True)
class EncoderConfig:
    """The encoder that the initial condition is inferred with."""

    hidden: int = setting(100, "units per direction", rule=at_least(1), unit="units", tune="sometimes")
    ic_bins: int | None = setting(None, "read only the first bins for the initial condition (null: all bins)", rule=at_least(1), unit="bins")
    read_bins: int | None = setting(
        None,
        "read no more than the first bins for the initial condition, while the controller's encoder still reads all (null: all bins)",
        rule=at_least(1),
        unit="bins",
    )
    min_variance: float = setting(1e-4, "floor of the posterior variance of the initial condition", rule=at_least(0))


@frozen(kw_only=True)
class ControllerConfig:
    """Controller that infers inputs to the generator; null makes the dynamics autonomous."""

    encoder_hidden: int = setting(80, "units per direction of the encoder that feeds the controller", rule=at_least(1), unit="units")
    hidden: int = setting(80, "controller units", rule=at_least(1), unit="units", tune="sometimes")
    inputs: int = setting(4, "inferred inputs U", rule=at_least(1), tune="often")
    lag_bins: int = setting(1, "delay between what the encoder saw and what the controller may use", rule=at_least(0), unit="bins")
    causal: bool = setting(False, "read the trial forwards only, so that inputs are inferred from the past alone")
    feedback: Literal["factors", "rates", "none"] = setting(
        "factors",
        "what the controller hears of the bin before: the factors, the expected values read out of them (one session, reference loops), or nothing",
        rule=one_of("factors", "rates", "none"),
    )


@frozen(kw_only=True)
class GeneratorConfig:
    """The generator, whose state is the latent dynamics, and the factors read from it."""

    hidden: int = setting(100, "generator units", rule=at_least(1), unit="units", tune="sometimes")
    ic_size: int = setting(100, "dimensions of the inferred initial condition", rule=at_least(1))
    factors: int = setting(40, "latent factors F read from the generator", rule=at_least(1), tune="often")
    input_scale: float = setting(1.0, "factor on the first input weights", rule=at_least(0))
    recurrent_scale: float = setting(1.0, "factor on the first recurrent weights; more starts closer to chaos", rule=at_least(0))


DROPOUT = 0.3
"""Share of units dropped unless there are few trials."""


@frozen(kw_only=True)
class ModelConfig:
    """The network."""

    encoder: EncoderConfig = setting(EncoderConfig, "initial-condition encoder")
    controller: ControllerConfig | None = setting(ControllerConfig, "controller with inferred inputs (null: autonomous dynamics)")
    generator: GeneratorConfig = setting(GeneratorConfig, "generator and factors")
    dropout: float | Auto = setting(
        AUTO,
        "share of units dropped at the published sites (auto: 0.3, with fewer than 32 training trials 0.5)",
        rule=share(),
        tune="often",
        search=uniform(0.0, 0.6),
    )
    cell_clip: float = setting(5.0, "bound on every recurrent state", rule=above(0), search=LIVE)
    weight_scale: float = setting(1.0, "factor on the first weights of the cells of encoders and controller", rule=at_least(0))
    external_inputs: Literal["generator", "encoders"] = setting(
        "generator", "where external inputs of the data go: straight into the generator, or beside the data into the encoders",
        rule=one_of("generator", "encoders"),
    )  # fmt: skip
    variational: bool = setting(True, "sample the posteriors while training (false: decode their means)")


@frozen(kw_only=True)
class OptimConfig:
    """AdamW, its learning rate, and when to stop."""

    lr: float = setting(4e-3, "initial learning rate", rule=above(0), tune="often", search=log(1e-5, 5e-3, init=4e-3))
    betas: tuple[float, float] = setting((0.9, 0.999), "decay of the running moments", search=LIVE)
    eps: float = setting(1e-8, "term that keeps the division by the second moment finite", rule=above(0), search=LIVE)
    weight_decay: float = setting(0.0, "decoupled decay, scaled by the L2 ramp", rule=at_least(0), search=LIVE)
    clip_norm: float | None = setting(200.0, "largest norm of the gradient (null: no clipping)", rule=above(0), search=LIVE)
    schedule: Literal["plateau", "cosine", "step", "exponential", "constant"] = setting(
        "plateau",
        "how the learning rate falls: at plateaus, along a cosine, in steps, every epoch, or never",
        rule=one_of("plateau", "cosine", "step", "exponential", "constant"),
    )
    warmup_epochs: int = setting(0, "first epochs in which the learning rate grows linearly to its value", rule=at_least(0), unit="epochs")
    step_epochs: int = setting(100, "epochs between decays with the schedule step", rule=at_least(1), unit="epochs")
    decay: float = setting(0.95, "factor on the learning rate at a plateau", rule=between(0, 1), tune="sometimes", search=LIVE)
    patience: int | Auto = setting(
        AUTO, "epochs without a better smoothed validation cost before decay (auto: 60 steps)", rule=at_least(0), unit="epochs", tune="sometimes"
    )
    min_lr: float = setting(1e-5, "training stops once the rate has fallen to this", rule=at_least(0))


@frozen(kw_only=True)
class RampConfig:
    """A weight that grows linearly from 0 to 1."""

    start_epoch: int = setting(0, "epoch at which it leaves zero", rule=at_least(0), unit="epochs")
    increase_epochs: int | Auto = setting(AUTO, "epochs it takes to grow (auto: 100 steps)", rule=at_least(0), unit="epochs", tune="sometimes")


@frozen(kw_only=True)
class RegularisationConfig:
    """Scales of the KL and L2 terms, and their ramps."""

    kl_ic: float | Auto = setting(
        AUTO,
        "scale of the initial-condition KL (auto: 0.03 of what makes the loss an ELBO)",
        rule=at_least(0),
        tune="often",
        search=log(1e-6, 1e-3, explore=0.8),
    )
    kl_inputs: float | Auto = setting(
        AUTO,
        "scale of the inferred-inputs KL (auto: 0.01 of what makes the loss an ELBO)",
        rule=at_least(0),
        tune="often",
        search=log(1e-6, 1e-3, explore=0.8),
    )
    kl_ramp: RampConfig = setting(RampConfig, "ramp of both KL terms")
    l2_encoder: float = setting(0.0, "L2 scale of the initial-condition encoder's recurrent weights", rule=at_least(0), tune="sometimes", search=LIVE)
    l2_input_encoder: float = setting(0.0, "L2 scale of the controller encoder's recurrent weights", rule=at_least(0), tune="sometimes", search=LIVE)
    l2_generator: float = setting(
        1e-4, "L2 scale of the generator's recurrent weights", rule=at_least(0), tune="often", search=log(1e-5, 1.0, explore=0.8)
    )
    l2_controller: float = setting(
        1e-4, "L2 scale of the controller's recurrent weights", rule=at_least(0), tune="often", search=log(1e-5, 1.0, explore=0.8)
    )
    l2_ramp: RampConfig = setting(RampConfig, "ramp of the L2 terms and of weight decay")
    loss_scale: float = setting(1e4, "factor on the whole loss; sets how gradients compare with clip_norm and eps", rule=above(0), search=LIVE)
    reduce: Literal["mean", "sum"] = setting(
        "mean", "reconstruction loss: mean over values, or sum over bins and channels", rule=one_of("mean", "sum")
    )


@frozen(kw_only=True)
class ValidationConfig:
    """What is measured on validation trials, and what a training is judged by."""

    judge: Literal["recon", "heldout", "masked"] = setting(
        "recon",
        "cost that, smoothed, decides on learning rate, best checkpoint and early stopping: recon (all values), heldout (channels that the "
        "encoders do not see), masked (values hidden from them)",
        rule=one_of("recon", "heldout", "masked"),
        tune="sometimes",
    )
    masked: MaskedConfig | None = setting(None, "measure the cost of hidden values (null: do not, unless it judges)")

    @property
    def hidden(self) -> MaskedConfig | None:
        """How values are hidden; None if nothing asks for it."""
        return MaskedConfig() if self.masked is None and self.judge == "masked" else self.masked


@frozen(kw_only=True)
class TrainConfig:
    """Length of training, stopping, checkpoints, device."""

    epochs: int = setting(1000, "most epochs", rule=at_least(1), unit="epochs")
    minutes: float | None = setting(None, "most wall-clock time of training (null: no limit)", rule=above(0), unit="min")
    early_stopping: int | Auto | None = setting(
        AUTO, "epochs without a better smoothed validation cost, after the ramps (auto: 600 steps; null: never)", rule=at_least(1), unit="epochs"
    )
    keep_best: int = setting(1, "best epochs kept as checkpoints; with more than 1 each also as epoch-N, listed in kept.json", rule=at_least(1))
    smoothing: float | Auto = setting(AUTO, "weight of the past in the smoothed validation cost (auto: a past of 36 steps)", rule=share())
    average: int | Auto = setting(
        AUTO, "steps over which weights are averaged; validation and rates take the average, training does not see it (auto: 100; 0: none)",
        rule=at_least(0), unit="steps",
    )  # fmt: skip
    seed: int = setting(0, "seed of weights, batch order, masks and samples", rule=at_least(0))
    device: str = setting("auto", "where to compute; cuda:1 is the second GPU", rule=DEVICE, search=ELSEWHERE)
    threads: int | None = setting(
        1, "CPU threads (null: as many as a few steps at the start show to be worth it, on a machine that does nothing else)", rule=at_least(1),
        tune="sometimes", search=ELSEWHERE,
    )  # fmt: skip
    recurrence: str = setting("auto", "backend of the recurrent loops", search=ELSEWHERE)
    compile: bool = setting(
        True, "compile the loops for this processor when a training first needs them, once, where there is a C compiler", search=ELSEWHERE
    )
    cuda_graph: bool | Auto = setting(AUTO, "capture steps and replay them (auto: on CUDA devices, where replays agree with steps)", search=ELSEWHERE)
    precision: Literal["float32", "bf16"] = setting(
        "float32", "precision of products outside the loops in training passes; all else is float32", rule=one_of("float32", "bf16")
    )
    only: tuple[str, ...] = setting(
        (), "names of parameters that are trained, with * for anything: ['readouts.*', 'readins.*'] (empty: all that can be)", tune="rarely"
    )
    frozen: tuple[str, ...] = setting((), "names of parameters that keep their first values, with * for anything, such as ['readins.*']")
    prune: PruneConfig | None = setting(None, "set the smallest weights to 0 for good (null: none)")
    metrics_every: int | Auto = setting(
        AUTO, "epochs between evaluations of the plugin metrics on validation trials (auto: 60 steps)", rule=at_least(1), unit="epochs"
    )


@frozen(kw_only=True)
class InferConfig:
    """How rates are inferred from a trained model."""

    samples: int | None = setting(
        50, "posterior samples to average (null: push the posterior means)", rule=between(1, MOST_SAMPLES), tune="sometimes"
    )
    batch_size: int = setting(64, "trials at a time", rule=at_least(1), unit="trials")
    checkpoint: Literal["best", "last"] = setting("best", "which weights", rule=one_of("best", "last"))
    distribution: bool = setting(False, "write the parameters of the data's distribution too, such as shape and rate of a gamma")
    figures: bool = setting(True, "draw figures once a run or a search has finished", search=ELSEWHERE)
    figure_format: FigureFormat = setting("png", "format of these figures", rule=one_of(*FIGURE_FORMATS), search=ELSEWHERE)


@frozen(kw_only=True)
class RunConfig:
    """Everything one run needs besides its data; plugins add groups of their own (:mod:`lfads_core.config.groups`)."""

    data: DataConfig = setting(DataConfig, "data and batches")
    model: ModelConfig = setting(ModelConfig, "the network")
    components: ComponentsConfig = setting(ComponentsConfig, "plugin components by name")
    optim: OptimConfig = setting(OptimConfig, "optimiser")
    regularisation: RegularisationConfig = setting(RegularisationConfig, "KL and L2")
    train: TrainConfig = setting(TrainConfig, "training")
    validation: ValidationConfig = setting(ValidationConfig, "validation")
    infer: InferConfig = setting(InferConfig, "inference")

    def group(self, cls: type[G]) -> G | None:
        """The settings of a group that a plugin brings, by its class; None where they are off or the plugin is not there."""
        return next((value for field in attrs.fields(type(self)) if isinstance(value := getattr(self, field.name), cls)), None)

    def rules(self) -> list[str]:
        """Faults across fields, each as ``path: text``; a text names all fields it judges, and is held back while one of those is faulty itself."""
        faults = []
        if any(not 0 <= beta < 1 for beta in self.optim.betas):
            faults.append(f"optim.betas: both must be >= 0 and < 1, got {self.optim.betas!r}")
        if self.optim.min_lr >= self.optim.lr:
            faults.append(f"optim.min_lr: must be below optim.lr ({self.optim.lr:g}), got {self.optim.min_lr!r}")
        if self.model.encoder.ic_bins is not None and self.model.encoder.read_bins is not None:
            faults.append(
                "model.encoder.read_bins: must be null with model.encoder.ic_bins, which parts the trial between the encoders, "
                f"got {self.model.encoder.read_bins!r}"
            )
        control = self.model.controller
        if control is not None and control.feedback == "rates" and self.train.recurrence not in ("auto", "reference"):
            faults.append(
                "train.recurrence: must be auto or reference with model.controller.feedback: rates, which only the reference loops can do, "
                f"got {self.train.recurrence!r}"
            )
        for kind, place, parts in (("loss", "losses", self.components.losses_of_all_kinds()), ("latent", "latents", self.components.latents)):
            if len({part.name for part in parts}) < len(parts):
                faults.append(f"components.{place}: must name each {kind} once, got {', '.join(part.name for part in parts)}")
        names = {c.name for c in (*self.components.train_augmentations, *self.components.infer_augmentations)}
        for name in self.components.loss_order or ():
            if name not in names:
                faults.append(
                    f"components.loss_order: must hold names from components.train_augmentations or components.infer_augmentations, got {name!r}"
                )
        return faults
