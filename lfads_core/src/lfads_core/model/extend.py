"""A trained model with further sessions, whose layers are all that training still changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.data.session import Session
from lfads_core.errors import ConfigError, DataError
from lfads_core.model.build import build_model, set_up, start_near_data
from lfads_core.model.built import keeping_parameters
from lfads_core.model.description import ModelDescription, describe
from lfads_core.model.freeze import freeze, prunable
from lfads_core.model.lfads import LFADS
from lfads_core.origin import blaming
from lfads_core.plugins.registry import Registry


def extend_model(
    config: RunConfig, trained: ModelDescription, weights: Mapping[str, Tensor], sessions: Sequence[Session], registry: Registry, device: str
) -> tuple[LFADS, ModelDescription]:
    """Build the model of the trained and the new sessions, with the trained weights; all but the new sessions' layers are frozen.

    ``weights`` are the state dict of the ``trained`` model. What they hold of the new sessions, if they are of an extended model
    already, is taken too; otherwise their layers are fresh, and start near their training data where they can. With an alignment,
    read-ins start as those of the last session before that has these channels.

    Raises:
        ConfigError: nothing of the new sessions' layers can be trained, or not what an alignment has to move.
        DataError: the sessions do not fit the model.
    """
    new = {session.name for session in sessions}
    old = [info for info in trained.sessions if info.name not in new]
    given = describe(sessions)
    _check_fit(trained, given, sessions)
    followed = config.components.alignment is not None
    description = replace(
        trained,
        sessions=[*old, *given.sessions],
        known={**trained.known, **given.known},
        bare=trained.bare if any(name.startswith("readins.") for name in weights) else tuple(info.name for info in old),
        aligned=tuple(info.name for info in given.sessions) if followed else (),
    )
    network = build_model(config, description, registry)
    own = network.state_dict()
    network.load_state_dict({**own, **{name: value for name, value in weights.items() if name in own or not name.startswith("losses.")}})
    known = {info.name for info in trained.sessions}
    fresh = [session for session in sessions if session.name not in known]
    start_near_data(network, fresh)
    freeze_all_but(network, new)
    if followed:
        for session in fresh:
            follow_read_in(network, description, session.name, [info.name for info in old])
        require_moving(network, new)
    freeze(network, config.train)
    prunable(network, config.train)  # raises if a name fits nothing
    set_up(network, config, device)
    return network.to(device), description


def freeze_all_but(network: LFADS, sessions: set[str]) -> None:
    """Take every parameter out of training, except those of these sessions' read-ins, read-outs and reconstructions.

    Raises:
        ConfigError: that leaves none.
    """
    layers = (network.readins, network.readouts, network.reconstructions, network.losses)
    kept = {id(p) for by_name in layers for name in sessions if name in by_name for p in by_name[name].parameters()}
    left = 0
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in kept)
        left += parameter.requires_grad
    if not left:
        raise ConfigError(
            "components: something of the new session must be trainable, but its read-in, read-out and reconstruction are all fixed. "
            "Train a model whose read-in or read-out is trainable."
        )


def follow_read_in(network: LFADS, description: ModelDescription, session: str, old: Sequence[str]) -> None:
    """Start a session's read-in as that of the last session with the same channels; it stays as it is if there is none."""
    for name in reversed(old):
        channels = channels_in(description, session, name)
        if channels is not None:
            before = dict(network.readins.items()).get(name)
            readin = network.readins[session]
            with blaming(readin, " in follow"), keeping_parameters(readin, "follow"):
                readin.follow(before, channels)
            return


def channels_in(description: ModelDescription, session: str, other: str) -> list[int | None] | None:
    """Which channel of another session each channel that is read is: by names if all have some, by its place if there are as many.

    None if nothing says which is which.
    """
    here, there = (next(info for info in description.sessions if info.name == name) for name in (session, other))
    names, others = (
        known.channels if (known := description.known.get(info.name)) is not None and info.encod_channels == info.recon_channels else None
        for info in (here, there)
    )
    if names is not None and others is not None:
        place = {name: i for i, name in enumerate(others)}
        found = [place.get(name) for name in names]
        return None if all(i is None for i in found) else found
    return list(range(here.encod_channels)) if here.encod_channels == there.encod_channels else None


def require_moving(network: LFADS, sessions: Collection[str]) -> None:
    """Refuse to align sessions whose read-ins cannot move.

    Raises:
        ConfigError: one cannot.
    """
    for name in sessions:
        if not any(parameter.requires_grad for parameter in network.readins[name].parameters()):
            raise ConfigError(
                f"components.readin: must be trainable to be aligned, got a fixed one for {name!r}. "
                "Train a model whose read-ins are trainable (--set components.readin.trainable=true), or adapt without --align."
            )


def _check_fit(trained: ModelDescription, given: ModelDescription, sessions: Sequence[Session]) -> None:
    where = ", ".join(str(session.path or session.name) for session in sessions)
    must = (trained.encoded_bins, trained.bins, trained.external)
    got = (given.encoded_bins, given.bins, given.external)
    if got != must:
        raise DataError(f"{where}: must have (encoded bins, reconstructed bins, external inputs) {must} as in training, got {got}. Cut it alike.")
    if None not in (trained.bin_ms, given.bin_ms) and trained.bin_ms != given.bin_ms:
        raise DataError(f"{where}: must have bins of {trained.bin_ms:g} ms as in training, got {given.bin_ms:g} ms. Bin alike.")
