"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lfads_core.errors import ConfigError

PATH = click.Path(path_type=Path)
SEED = click.IntRange(min=0, max=2**63 - 1)  # what a file can keep


class Number(click.FloatRange):
    """A finite number within bounds: to click NaN lies within all of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A float."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number.", param, ctx)
        return number


def settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--plugin`` and ``--set``, as often as needed."""
    function = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one setting; may be repeated.")(function)
    return click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="A recipe or component to use; may be repeated.")(function)


def checkpoint_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--checkpoint``."""
    text = "Which weights: best, last, or an epoch that was kept (train.keep_best)  [default: as the run's settings say]"
    return click.option("--checkpoint", metavar="NAME", help=text)(function)


def inferred_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--checkpoint`` of commands that read what was inferred: it says which weights that must have been done with."""
    text = "Which weights; outputs must be of them, as `lfads infer RUN --checkpoint NAME` makes them  [default: those of the outputs]"
    return click.option("--checkpoint", metavar="NAME", help=text)(function)


def samples_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--samples`` and ``--means``."""
    function = click.option("--means", is_flag=True, help="Push the posterior means through instead of averaging samples.")(function)
    return click.option("--samples", type=click.IntRange(min=1), help="Posterior samples to average  [default: as the run's settings say]")(function)


def chosen_samples(samples: int | None, default: int | None, *, means: bool) -> int | None:
    """How many samples to average; None pushes the means."""
    if means and samples is not None:
        raise ConfigError("--samples, --means: exclude each other, got both. Give one of them.")
    return None if means else samples or default
