"""Which members of a search can be trained as one batched model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from lfads_core.config.kinds import types_in
from lfads_core.config.schema import DataConfig, ModelConfig, RunConfig
from lfads_core.config.structure import unstructure
from lfads_core.errors import ConfigError


@attrs.frozen
class BatchShape:
    """The settings that all members of one batched model must share; all others may differ from member to member."""

    model: ModelConfig  # without its rates
    data: DataConfig
    encoder: Any  # components as plain data, for settings of plugins' own types may not be comparable
    generator: Any
    readin: Any
    latents: Any  # without the scales of their divergences
    recurrence: str
    precision: str


_COMPONENTS = ("encoder", "generator", "readin", "latents")
_PATHS = {
    "model": "model",
    "data": "data",
    **{name: f"components.{name}" for name in _COMPONENTS},
    "recurrence": "train.recurrence",
    "precision": "train.precision",
}


def shape_of(config: RunConfig) -> BatchShape:
    """What a member's settings mean for a batch of members."""
    return BatchShape(
        model=attrs.evolve(config.model, dropout=0.0, variational=True),
        data=config.data,
        **{name: _shaping(unstructure(getattr(config.components, name), types_in(type(config)))) for name in _COMPONENTS},
        recurrence=config.train.recurrence,
        precision=config.train.precision,
    )


def _shaping(component: Any) -> Any:
    """Plain settings of a component, or of several, without the scale of a latent's divergence, which is each member's own."""
    if isinstance(component, list | tuple):
        return [{key: value for key, value in one.items() if key != "kl"} for one in component]
    return component


def same_shape(configs: Sequence[RunConfig]) -> None:
    """Make sure that members can be trained as one.

    Raises:
        ConfigError: they differ in a setting that a batch of members shares; the first such setting is named.
    """
    first = shape_of(configs[0])
    for member, config in enumerate(configs[1:], start=1):
        if found := _difference(first, shape_of(config), ""):
            path, one, other = found
            raise ConfigError(
                f"{path}: members that are trained as one must agree, got {one!r} and {other!r} (members 0 and {member}). "
                "Use the executor serial or ray, or take this setting out of the search."
            )


def _difference(one: Any, other: Any, path: str) -> tuple[str, Any, Any] | None:
    """The first setting in which two groups differ, by its path."""
    if attrs.has(type(one)) and type(one) is type(other):
        for field in attrs.fields(type(one)):
            here = f"{path}.{field.name}" if path else _PATHS[field.name]
            if found := _difference(getattr(one, field.name), getattr(other, field.name), here):
                return found
        return None
    return None if one == other else (path, one, other)
