"""Records of the hooks that lfads-plugins-tune declares; importing them loads nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen
from attrs import validators as v

from lfads_core.plugins.specs import Spec, imported, imported_or_none, is_function

if TYPE_CHECKING:
    from lfads_plugins_tune.search.algorithm import AbstractAlgorithm
    from lfads_plugins_tune.search.executor import AbstractExecutor

TAKES = ("address", "storage", "workers", "cpus", "gpus")
"""Options of the command line that are for some executors only."""


@frozen(kw_only=True)
class ExecutorSpec(Spec):
    """One entry of ``lfads_executors``: what carries a search's generations out.

    ``build(base, patterns, registry, options)`` returns an :class:`~lfads_plugins_tune.search.executor.AbstractExecutor`: base settings, files of
    the data, the registry, and :class:`~lfads_plugins_tune.executors.ExecutorOptions`. ``takes`` names the options of the command line that it
    heeds beside ``per_worker``: ``address``, ``storage``, ``workers``, ``cpus``, ``gpus``.
    """

    kind: ClassVar[str] = "executor"
    build: Callable[..., AbstractExecutor] = field(converter=imported, validator=is_function)
    takes: tuple[str, ...] = field(default=(), validator=v.deep_iterable(v.in_(TAKES)))

    def usage(self) -> str:
        """The option that chooses it."""
        return f"lfads search pbt DATA --executor {self.name}"


def low_rates() -> dict[str, Any]:
    """A member may start at a low rate; it stops when the rate has fallen below any that is searched."""
    return {"optim": {"min_lr": 1e-6}}


@frozen(kw_only=True)
class SearchSpec(Spec):
    """One entry of ``lfads_searches``: an algorithm that decides which hyperparameters are tried, and for how long.

    ``build()`` returns an :class:`~lfads_plugins_tune.search.algorithm.AbstractAlgorithm`. ``compares`` says that members are compared after the
    burn-in and go on from one another, with hyperparameters that change while models train; ``lists`` that every space must have values that can
    be listed. ``schedule(total, least, search)`` gives the epochs at which generations end, where they are others than every ``search.interval``:
    ``total`` at last, none below ``least``, from where on it makes sense to compare; an end that is no greater than the one before it is that of a
    round of new members. ``defaults`` are laid on those of a run, so that members may have low rates if they are not given; ``help`` is more for
    ``--help``.
    """

    kind: ClassVar[str] = "search"
    build: Callable[[], AbstractAlgorithm] = field(converter=imported, validator=is_function)
    compares: bool = field(default=False, validator=v.instance_of(bool))
    lists: bool = field(default=False, validator=v.instance_of(bool))
    schedule: Callable[..., Sequence[int]] | None = field(default=None, converter=imported_or_none, validator=v.optional(is_function))
    defaults: Mapping[str, Any] = field(factory=low_rates, validator=v.instance_of(Mapping), hash=False)
    help: str = field(default="", validator=v.instance_of(str))

    def usage(self) -> str:
        """The command."""
        return f"lfads search {self.name} DATA"
