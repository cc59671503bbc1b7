"""What lab-dynamics offers: four parts of a model, and a recipe of them all."""

from attrs import frozen

from lfads_core.config.fields import above, between, setting
from lfads_core.config.losses import LatentConfig, LossConfig
from lfads_core.config.spaces import log, uniform
from lfads_core.plugins import EncoderSpec, GeneratorSpec, LatentSpec, LossSpec, RecipeSpec, hookimpl

CITES = ("stranger2026",)


@frozen(kw_only=True)
class TracesConfig:
    """Settings of the encoder."""

    gain: float = setting(1.0, "factor on what is heard", rule=above(0), search=log(0.3, 3.0))


@frozen(kw_only=True)
class LeakyConfig:
    """Settings of the generator."""

    leak: float = setting(0.3, "share of a rate that is replaced in each bin", rule=between(0, 1), search=uniform(0.1, 0.9))


@frozen(kw_only=True)
class CalmConfig(LossConfig):
    """Settings of the loss: its scale and its ramp."""


@frozen(kw_only=True)
class MoodConfig(LatentConfig):
    """Settings of the latent."""

    variance: float = setting(1.0, "variance of its prior", rule=above(0))


@hookimpl
def lfads_encoders():
    yield EncoderSpec(name="traces", summary="Leaky averages", config=TracesConfig, build="lab_dynamics.parts:build_traces", causal=True, cites=CITES)


@hookimpl
def lfads_generators():
    yield GeneratorSpec(name="leaky", summary="Leaky rates", config=LeakyConfig, build="lab_dynamics.parts:build_leaky", cites=CITES)


@hookimpl
def lfads_losses():
    yield LossSpec(name="calm", summary="Factors must not change fast", config=CalmConfig, build="lab_dynamics.parts:build_calm", cites=CITES)


@hookimpl
def lfads_latents():
    yield LatentSpec(name="mood", summary="A number of each trial", config=MoodConfig, build="lab_dynamics.parts:build_mood", cites=CITES)


@hookimpl
def lfads_recipes():
    parts = {"encoder": "traces", "generator": "leaky", "losses": ["calm"], "latents": ["mood"]}
    yield RecipeSpec(name="moody", summary="All four", settings={"components": parts}, cites=CITES)
