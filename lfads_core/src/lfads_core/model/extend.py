"""A trained model with further sessions, whose layers are all that training still changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.data.session import Session
from lfads_core.errors import ConfigError, DataError
from lfads_core.model.build import build_model, set_up, start_near_data
from lfads_core.model.description import ModelDescription, describe
from lfads_core.model.freeze import freeze, prunable
from lfads_core.model.lfads import LFADS
from lfads_core.plugins.registry import Registry


def extend_model(
    config: RunConfig, trained: ModelDescription, weights: Mapping[str, Tensor], sessions: Sequence[Session], registry: Registry, device: str
) -> tuple[LFADS, ModelDescription]:
    """Build the model of the trained and the new sessions, with the trained weights; all but the new sessions' layers are frozen.

    ``weights`` are the state dict of the ``trained`` model. What they hold of the new sessions, if they are of an extended model
    already, is taken too; otherwise their layers are fresh, and start near their training data where they can.

    Raises:
        ConfigError: nothing of the new sessions' layers can be trained.
        DataError: the sessions do not fit the model.
    """
    new = {session.name for session in sessions}
    old = [info for info in trained.sessions if info.name not in new]
    given = describe(sessions)
    _check_fit(trained, given, sessions)
    description = replace(trained, sessions=[*old, *given.sessions], known={**trained.known, **given.known})
    network = build_model(config, description, registry)
    network.load_state_dict({**network.state_dict(), **weights})
    known = {info.name for info in trained.sessions}
    start_near_data(network, [session for session in sessions if session.name not in known])
    freeze_all_but(network, new)
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


def _check_fit(trained: ModelDescription, given: ModelDescription, sessions: Sequence[Session]) -> None:
    where = ", ".join(str(session.path or session.name) for session in sessions)
    must = (trained.encoded_bins, trained.bins, trained.external)
    got = (given.encoded_bins, given.bins, given.external)
    if got != must:
        raise DataError(f"{where}: must have (encoded bins, reconstructed bins, external inputs) {must} as in training, got {got}. Cut it alike.")
    if None not in (trained.bin_ms, given.bin_ms) and trained.bin_ms != given.bin_ms:
        raise DataError(f"{where}: must have bins of {trained.bin_ms:g} ms as in training, got {given.bin_ms:g} ms. Bin alike.")
