"""What lfads-core offers, through the hooks that every plugin uses. It is always there; its loops, commands and checks import nothing here."""

from __future__ import annotations

from collections.abc import Iterator

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import CommandSpec, DoctorCheckSpec, EncoderSpec, GeneratorSpec, NoSettings, RecurrenceSpec

_LOOPS = "lfads_core.recurrence"
_CHECKS = "lfads_core.doctor.checks"

_COMMANDS = {
    "synth": "Make data whose true rates are known.",
    "data": "Make recordings into files for training, look into them, change them.",
    "config": "Show, explain, check and import settings.",
    "run": "Train a model on recordings, then infer their rates.",
    "adapt": "Add sessions to a trained model that stays as it is.",
    "infer": "Infer rates with a trained model, for its own data or a new file.",
    "cite": "Print BibTeX for LFADS and the components that are used.",
    "doctor": "Look at this machine and installation: what is there, and what to do about the rest.",
    "plugins": "List what is installed, show what one name means, make and check plugins.",
}


@hookimpl
def lfads_commands() -> Iterator[CommandSpec]:
    """From data to rates, and what is installed."""
    for name, summary in _COMMANDS.items():
        yield CommandSpec(name=name, summary=summary, command=f"lfads_core.cli.{name}:command")


@hookimpl
def lfads_encoders() -> Iterator[EncoderSpec]:
    """The GRUs of LFADS as published."""
    yield EncoderSpec(
        name="gru",
        summary="A GRU in each direction",
        config=NoSettings,
        build="lfads_core.model.gru:build_encoder",
        causal=True,
        cites=("pandarinath2018",),
    )


@hookimpl
def lfads_generators() -> Iterator[GeneratorSpec]:
    """The GRU of LFADS as published."""
    yield GeneratorSpec(name="gru", summary="A GRU", config=NoSettings, build="lfads_core.model.gru:build_generator", cites=("pandarinath2018",))


@hookimpl
def lfads_recurrences() -> Iterator[RecurrenceSpec]:
    """Plain PyTorch, a backward pass by hand, and Triton on CUDA devices."""
    yield RecurrenceSpec(name="reference", summary="plain PyTorch", gru=f"{_LOOPS}.reference:gru", controlled=f"{_LOOPS}.reference:controlled")
    yield RecurrenceSpec(
        name="fused", summary="hand-written backward", gru=f"{_LOOPS}.fused_gru:gru", controlled=f"{_LOOPS}.fused_controlled:controlled"
    )
    for name, suffix, products in (("triton", "", "float32"), ("triton-bf16", "_bf16", "bfloat16"), ("triton-tf32", "_tf32", "tf32")):
        yield RecurrenceSpec(
            name=name,
            summary=f"one launch each way, products in {products}",
            gru=f"{_LOOPS}.triton_gru:gru{suffix}",
            controlled=f"{_LOOPS}.triton_controlled:controlled{suffix}",
            obstacle=f"{_LOOPS}.triton_launch:obstacle{suffix}",
            fastest_on=("cuda",) if name == "triton" else (),
        )


@hookimpl
def lfads_doctor_checks() -> Iterator[DoctorCheckSpec]:
    """Versions, plugins, devices, threads, loops, disk."""
    for name, summary in {
        "versions": "Python and the packages that matter",
        "plugins": "every plugin package, and what is wrong with it",
        "devices": "where torch can compute",
        "threads": "cores, and what keeps them busy",
        "loops": "which loops auto would take",
        "disk": "room and the right to write where runs go",
        "claims": "runs that say they are running, and do not",
    }.items():
        yield DoctorCheckSpec(name=name, summary=summary, check=f"{_CHECKS}:{name}")
