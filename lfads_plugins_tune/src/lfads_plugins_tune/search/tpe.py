"""Tree-structured Parzen estimators (Bergstra et al. 2011), as Optuna has them, for algorithms that are asked and told."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import ConfigError
from lfads_plugins_tune.search.algorithm import AbstractAlgorithm
from lfads_plugins_tune.search.ask_tell import AbstractAskTell, AskTell, Told

INSTALL = 'pip install "lfads-plugins-tune[optuna]"'


class ParzenEstimator(AbstractAskTell):
    """Begins a study of Optuna anew for every question, with all that was told: it remembers nothing, and is as exact as what it is told."""

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings(action="ignore"):
                import optuna
        except ImportError as err:
            raise ConfigError(f"lfads search tpe: needs Optuna, which is not installed. Run: {INSTALL}") from err
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna: Any = optuna

    def ask(self, spaces: Mapping[str, SpaceConfig], told: Sequence[Told], rng: random.Random) -> dict[str, Any]:
        """What promises most; at first, drawn at random."""
        optuna = self._optuna
        ranges = {path: self._range(path, space) for path, space in spaces.items()}
        with warnings.catch_warnings(action="ignore"):  # parts of Optuna call themselves experimental
            sampler = optuna.samplers.TPESampler(seed=rng.getrandbits(32), constant_liar=True)
            study = optuna.create_study(sampler=sampler, direction="minimize")
            for trial in told:
                study.add_trial(self._trial(trial, spaces, ranges))
            asked = study.ask(ranges).params
        return {path: space.values[asked[path]] if space.kind == "choice" and space.values else asked[path] for path, space in spaces.items()}

    def _range(self, path: str, space: SpaceConfig) -> Any:
        make = self._optuna.distributions
        if space.kind == "choice" and space.values:
            return make.CategoricalDistribution(list(range(len(space.values))))  # by place: values may be mappings
        if space.low is None or space.high is None:
            raise ConfigError(
                f"search.spaces: {path}: tpe must know the bounds of a space, got the kind {space.kind!r}. Search at random, or leave it out."
            )
        if space.kind == "int":
            return make.IntDistribution(int(space.low), int(space.high))
        return make.FloatDistribution(space.low, space.high, log=space.kind == "log")

    def _trial(self, told: Told, spaces: Mapping[str, SpaceConfig], ranges: Mapping[str, Any]) -> Any:
        states = self._optuna.trial.TrialState
        state = states.FAIL if told.failed else states.COMPLETE if told.finished else states.PRUNED if told.scores else states.RUNNING
        places = {path: list(space.values).index(told.values[path]) if space.values else told.values[path] for path, space in spaces.items()}
        last = told.scores[max(told.scores)] if told.finished else None
        return self._optuna.trial.create_trial(
            state=state, params=places, distributions=dict(ranges), value=last, intermediate_values=dict(told.scores)
        )


def build() -> AbstractAlgorithm:
    """The algorithm ``tpe``."""
    return AskTell(ParzenEstimator())
