"""LFADS after scikit-learn's rules: trials in, factors or rates out, for pipelines and cross-validation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lfads_core.data.hold_out import hold_out_channels
from lfads_core.data.objects import as_array
from lfads_core.data.session import Session, Split
from lfads_core.errors import ConfigError, DataError
from lfads_core.front.brought import check_mapping
from lfads_core.front.recording import Recording
from lfads_core.front.run import load, run
from lfads_core.front.trained import TrainedRun
from lfads_core.infer.run import check_fit, infer_sessions, require_readable
from lfads_core.plugins import SettingsSpec, load_registry
from lfads_core.wording import shown
from lfads_plugins_lab.evaluate.costs import costs_of
from lfads_plugins_lab.evaluate.recorded import Recorded

_OUTPUTS = {"factors": "factors", "rates": "output_params", "inputs": "co_means", "initial_conditions": "ic_mean"}
_SPLIT = "test"
"""Name that trials to transform go by."""


class InputError(DataError, ValueError):
    """Arrays that the estimator cannot take; a ValueError too, as scikit-learn has it."""


class LFADSEstimator(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """LFADS as a transformer, ``lf.LFADS``: ``fit(X)`` trains a model on trials, ``transform(X)`` infers factors for these or others.

    ``X`` is (trials, bins, channels), counts for the default model; NaN is not observed. Nothing is left on disk.

    Args:
        plugin: recipe or component by name, several as a list; None: as ``lfads run`` has it.
        settings: settings by name, such as ``{"optim.lr": 0.002, "model.generator.factors": 8}``.
        output: ``factors`` (trials, bins, F), ``rates`` (trials, bins, channels; expected values per bin), ``inputs`` (trials, bins, U) or
            ``initial_conditions`` (trials, I).
        flatten: give all bins of a trial side by side, (trials, bins * F), as decoders of two-dimensional data want it.
        bin_ms: width of a bin in ms, if it is known.
        valid: share of the trials by which the best epoch is chosen.
        hold_out: share of channels that the model predicts unseen.
        epochs: most epochs of training.
        minutes: most minutes of training.
        seed: of the split into training and validation, and of the training.
        plugins: plugins that are no package, as ``lf.run`` takes them.
    """

    def __init__(  # noqa: PLR0913 - parameters are arguments of the constructor, as scikit-learn has it
        self,
        plugin: str | Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        output: str = "factors",
        flatten: bool = False,
        bin_ms: float | None = None,
        valid: float = 0.2,
        hold_out: float | None = None,
        epochs: int | None = None,
        minutes: float | None = None,
        seed: int = 0,
        plugins: Sequence[object] = (),
    ) -> None:
        self.plugin = plugin
        self.settings = settings
        self.output = output
        self.flatten = flatten
        self.bin_ms = bin_ms
        self.valid = valid
        self.hold_out = hold_out
        self.epochs = epochs
        self.minutes = minutes
        self.seed = seed
        self.plugins = plugins

    def fit(self, X: Num[np.ndarray, "B T N"], y: object = None) -> LFADSEstimator:
        """Train a model on these trials.

        Raises:
            InputError: arrays that a model cannot be trained on.
            ConfigError: ``settings`` or ``output`` are wrong.
        """
        if not isinstance(self.output, str) or self.output not in _OUTPUTS:
            raise ConfigError(f"output: must be one of {', '.join(_OUTPUTS)}, got {shown(self.output)}.")
        check_mapping("settings", self.settings, {"optim.lr": 0.002})
        trials = _trials(X)
        quiet = {"infer.figures": False, "train.seed": self.seed}
        if any(spec.name == "track" for spec in load_registry().all(SettingsSpec)):
            quiet["track.mlflow"] = False
        with tempfile.TemporaryDirectory(prefix="lfads-") as folder:
            try:
                recording = Recording.from_arrays(trials, bin_ms=self.bin_ms, valid=self.valid, seed=self.seed)
                trained = run(
                    recording,
                    plugin=() if self.plugin is None else self.plugin,
                    settings={**quiet, **(self.settings or {})},
                    hold_out=self.hold_out,
                    epochs=self.epochs,
                    minutes=self.minutes,
                    plugins=self.plugins,
                    name="fit",
                    runs=folder,
                    progress=False,
                )
            except DataError as err:
                raise InputError(str(err)) from err
            self.files_ = _files(trained)
        self._loaded = trained
        self.n_features_in_ = trials.shape[2]
        self.n_bins_in_ = trials.shape[1]
        return self

    def transform(self, X: Num[np.ndarray, "B T N"]) -> Float[np.ndarray, "B ..."]:
        """Infer what ``output`` says for these trials, whether or not the model was trained on them.

        Raises:
            NotFittedError: nothing was fitted yet.
            InputError: the trials do not fit the model.
        """
        session = self._session(X)
        trained = self.run_
        found = infer_sessions(trained, [session], samples=trained.default_samples, seed=trained.config.train.seed)[session.name][_SPLIT]
        values: np.ndarray = getattr(found, _OUTPUTS[self.output])
        order = session.arrays.get("channel_order")
        if self.output == "rates" and order is not None:
            values = np.take(values, np.argsort(order), axis=2)
        return values.reshape(len(values), -1) if self.flatten else values

    def score(self, X: Num[np.ndarray, "B T N"], y: object = None) -> float:
        """Mean log likelihood per value in nats, at the posterior means: of held-out channels where there are any, else of all. More is better.

        Raises:
            NotFittedError: nothing was fitted yet.
            InputError: the trials do not fit the model.
        """
        session = self._session(X)
        trained = self.run_
        part = trained.model.reconstructions[session.name]
        costs = costs_of(trained, Recorded(session=session, support=part.support, is_rate=part.is_rate), _SPLIT)
        return -(costs.all if costs.heldout is None else costs.heldout)

    @property
    def run_(self) -> TrainedRun:
        """The trained model; its folder is gone, so it has no outputs or log."""
        check_is_fitted(self)
        if self._loaded is None:
            with tempfile.TemporaryDirectory(prefix="lfads-") as folder:
                for name, content in self.files_.items():
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                self._loaded = load(folder, plugins=self.plugins)
        return self._loaded

    def _session(self, given: object) -> Session:
        """Trials as the model takes them."""
        check_is_fitted(self)
        trials = _trials(given)
        if trials.shape[2] != self.n_features_in_:
            raise InputError(f"X has {trials.shape[2]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input.")
        trained = self.run_
        split = Split(encod=trials, recon=trials, external=np.zeros((*trials.shape[:2], 0), np.float32))
        session = Session(
            name=trained.sessions[0], path=None, splits={_SPLIT: split}, attributes={} if self.bin_ms is None else {"bin_ms": self.bin_ms}
        )
        held = trained.config.data.hold_out
        session = session if held is None else hold_out_channels(session, held.fraction, held.seed)
        try:
            require_readable(trained, [session])
            check_fit(trained, [session])
        except DataError as err:
            raise InputError(str(err)) from err
        return session

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the loaded model, which comes back from its files."""
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_loaded": None} if "_loaded" in state else state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # single precision comes out
        return tags


def _trials(given: object) -> Float[np.ndarray, "B T N"]:
    """An array of trials in single precision.

    Raises:
        InputError: it is none.
    """
    if hasattr(given, "toarray"):
        raise TypeError("X must be a dense array, got a sparse one. Use X.toarray().")
    values = _as_numbers(given)
    if values.dtype.kind not in "biuf" or values.ndim != 3:
        raise InputError(f"X must be numbers (trials, bins, channels), got shape {values.shape} of type {values.dtype}. Reshape your data.")
    for size, what in zip(values.shape, ("sample(s)", "bin(s)", "feature(s)"), strict=True):
        if not size:
            raise InputError(f"Found array with 0 {what} (shape={values.shape}) while a minimum of 1 is required.")
    if np.isinf(values).any():
        raise InputError(f"X must be finite, got {int(np.isinf(values).sum())} inf of {values.size} values. Store NaN for not observed.")
    return values.astype(np.float32)


def _as_numbers(given: object) -> np.ndarray:
    try:
        values = as_array("X", given)
        if values.dtype.kind == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        return values.astype(np.float64) if values.dtype.kind == "O" else values
    except TypeError as err:
        raise TypeError(f"X must hold numbers, got something else: {err}") from err
    except InputError:
        raise
    except ValueError as err:
        raise InputError(f"X must hold numbers, got something else: {err}") from err
    except DataError as err:
        raise InputError(str(err)) from err


def _files(trained: TrainedRun) -> dict[str, bytes]:
    """What a run needs to be loaded, by the name within its folder."""
    kept = [trained.run.config_path, trained.run.state_path, *trained.run.checkpoints.glob(f"{trained.checkpoint}[.-]*")]
    return {str(path.relative_to(trained.path)): path.read_bytes() for path in kept}
